"""The simulator: repeatable whatever the shards, a day at a time, lifelike in its tails, with an oracle that is calibrated."""

import datetime as dt
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from found_platform.contract import midnight
from found_platform.sources.config import Simulation
from found_platform.sources.simulator import drifts, scenarios, world, write
from found_platform.sources.simulator.events import day_of_block
from found_platform.sources.simulator.people import BLOCK

START = dt.date(2026, 1, 1)
ASKED = Simulation(users=3 * BLOCK, days=100, seed=7)
CUTOFF = START + dt.timedelta(days=72)


@pytest.fixture(scope="module")
def history() -> tuple[pa.Table, pa.Table]:
    """Events and outcomes of 3,072 users over 100 days."""
    days = [day_of_block(7, block, START, day, ASKED.users) for block in range(3) for day in range(100)]
    events, outcomes = (pa.concat_tables(tables) for tables in zip(*days, strict=True))
    return events, outcomes


def test_the_world_is_frozen() -> None:
    """A change of any parameter is a new version, with a table of its own in docs/simulator.md."""
    assert (write.VERSION, world().fingerprint) == (1, FROZEN)


FROZEN = "1bc2938245385f25"


def test_a_day_can_be_drawn_alone_and_a_user_does_not_depend_on_how_many_there_are() -> None:
    events, outcomes = day_of_block(7, 1, START, 30, 3 * BLOCK)
    for d in (31, 29, 5):
        day_of_block(7, 0, START, d, 3 * BLOCK)
    again, outcomes_again = day_of_block(7, 1, START, 30, 3 * BLOCK)
    assert events.equals(again)
    assert outcomes.equals(outcomes_again)
    fewer, _ = day_of_block(7, 1, START, 30, BLOCK + 100)
    few = {f"user-7-{BLOCK + i:06d}" for i in range(100)}
    columns = [c for c in events.column_names if c != "event_id"]
    assert events.filter(pc.is_in(events["user_id"], pa.array(sorted(few)))).select(columns).equals(fewer.select(columns))
    assert not day_of_block(8, 1, START, 30, 3 * BLOCK)[0].select(["text"]).equals(events.select(["text"]))


def test_every_channel_is_there_with_long_tails(history: tuple[pa.Table, pa.Table]) -> None:
    events, outcomes = history
    assert set(events["channel"].unique().to_pylist()) == {"pay_bill", "spm", "mini_program", "search"}
    per_user = np.sort(pc.value_counts(events["user_id"]).field("counts").to_numpy())[::-1]
    assert per_user[: len(per_user) // 10].sum() > 0.3 * per_user.sum()
    texts = np.sort(pc.value_counts(events["text"]).field("counts").to_numpy())[::-1]
    assert len(texts) > 5000
    assert texts[: len(texts) // 20].sum() > 0.25 * texts.sum()
    assert set(outcomes["scenario"].unique().to_pylist()) == {s["scenario"] for s in scenarios()}
    channels = events.group_by("user_id").aggregate([("channel", "distinct")])["channel_distinct"].to_pylist()
    assert {len(c) for c in channels} == {1, 2, 3, 4}  # some only pay, some only click
    exposed = events.filter(events["exposure"])
    assert exposed["amount"].null_count == exposed.num_rows > 100
    assert pc.value_counts(events["event_id"]).field("counts").to_numpy().max() == 1


def test_scenarios_are_thirteen_in_three_domains_with_three_paraphrases() -> None:
    assert len(scenarios()) == 13
    assert {s["domain"] for s in scenarios()} == {"security and risk control", "marketing", "recommendation"}
    assert all(len(s["paraphrases"]) == 3 and set(s["leaves"]) <= set(world().leaves) for s in scenarios())


def test_the_oracle_is_calibrated(history: tuple[pa.Table, pa.Table]) -> None:
    """Over all scenarios, in each band of the true probability as many do it as it says, within four standard errors."""
    _, outcomes = history
    truth = write.oracle(ASKED, CUTOFF, 28)
    start, end = midnight(CUTOFF), midnight(CUTOFF + dt.timedelta(days=28))
    inside = outcomes.filter(pc.and_(pc.greater_equal(outcomes["event_time"], start), pc.less(outcomes["event_time"], end)))
    did = set(zip(inside["user_id"].to_pylist(), inside["scenario"].to_pylist(), strict=True))
    chance = truth["probability"].to_numpy()
    label = np.array([pair in did for pair in zip(truth["user_id"].to_pylist(), truth["scenario"].to_pylist(), strict=True)])
    assert not label[chance == 0].any()
    assert 0 < np.isnan(chance).mean() < 0.2
    edges = [0, 0.01, 0.03, 0.06, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0]
    for low, high in pairwise(edges):
        band = (chance > low) & (chance <= high)
        error = np.sqrt((chance[band] * (1 - chance[band])).sum()) / band.sum()
        assert abs(label[band].mean() - chance[band].mean()) < 4 * error, (low, high)


def test_hard_negatives_look_alike_and_never_do_it(history: tuple[pa.Table, pa.Table]) -> None:
    """They wish for a new phone as the others do, and none of them buys one."""
    _, outcomes = history
    truth = write.oracle(ASKED, CUTOFF, 28)
    mine = truth.filter(pc.equal(truth["scenario"], "phone_buyers"))
    never = set(mine.filter(mine["hard_negative"])["user_id"].to_pylist())
    buyers = set(outcomes.filter(pc.equal(outcomes["scenario"], "phone_buyers"))["user_id"].to_pylist())
    assert 0.25 < len(never) / ASKED.users < 0.45
    assert buyers
    assert not buyers & never


@pytest.mark.parametrize("name", list(drifts.DRIFTS))
def test_a_drift_changes_its_days_and_no_other(name: str) -> None:
    asked = ASKED.model_copy(update={"drifts": {name: START + dt.timedelta(days=20)}})
    events, _ = day_of_block(7, 0, START, 20, BLOCK)
    assert write.drifted(events, asked, 19).equals(events)
    changed = write.drifted(events, asked, 20)
    assert not changed.equals(events)
    assert changed.schema.equals(events.schema)
    marks = {
        "new_product_line": lambda t: sum("Zephyra" in x for x in t["text"].to_pylist()) > 0.3 * t.num_rows,
        "dead_channel": lambda t: "search" not in t["channel"].to_pylist(),
        "shifted_population": lambda t: len(t["user_id"].unique()) < 0.7 * len(events["user_id"].unique()),
        "broken_units": lambda t: pc.sum(t["amount"]).as_py() == pytest.approx(100 * pc.sum(events["amount"]).as_py()),
        "changed_prices": lambda t: pc.sum(t["amount"]).as_py() == pytest.approx(1.35 * pc.sum(events["amount"]).as_py(), rel=1e-3),
        "bot_traffic": lambda t: t.num_rows > 1.1 * events.num_rows,
    }
    assert marks[name](changed)
