"""Scenarios and labels: of the files a person gives, or of the simulator (`simulated`)."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at run time)

import datetime as dt
import hashlib
import json
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from found_platform import documents, lake, outcomes
from found_platform.contract import midnight
from found_platform.errors import BadInput
from found_platform.evaluation import simulated
from found_platform.evaluation.scenario import MIN_CLASS, Scenario
from found_platform.outcomes import RANKS
from found_platform.privacy import keys, user_files
from found_platform.settings import Settings
from found_platform.sources import config as source_config
from found_platform.training_data.training_set import users_seen


class NoLabels(BadInput):
    """A label file is sound and has nothing about this cutoff."""


def label_files(settings: Settings) -> dict[str, str]:
    """The label and scenario files that this home's benchmark was last asked for, if any."""
    path = settings.home / "benchmark.yaml"
    return yaml.safe_load(path.read_text()) if path.exists() else {}


def keep_label_files(settings: Settings, cutoff: dt.date, labels: Path, scenarios: Path) -> None:
    """Makes these files the home's labels. Raises BadInput, and keeps what was, when they cannot be used at this cutoff."""
    from_files(settings, cutoff, labels, scenarios)
    (settings.home / "benchmark.yaml").write_text(
        yaml.safe_dump({"labels": str(labels.resolve()), "scenarios": str(scenarios.resolve())})
    )


def fingerprint(settings: Settings) -> str:
    """The label and scenario files with a hash of what is in them."""
    files = label_files(settings)
    contents = {k: hashlib.sha256(p.read_bytes()).hexdigest() if (p := Path(f)).exists() else "missing" for k, f in files.items()}
    return json.dumps([files, contents], sort_keys=True)


def load(settings: Settings, cutoff: dt.date) -> tuple[list[Scenario], str]:
    """The scenarios at a cutoff, from the files given or from the simulator; where there are none, why."""
    files = label_files(settings)
    if files:
        try:
            return from_files(settings, cutoff, Path(files["labels"]), Path(files["scenarios"])), ""
        except NoLabels as none:
            return [], str(none)
    if not settings.truth.exists():
        return [], "no labels were given and the source is not simulated: pass --labels and --scenarios to `found benchmark run`"
    end = source_config.of_home(settings).days[1]
    if cutoff + dt.timedelta(days=settings.horizon_days) > end:
        return (
            [],
            f"the data ends on {end}, less than a horizon of {settings.horizon_days} days after the cutoff {cutoff}",
        )
    scenarios = simulated.load(settings, cutoff)
    return (
        scenarios,
        "" if scenarios else f"no scenario has {MIN_CLASS} users who do it and {MIN_CLASS} who do not: simulate more users",
    )


LABELS = ("user_id", "scenario", "cutoff", "label")
"""The columns of a label file."""


def from_files(settings: Settings, cutoff: dt.date, labels: Path, scenarios: Path) -> list[Scenario]:
    """The scenarios of a label and a scenario file at a cutoff.

    Raises BadInput for a file that is missing, misses a column, has other labels than 0 and 1, repeats a user, or has no labels of
    users of this home at this cutoff.
    """
    specs = _specs(scenarios)
    if not labels.exists():
        raise BadInput(f"The label file {labels} does not exist.")
    rows = list(user_files.read(labels, LABELS[1:], required=f"labels carry {', '.join(LABELS[:-1])} and {LABELS[-1]}"))
    texts = [pa.array([(row.user_id, *row.values)[i] for row in rows], pa.string()) for i in range(len(LABELS))]
    con = lake.connect()
    con.register("labels", pa.table(texts, list(LABELS)))
    try:
        table = con.execute(
            "SELECT user_id, scenario, TRY_CAST(label AS DOUBLE) AS label FROM labels "
            "WHERE CAST(cutoff AS TIMESTAMPTZ) = ? ORDER BY user_id",
            [midnight(cutoff)],
        ).to_arrow_table()
    except duckdb.Error as error:
        raise BadInput(f"{labels} cannot be read: {str(error).splitlines()[0].rstrip('.')}.") from None
    if not table.num_rows:
        raise NoLabels(f"{labels} has no labels at the cutoff {cutoff}: choose the --cutoff that its labels were made for.")
    if set(table["label"].unique().to_pylist()) - {0.0, 1.0}:
        raise BadInput(f"{labels} has labels other than 0 and 1: write 1 for who did it and 0 for who did not.")
    secret = keys.home_secret(settings)
    seen_keys = set(users_seen(settings, source_config.of_home(settings).days[1])["user_key"].to_pylist())
    loaded = []
    for spec in specs:
        rows = table.filter(pc.equal(table["scenario"], spec["scenario"]))
        users = [keys.user_key(secret, u) for u in rows["user_id"].to_pylist()]
        if not users:
            continue
        if len(set(users)) < len(users):
            raise BadInput(
                f"{labels} names a user twice in the scenario {spec['scenario']!r}: one label a user, scenario and cutoff."
            )
        if not seen_keys & set(users):
            raise BadInput(f"None of the {len(users):,} users that {labels} labels for {spec['scenario']!r} is in {settings.home}.")
        values = rows["label"].to_numpy().astype(int)
        if min(values.sum(), (1 - values).sum()) < MIN_CLASS:
            raise BadInput(
                f"{labels}: the scenario {spec['scenario']!r} has {values.sum()} positives and {(1 - values).sum()} negatives; "
                f"at least {MIN_CLASS} of either are needed."
            )
        loaded.append(_scenario(settings, spec, users, values))
    if not loaded:
        raise BadInput(f"{labels} has no labels of the scenarios in {scenarios}.")
    return loaded


def _specs(path: Path) -> list[dict]:
    if not path.exists():
        raise BadInput(f"The scenario file {path} does not exist.")
    content = documents.load(path, "scenario file")
    try:
        specs = content["scenarios"]
        if all(isinstance(s["scenario"], str) and isinstance(s["demand"], str) for s in specs):
            return specs
    except (KeyError, TypeError):
        pass
    raise BadInput(f"{path} is no scenario file: it holds `scenarios:`, a list of entries with the texts `scenario` and `demand`.")


def _scenario(settings: Settings, spec: dict, users: list[str], labels: np.ndarray) -> Scenario:
    name, rank = spec["scenario"], spec.get("rank")
    days, paraphrases = spec.get("horizon_days") or settings.horizon_days, spec.get("paraphrases") or []
    if type(days) is not int or days < 1:
        raise BadInput(f"The scenario {name!r} has the horizon_days {documents.brief(days)}: write a whole number of days.")
    if not isinstance(paraphrases, list):
        raise BadInput(f"The scenario {name!r} has the paraphrases {documents.brief(paraphrases)}: write a list of texts.")
    if rank is not None and rank not in RANKS:
        raise BadInput(f"The scenario {name!r} has the rank {documents.brief(rank)}: choose {', '.join(RANKS)}.")
    stated = outcomes.parse(spec["outcome"], f"the scenario {name!r}") if spec.get("outcome") else None
    wordings = [str(paraphrase) for paraphrase in paraphrases]
    return Scenario(name, spec["demand"], users, labels, wordings, days, outcome=stated, rank=rank)


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
