"""World 2: world 1 with returns; scenarios of acts and affinity whose truth and probability are told by one rule."""

import datetime as dt
import hashlib
import json
from itertools import pairwise
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from found_platform import outcomes
from found_platform.settings import Settings
from found_platform.sources.config import Simulation, SourceConfig
from found_platform.sources.simulator import acts, events, futures, judgement, write
from found_platform.sources.simulator import scenarios as scenarios_of_leaves
from found_platform.sources.simulator.days import alive
from found_platform.sources.simulator.oracle import probability
from found_platform.sources.simulator.people import BLOCK, people
from found_platform.sources.simulator.world import VERSION, world

START = dt.date(2026, 1, 1)
ASKED = Simulation(users=BLOCK, days=120, seed=7, world=2)
CUTOFF, HORIZON = START + dt.timedelta(days=92), 28


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """1,024 users of world 2 over 120 days."""
    settings = Settings.load(tmp_path_factory.mktemp("world2"))
    write.generate(settings, SourceConfig.model_validate({"name": "simulated", "simulator": ASKED.model_dump()}))
    return settings


@pytest.fixture(scope="module")
def judged(home: Settings) -> pa.Table:
    return judgement(ASKED, home.truth / "payments", CUTOFF, HORIZON)


def test_world_2_is_frozen() -> None:
    """A change of a parameter or of what is drawn is a new version, with a table of its own in docs/simulator.md."""
    rows, truth = acts.day_of_block(7, 1, START, 30, 3 * BLOCK)
    drawn = hashlib.sha256(json.dumps([rows.to_pydict(), truth.to_pydict()], default=str).encode()).hexdigest()[:16]
    assert (acts.VERSION, acts.fingerprint(), drawn) == (2, "06edd95344822ab3", "e63564033f5e5062")
    assert acts.fingerprint() in (Path(__file__).parents[3] / "docs" / "simulator.md").read_text()


def test_a_population_of_world_1_that_an_earlier_version_wrote_is_not_written_again(tmp_path: Path) -> None:
    simulation = Simulation.model_validate({"users": 300, "days": 30})
    settings, folder = Settings.load(tmp_path), tmp_path / "simulated"
    folder.mkdir()
    dump = simulation.model_dump(mode="json")
    assert "world" not in dump
    before = json.dumps({"version": VERSION, "world": world().fingerprint, **dump})
    (folder / "made.json").write_text(before)
    write.generate(settings, SourceConfig(name="simulated", simulator=simulation))
    assert [file.name for file in folder.iterdir()] == ["made.json"]


def test_world_2_has_every_row_of_world_1_and_returns_beside_them() -> None:
    rows, _ = acts.day_of_block(7, 1, START, 30, 3 * BLOCK)
    kept = rows.filter(pc.invert(rows["returned"])).drop_columns("returned")
    assert kept.equals(events.day_of_block(7, 1, START, 30, 3 * BLOCK)[0])
    returns = rows.filter(rows["returned"])
    assert set(returns["channel"].to_pylist()) == {"pay_bill"}
    fewer, _ = acts.day_of_block(7, 1, START, 30, BLOCK + 100)
    few = {f"user-7-{BLOCK + i:06d}" for i in range(100)}
    same = ["user_id", "event_time", "text", "amount"]
    mine = returns.filter(pc.is_in(returns["user_id"], pa.array(sorted(few)))).select(same)
    assert mine.equals(fewer.filter(fewer["returned"]).select(same))


def test_what_is_sent_back_was_paid_for_two_to_fourteen_days_before() -> None:
    days = [acts.day_of_block(7, 0, START, day, BLOCK)[1] for day in range(40)]
    paid = {
        (user, leaf, day)
        for day, truth in enumerate(days)
        for user, leaf, back in zip(*(truth[c].to_pylist() for c in ("user_id", "leaf", "returned")), strict=True)
        if not back
    }
    returns = days[39].filter(days[39]["returned"])
    assert returns.num_rows > 3
    for user, leaf in zip(returns["user_id"].to_pylist(), returns["leaf"].to_pylist(), strict=True):
        assert any((user, leaf, 39 - after) in paid for after in range(2, 15))


@pytest.mark.slow
def test_every_scenario_states_its_outcome_and_the_rank_by_which_it_is_judged() -> None:
    for spec in acts.scenarios():
        outcome = outcomes.parse(spec["outcome"])
        assert outcome.rank == spec.get("rank", "chance")
        assert outcome.within_days == spec["horizon_days"]
        assert len(spec["paraphrases"]) == 3
        assert ("leaves" in spec) == (outcome.rank == "affinity")
        assert set(spec.get("leaves", [])) <= set(world().leaves)


@pytest.mark.slow
def test_futures_agree_with_the_probabilities_in_closed_form() -> None:
    """Over users, the part of futures in which somebody pays for a leaf is the oracle's probability, within its own chance."""
    day, count = (CUTOFF - START).days, 300
    drawn = futures.draw(7, 0, START, day, HORIZON, count)
    is_alive = alive(people(7, 0), day - 1) & (people(7, 0).joins < day)
    for spec in scenarios_of_leaves():
        if spec["outcome"] != "pay_bill":
            continue
        exact = probability(7, 0, START, day, spec)[is_alive]
        leaves = [world().index[name] for name in spec["leaves"]]
        rows = drawn.of(np.isin(drawn.leaf, leaves) & ~drawn.returned)
        share = (rows.counts(count * BLOCK) > 0).reshape(count, BLOCK).mean(0)[is_alive]
        error = np.sqrt(np.maximum(exact * (1 - exact), 1e-4) / count)
        assert np.abs((share - exact) / error).max() < 6, spec["scenario"]
        assert abs(share.mean() - exact.mean()) < 4 * np.sqrt((error**2).sum()) / len(exact), spec["scenario"]


@pytest.mark.slow
def test_what_came_true_is_as_probable_as_it_is_said(judged: pa.Table) -> None:
    """In each band of the probability as many do it; scenarios share their users, so an error counts for the eleven of them."""
    chance, label = judged["probability"].to_numpy(), judged["label"].to_numpy()
    assert not label[chance == 0].sum() > 3  # so rare that it was in no future
    for low, high in pairwise([0, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0]):
        band = (chance > low) & (chance <= high)
        error = np.sqrt(3 * (chance[band] * (1 - chance[band])).sum()) / band.sum()
        assert abs(label[band].mean() - chance[band].mean()) < 4 * error, (low, high)


@pytest.mark.slow
def test_a_scenario_is_asked_of_whom_its_outcome_says(home: Settings, judged: pa.Table) -> None:
    """Lapse of those who paid in the last 28 days, buying again of those who ever did: told from the written events alone."""
    events_of_files = duckdb.read_parquet(str(home.home / "simulated" / "events" / "*.parquet"))

    def users(condition: str) -> set[str]:
        rows = events_of_files.filter(f"channel = 'pay_bill' AND {condition}").select("user_id").distinct()
        return {user for (user,) in rows.fetchall()}

    def of_scenario(name: str, condition: pc.Expression) -> set[str]:
        return set(judged.filter((pc.field("scenario") == name) & condition)["user_id"].to_pylist())

    duckdb.execute("SET TimeZone = 'UTC'")
    before, everybody = f"NOT returned AND event_time < '{CUTOFF}'", pc.scalar(True)
    assert of_scenario("buy_again", everybody) == users(before)
    assert of_scenario("lapse", everybody) == users(f"{before} AND event_time >= '{CUTOFF - dt.timedelta(days=28)}'")
    returned = users(f"returned AND event_time >= '{CUTOFF}' AND event_time < '{CUTOFF + dt.timedelta(days=HORIZON)}'")
    assert of_scenario("send_back", pc.field("label") == 1) == returned & of_scenario("send_back", everybody)
