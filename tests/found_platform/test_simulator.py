"""The simulator: repeatable, lifelike enough to try the platform on, and honest about what is done to users."""

import numpy as np
import pyarrow.compute as pc

from found_platform.sources import simulator
from found_platform.sources.config import Simulation

ASKED = Simulation(users=400, days=60, seed=3)


def test_the_same_seed_gives_the_same_rows_and_another_seed_others() -> None:
    first, again = simulator.population(ASKED), simulator.population(ASKED)
    assert all(a.equals(b) for a, b in zip(first, again, strict=True))
    assert not simulator.population(ASKED.model_copy(update={"seed": 4}))[0].equals(first[0])


def test_every_channel_is_there_with_a_long_tail_of_texts_and_users() -> None:
    events, profile, outcomes = simulator.population(ASKED)
    assert set(events["channel"].unique().to_pylist()) == set(simulator.CHANNELS)
    counts = np.sort(pc.value_counts(events["user_id"]).field("counts").to_numpy())[::-1]
    assert counts[: len(counts) // 10].sum() > 0.3 * counts.sum()
    assert len(events["text"].unique()) > 1000
    assert profile.num_rows == 400
    assert 0 < profile["age_band"].null_count < 80
    assert set(outcomes["scenario"].unique().to_pylist()) <= {s["scenario"] for s in simulator.catalogue()["scenarios"]}


def test_exposures_fall_on_everybody_and_are_no_outcome() -> None:
    events, _, outcomes = simulator.population(ASKED)
    exposed = events.filter(events["exposure"])
    assert exposed.num_rows > 50
    assert exposed["amount"].null_count == exposed.num_rows
    paid = events.filter(pc.and_(pc.equal(events["channel"], "pay_bill"), pc.invert(events["exposure"])))
    moments = set(zip(paid["user_id"].to_pylist(), paid["event_time"].to_pylist(), strict=True))
    assert set(zip(outcomes["user_id"].to_pylist(), outcomes["event_time"].to_pylist(), strict=True)) <= moments


def test_what_a_scenario_asks_for_can_be_foretold_from_the_past() -> None:
    """Past buyers of a thing buy it again more often than others: there is something to find."""
    _, _, outcomes = simulator.population(Simulation(users=1500, days=80, seed=1))
    middle = simulator.midnight(ASKED.start + (simulator.dt.timedelta(days=50)))
    for spec in simulator.catalogue()["scenarios"]:
        mine = outcomes.filter(pc.equal(outcomes["scenario"], spec["scenario"]))
        early = set(mine.filter(pc.less(mine["event_time"], middle))["user_id"].to_pylist())
        late = set(mine.filter(pc.greater_equal(mine["event_time"], middle))["user_id"].to_pylist())
        assert len(early & late) / len(early) > 2 * len(late - early) / (1500 - len(early))
