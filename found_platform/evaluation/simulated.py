"""The scenarios of a simulated source: who really did it, and how probable that was. Only the benchmark reads `HOME/truth`."""

import datetime as dt
import io
import json
from collections.abc import Callable
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from found_platform import lake, outcomes
from found_platform.contract import midnight
from found_platform.evaluation.scenario import MIN_CLASS, Scenario
from found_platform.home import write_whole
from found_platform.privacy import keys
from found_platform.settings import Settings
from found_platform.sources import config as source_config
from found_platform.sources import simulator
from found_platform.sources.config import Simulation
from found_platform.training_data.training_set import users_seen


def load(settings: Settings, cutoff: dt.date) -> list[Scenario]:
    """The scenarios of the home's world at a cutoff, as far as enough users do it and enough do not."""
    return _of_acts(settings, cutoff) if _simulation(settings).world == 2 else _of_leaves(settings, cutoff)


def _simulation(settings: Settings) -> Simulation:
    simulation = source_config.of_home(settings).simulator
    assert simulation is not None
    return simulation


def _of_leaves(settings: Settings, cutoff: dt.date) -> list[Scenario]:
    """Everybody seen before the cutoff; positive who does it in the scenario's horizon, at most the home's, after it."""
    secret = keys.home_secret(settings)
    key = cache(lambda user: keys.user_key(secret, user))
    con = lake.connect()
    happened = con.read_parquet(str(settings.truth / "outcomes" / "*.parquet"))
    first = con.execute(
        "SELECT scenario, user_id, min(CAST(event_time AS DATE)) FROM happened WHERE event_time >= ? GROUP BY ALL",
        [midnight(cutoff)],
    ).fetchall()
    del happened
    first_days = {(scenario, key(user)): day for scenario, user, day in first}
    truth = _oracle(settings, cutoff)
    probabilities = {(r["scenario"], key(r["user_id"])): (r["probability"], r["hard_negative"]) for r in truth.to_pylist()}
    users: list[str] = users_seen(settings, cutoff)["user_key"].to_pylist()
    scenarios = []
    for spec in json.loads((settings.truth / "scenarios.json").read_text())["scenarios"]:
        name = spec["scenario"]
        end = cutoff + dt.timedelta(days=min(spec["horizon_days"], settings.horizon_days))
        labels = np.array([first_days.get((name, user), end) < end for user in users], int)
        if MIN_CLASS <= labels.sum() <= len(users) - MIN_CLASS:
            chance, hard = (np.array(column) for column in zip(*(probabilities[name, user] for user in users), strict=True))
            days = (end - cutoff).days
            scenarios.append(Scenario(name, spec["demand"], users, labels, spec["paraphrases"], days, chance, hard & (labels == 0)))
    return scenarios


def _of_acts(settings: Settings, cutoff: dt.date) -> list[Scenario]:
    """World 2: those of whom a scenario is asked, as far as they were seen before the cutoff."""
    secret = keys.home_secret(settings)
    key = cache(lambda user: keys.user_key(secret, user))
    seen = set(users_seen(settings, cutoff)["user_key"].to_pylist())
    table = _judgement(settings, cutoff).to_pandas()
    table = table.assign(user_key=[key(user) for user in table["user_id"]])
    table = table[table["user_key"].isin(seen)]
    scenarios = []
    for spec in json.loads((settings.truth / "scenarios.json").read_text())["scenarios"]:
        rows, name = table[table["scenario"] == spec["scenario"]], spec["scenario"]
        labels = rows["label"].to_numpy()
        if MIN_CLASS <= labels.sum() <= len(labels) - MIN_CLASS:
            scenarios.append(
                Scenario(
                    name,
                    spec["demand"],
                    rows["user_key"].tolist(),
                    labels,
                    spec["paraphrases"],
                    min(spec["horizon_days"], settings.horizon_days),
                    rows["probability"].to_numpy(),
                    outcome=outcomes.parse(spec["outcome"], f"the scenario {name!r}"),
                    rank=spec.get("rank"),
                )
            )
    return scenarios


def _judgement(settings: Settings, cutoff: dt.date) -> pa.Table:
    """What came true and how probable it was."""
    horizon, payments = settings.horizon_days, settings.truth / "payments"
    name = f"acts-{cutoff}-{horizon}.parquet"
    return _kept(settings, name, lambda: simulator.judgement(_simulation(settings), payments, cutoff, horizon))


def _oracle(settings: Settings, cutoff: dt.date) -> pa.Table:
    """The true probabilities at a cutoff."""
    horizon = settings.horizon_days
    name = f"oracle-{cutoff}-{horizon}.parquet"
    return _kept(settings, name, lambda: simulator.oracle(_simulation(settings), cutoff, horizon))


def _kept(settings: Settings, name: str, compute: Callable[[], pa.Table]) -> pa.Table:
    """A table that is computed once and kept in `HOME/truth`, whole or not at all."""
    path = settings.truth / name
    if not path.exists():
        buffer = io.BytesIO()
        pq.write_table(compute(), buffer)
        write_whole(path, buffer.getvalue())
    return pq.read_table(path)
