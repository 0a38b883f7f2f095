"""Scenarios and labels: a file the user gives, or what the simulator knows really happened."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at run time)

import datetime as dt
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from found_platform import lake
from found_platform.contract import midnight
from found_platform.errors import BadInput
from found_platform.privacy import keys
from found_platform.settings import Settings
from found_platform.sources import config as source_config
from found_platform.sources import simulator

NO_LABELS = "no labels were given and the source is not simulated: pass --labels and --scenarios"


@dataclass(frozen=True)
class Scenario:
    """One targeting task: who will do what, in a sentence; labels (N,) 0/1 of `user_keys` over the horizon after the cutoff."""

    name: str
    demand: str
    horizon_days: int
    user_keys: list[str]
    labels: np.ndarray
    oracle: np.ndarray | None = None  # (N,) true probabilities, where the source is simulated


def load(settings: Settings, cutoff: dt.date, labels: Path | None, scenarios: Path | None) -> list[Scenario]:
    """The scenarios at a cutoff; an empty list where there are no labels at all.

    Raises BadInput for a file that is missing, misses a column, or has no labels at this cutoff.
    """
    if labels is None and scenarios is None:
        return _simulated(settings, cutoff) if (settings.truth / "outcomes").exists() else []
    if labels is None or scenarios is None:
        raise BadInput("--labels and --scenarios belong together: give both files.")
    specs = _specs(scenarios)
    con = lake.connect()
    if not labels.exists():
        raise BadInput(f"The label file {labels} does not exist.")
    relation = con.read_parquet(str(labels)) if labels.suffix == ".parquet" else con.read_csv(str(labels), header=True)
    if missing := [c for c in ("user_id", "scenario", "cutoff", "label") if c not in relation.columns]:
        raise BadInput(f"{labels} has no column {', '.join(missing)}: labels carry user_id, scenario, cutoff and label.")
    table = con.execute(
        "SELECT CAST(user_id AS VARCHAR) AS user_id, scenario, CAST(label AS TINYINT) AS label FROM relation "
        "WHERE CAST(cutoff AS TIMESTAMPTZ) = ? ORDER BY user_id",
        [midnight(cutoff)],
    ).to_arrow_table()
    if not table.num_rows:
        raise BadInput(f"{labels} has no labels at the cutoff {cutoff}: choose the --cutoff that its labels were made for.")
    secret = keys.home_secret(settings)
    found = []
    for spec in specs:
        rows = table.filter(pc.equal(table["scenario"], spec["scenario"]))
        if rows.num_rows:
            users = [keys.user_key(secret, u) for u in rows["user_id"].to_pylist()]
            found.append(_scenario(settings, spec, users, rows["label"].to_numpy().astype(int)))
    if not found:
        raise BadInput(f"{labels} has no labels of the scenarios in {scenarios}.")
    return found


def _specs(path: Path) -> list[dict]:
    try:
        content = yaml.safe_load(path.read_text())  # JSON is YAML
        specs = content["scenarios"]
        if all("scenario" in s and "demand" in s for s in specs):
            return specs
    except OSError:
        raise BadInput(f"The scenario file {path} does not exist.") from None
    except (yaml.YAMLError, KeyError, TypeError):
        pass
    raise BadInput(f"{path} is no scenario file: it holds `scenarios:`, a list of entries with `scenario` and `demand`.")


def _scenario(settings: Settings, spec: dict, users: list[str], labels: np.ndarray) -> Scenario:
    return Scenario(spec["scenario"], spec["demand"], int(spec.get("horizon_days") or settings.horizon_days), users, labels)


def _simulated(settings: Settings, cutoff: dt.date) -> list[Scenario]:
    """Everybody seen before the cutoff; positive who does it in the horizon after it."""
    from found_platform.feature_store.training_set import users_seen

    specs = json.loads((settings.truth / "scenarios.json").read_text())["scenarios"]
    con = lake.connect()
    outcomes = con.read_parquet(str(settings.truth / "outcomes" / "*.parquet"))
    hits = con.execute("SELECT DISTINCT scenario, user_id, CAST(event_time AS DATE) AS day FROM outcomes WHERE event_time >= ?", [midnight(cutoff)])
    secret = keys.home_secret(settings)
    key = cache(lambda user: keys.user_key(secret, user))
    done: dict[str, dict[str, dt.date]] = {}
    for scenario, user, day in hits.fetchall():
        first = done.setdefault(scenario, {})
        first[key(user)] = min(day, first.get(key(user), day))
    truth = _oracle(settings, cutoff)
    chance: dict[str, dict[str, float]] = {}
    for row in truth.to_pylist():
        chance.setdefault(row["scenario"], {})[key(row["user_id"])] = row["probability"]
    users: list[str] = users_seen(settings, cutoff)["user_key"].to_pylist()
    found = []
    for spec in specs:
        name, horizon = spec["scenario"], min(spec["horizon_days"], settings.horizon_days)
        end = cutoff + dt.timedelta(days=horizon)
        labels = np.array([done.get(name, {}).get(u, end) < end for u in users], int)
        if 0 < labels.sum() < len(users):
            found.append(Scenario(name, spec["demand"], horizon, users, labels, np.array([chance[name][u] for u in users])))
    return found


def _oracle(settings: Settings, cutoff: dt.date) -> pa.Table:
    """The true probabilities at a cutoff, computed once and kept in `HOME/truth`."""
    path = settings.truth / f"oracle-{cutoff}-{settings.horizon_days}.parquet"
    if not path.exists():
        asked = source_config.of_home(settings).simulator
        assert asked is not None
        pq.write_table(simulator.oracle(asked, cutoff, settings.horizon_days), path)
    return pq.read_table(path)


def as_table(rows: list[dict]) -> pa.Table:
    """Result rows as they are stored."""
    return pa.Table.from_pylist(rows, schema=RESULTS)


RESULTS = pa.schema(
    [
        pa.field("cutoff", pa.date32(), nullable=False),
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("model_version", pa.string(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("scenario", pa.string(), nullable=False),
        pa.field("metric", pa.string(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
        pa.field("std", pa.float64(), nullable=False),
        pa.field("users", pa.int64(), nullable=False),
        pa.field("positives", pa.int64(), nullable=False),
        pa.field("seeds", pa.int64(), nullable=False),
    ]
)
