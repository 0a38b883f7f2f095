"""Replay of any outcome on a log whose law is known: its ranks and chances come true, and it says what it cannot."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from conftest import at, lake_of, write_source
from small_log import CUTOFF, DAY, HORIZON, PEOPLE, people, population

from found_platform import daily, lake
from found_platform.contract import RETURN
from found_platform.errors import BadInput
from found_platform.metrics import auc
from found_platform.outcomes import parse
from found_platform.scoring import parts, replay, scorers, stated
from found_platform.scoring.demand import Demand
from found_platform.scoring.population import Population
from found_platform.scoring.replayed import PastTooShort, Replayed
from found_platform.scoring.task import Moment
from models.frozen_text import FrozenText, FrozenTextConfig

GOLD = {"do": {"categories": ["jewellery"]}}


@dataclass
class World:
    """A population, and what its people do in the HORIZON days after the cutoff."""

    events: pd.DataFrame
    users: int
    now: Population

    @cached_property
    def bought(self) -> pd.DataFrame:
        return self.events[self.events.status.isna()]

    def count(self, rows: pd.Series | bool = True, start: int = DAY, days: int = HORIZON, of: str | None = None) -> np.ndarray:
        """(U,) how many purchases there are in a window, or the sum of a column."""
        some = self.bought[rows & self.bought.happened.between(start, start + days - 1)]
        return np.bincount(some.user, weights=None if of is None else some[of], minlength=self.users)

    @property
    def gold(self) -> pd.Series:
        return self.bought.category == "jewellery"

    def answer(self, content: dict, horizon_days: int = HORIZON) -> Replayed:
        return stated.answer(self.now, parse(content), horizon_days)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    events, _ = people()
    tier = ["few" if user < 4 else "half" if user < PEOPLE // 2 else "rest" for user in range(PEOPLE)]
    return World(events, PEOPLE, population(events, PEOPLE, tmp_path_factory.mktemp("home"), profile={"tier": tier}))


def before(world: World, rows: pd.Series | bool = True) -> np.ndarray:
    return world.count(rows, 0, DAY)


Truth = Callable[[World], np.ndarray]
DEMANDS: list[tuple[dict, Truth, float]] = [
    ({"will": {"negated": True}}, lambda w: w.count() == 0, 0.9),
    ({"will": {"times": 4}}, lambda w: w.count() >= 4, 0.9),
    ({"will": {"total": 150}}, lambda w: w.count(of="amount") >= 150, 0.9),
    ({"will": {"do": {"min_amount": 60}}}, lambda w: w.count(w.bought.amount >= 60) > 0, 0.9),
    (
        {"will": {"do": {"returned": True}}},
        lambda w: np.bincount(w.events.user[(w.events.status == RETURN) & (w.events.happened >= DAY)], minlength=w.users) > 0,
        0.9,
    ),
    ({"will": GOLD}, lambda w: w.count(w.gold) > 0, 0.85),
    ({"will": {**GOLD, "history": "first"}}, lambda w: w.count(w.gold) > 0, 0.65),
    ({"will": {**GOLD, "history": "again"}}, lambda w: w.count(w.gold) > 0, 0.85),
    ({"will": {"more_than_before": "times"}}, lambda w: w.count() > w.count(start=DAY - HORIZON), 0.85),
    ({"will": [GOLD, {"total": 100}]}, lambda w: (w.count(w.gold) > 0) & (w.count(of="amount") >= 100), 0.85),
    ({"will": [GOLD, {"negated": True}], "join": "or"}, lambda w: (w.count(w.gold) > 0) | (w.count() == 0), 0.85),
    ({"will": {"negated": True}, "among": {"did": GOLD["do"], "last_days": 90}}, lambda w: w.count() == 0, 0.85),
]


@pytest.mark.parametrize(("content", "truth", "least"), DEMANDS)
def test_who_will_ranks_above_who_will_not_and_chances_come_true(content: dict, truth: Truth, least: float, world: World) -> None:
    replayed, did = world.answer(content), truth(world)
    asked_of = replayed.about
    assert asked_of is not None
    scores, chances, did = replayed.scores[asked_of], replayed.probabilities[asked_of], did[asked_of]
    assert auc(scores, did) > least
    assert abs(chances.mean() - did.mean()) < 0.05
    for tenth in np.array_split(np.argsort(chances), 10):
        noise = 3 * np.sqrt(0.25 / len(tenth))
        assert abs(chances[tenth].mean() - did[tenth].mean()) < 0.06 + noise
    assert replayed.expected is None
    assert replayed.backtest.gini is None


@pytest.mark.parametrize("content", [{"will": {"times": 4}}, {"will": GOLD}])
def test_everybody_has_the_same_scores_in_small_parts(content: dict, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = world.answer(content)
    replay.prepared.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(parts, "WHOLE", 150)
        patch.setattr(parts, "PART", 37)
        in_parts, shown = world.answer(content), parts.evenly(world.now)
    replay.prepared.cache_clear()  # others are asked of all at once
    np.testing.assert_allclose(in_parts.scores, whole.scores, rtol=1e-7, atol=1e-6)
    np.testing.assert_array_equal(in_parts.basis.features, whole.basis.features[shown])


def test_of_whom_it_is_asked_is_heeded_now(world: World) -> None:
    first = world.answer({"will": {**GOLD, "history": "first"}}).about
    again = world.answer({"will": {**GOLD, "history": "again"}}).about
    assert first is not None
    assert again is not None
    np.testing.assert_array_equal(again, before(world, world.gold) > 0)
    np.testing.assert_array_equal(first, (before(world) > 0) & ~again)
    recent = {"did": GOLD["do"], "last_days": 20}
    did = world.answer({"will": GOLD, "among": recent}).about
    did_not = world.answer({"will": GOLD, "among": {**recent, "negated": True}}).about
    assert did is not None
    assert did_not is not None
    np.testing.assert_array_equal(did, world.count(world.gold, DAY - 20, 20) > 0)
    np.testing.assert_array_equal(did_not, (before(world) > 0) & ~did)


@pytest.mark.parametrize(("much", "of"), [({"times": 3}, None), ({"total": 100}, "amount")])
def test_among_whom_heeds_how_much_they_did(much: dict, of: str | None, world: World) -> None:
    """Only who bought so often, or for so much, in the last 60 days: at the cutoff, and the others with `negated`."""
    least = next(iter(much.values()))
    did = world.count(start=DAY - 60, days=60, of=of) >= least
    among = {"did": {}, "last_days": 60, **much}
    about = world.answer({"will": {"negated": True}, "among": among}).about
    assert about is not None
    assert (about == did).mean() > 0.99  # minutes and rounded amounts aside
    denied = world.answer({"will": {"negated": True}, "among": {**among, "negated": True}}).about
    assert denied is not None
    np.testing.assert_array_equal(denied, ~about & (before(world) > 0))


@pytest.mark.parametrize("tier", ["half", "few", "nobody"])
def test_a_filter_of_few_users_or_none_is_answered_too(tier: str, world: World) -> None:
    replayed = world.answer({"will": {}, "among": {"where": f"tier = '{tier}'"}})
    of_tier = {"half": slice(4, PEOPLE // 2), "few": slice(4), "nobody": slice(0)}[tier]
    assert replayed.about is not None
    assert replayed.about.sum() == (before(world)[of_tier] > 0).sum()
    assert np.isfinite(replayed.scores).all()


def test_affinity_ranks_by_the_share_and_volume_counts_for_nothing(world: World) -> None:
    replayed = world.answer({"will": GOLD, "rank": "affinity"})
    acts = world.count()
    judged = acts >= 5
    share = world.count(world.gold)[judged] / acts[judged]
    assert replayed.expected is not None
    expected = replayed.expected[judged]
    assert auc(expected, share > 0.3) > 0.9
    assert np.corrcoef(expected, share)[0, 1] > 0.75
    active = world.count(start=DAY - HORIZON) > 0
    volume = world.count(start=DAY - 100, days=100)[active]
    by_chance = world.answer({"will": GOLD}).probabilities[active]
    assert abs(np.corrcoef(replayed.expected[active], volume)[0, 1]) < 0.1 < np.corrcoef(by_chance, volume)[0, 1]
    assert abs(expected.mean() - share.mean()) < 0.03
    assert (replayed.backtest.gini or 0) > 0.5


def test_value_ranks_by_the_amount_and_says_how_much(world: World) -> None:
    replayed, spent = world.answer({"will": {}, "rank": "value"}), world.count(of="amount")
    assert replayed.expected is not None
    assert auc(replayed.expected, spent > np.quantile(spent, 0.8)) > 0.9
    for tenth in np.array_split(np.argsort(replayed.expected), 10):
        assert abs(replayed.expected[tenth].mean() - spent[tenth].mean()) < 0.25 * spent[tenth].mean() + 5
    assert 0.8 < (replayed.backtest.gini or 0) <= 1
    tenths = replayed.backtest.reliability
    assert [tenth.predicted for tenth in tenths] == sorted(tenth.predicted for tenth in tenths)
    assert tenths[-1].observed > 100 * max(tenths[0].observed, 0.1)


def test_windows_of_the_past_are_as_long_as_the_horizon_and_reach_back_as_far_as_the_log(tmp_path: Path) -> None:
    """Three years of people who come every one to four months: who will stay away for 200 days?"""
    events, _ = people(days=3 * 365, users=500, slower=8)
    world = World(events, 500, population(events, 500, tmp_path))
    replayed = world.answer({"will": {"negated": True}}, 200)
    assert replayed.days == 200
    assert replayed.moments[0] <= CUTOFF - timedelta(days=200)
    assert replayed.moments[-1] < CUTOFF - timedelta(days=700)
    stopped = world.count() == 0
    assert auc(replayed.scores, stopped) > 0.6  # of one month more is not known
    recency = DAY - world.bought[world.bought.happened < DAY].groupby("user").happened.max()
    assert np.corrcoef(replayed.probabilities[recency.index], recency)[0, 1] > 0.7


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({"will": {"total": 1e9}}, "it came true for 0 of the "),
        ({"will": {"total": 1e9, "negated": True}}, "it did not come true for 0 of the "),
        ({"will": {"do": {"channels": ["search"]}}, "rank": "value"}, "has an amount, so there is no value to rank by"),
    ],
)
def test_where_the_past_holds_too_few_of_a_class_habits_answer_and_say_so(content: dict, why: str, world: World) -> None:
    with pytest.raises(PastTooShort, match=why):
        world.answer(content)
    ranking = scorers.rank(world.now, Demand.of_outcome(parse(content)), "auto", HORIZON)
    assert ranking.mode == "habit"
    assert ranking.reason.startswith("habits so far instead of replay: ")
    assert why in ranking.reason
    assert ranking.everybody is not None
    assert np.isfinite(ranking.everybody).all()


def test_users_whom_the_filter_does_not_select_are_not_counted_where_the_past_is_too_short(world: World) -> None:
    with pytest.raises(PastTooShort) as refused:
        world.answer({"will": {"total": 1_000_000}, "among": {"where": "tier = 'half'"}})
    counted = re.search(r"it came true for 0 of the ([\d,]+) users it is asked of", str(refused.value))
    assert counted is not None
    assert 100 < int(counted[1].replace(",", "")) < PEOPLE // 2


def test_shares_of_a_few_acts_teach_nothing(world: World) -> None:
    """In a week nobody does five things, of which a share could be told."""
    with pytest.raises(PastTooShort, match="of the 0 users who did 5 things or more"):
        world.answer({"will": GOLD, "rank": "affinity"}, 7)


def test_what_is_not_in_the_data_or_further_back_than_it_is_refused(world: World) -> None:
    with pytest.raises(BadInput, match=r"`among` looks 900 days back, and the past is 3\d\d days long: ask for fewer"):
        world.answer({"will": {}, "among": {"did": {}, "last_days": 900}})
    with pytest.raises(BadInput, match="has the category 'jewelry': there are jewellery"):
        world.answer({"will": {"do": {"categories": ["jewelry"]}}})
    with pytest.raises(BadInput, match="has the category 'grocery': there are groceries"):
        world.answer({"will": {}, "among": {"did": {"categories": ["grocery"]}, "last_days": 28}})
    with pytest.raises(BadInput, match="no_such"):
        world.answer({"will": {}, "among": {"where": "no_such = 1"}})
    with pytest.raises(BadInput, match="10 days on which it is done do not fit into 7 days"):
        world.answer({"will": {"days": 10}}, 7)


def test_the_rhythm_is_told_in_words(world: World) -> None:
    rows = np.flatnonzero(before(world) > 3)[:3]
    words = stated.rhythm_in_words(world.now, parse({"will": {}}), rows)
    for row in rows.tolist():
        days = sorted(set(world.bought[(world.bought.user == row) & (world.bought.happened < DAY)].happened))
        assert f"did it on {len(days)} days so far" in words[row]
        assert f"last {DAY - days[-1]:,} day" in words[row]
    never = int(np.flatnonzero((before(world) > 0) & (before(world, world.gold) == 0))[0])
    assert stated.rhythm_in_words(world.now, parse({"will": GOLD}), np.array([never])) == {never: "never did it so far"}


@pytest.mark.slow
def test_changing_the_future_changes_nothing(tmp_path: Path) -> None:
    """In a lake that goes on after the cutoff."""
    events, _ = people(days=80, users=200)
    rows = [
        {
            "user_id": f"u{event.user}",
            "event_time": at(str(CUTOFF + timedelta(days=int(event.happened) - DAY))),
            **{name: getattr(event, name) for name in ("text", "category", "amount")},
        }
        for event in events[events.status.isna()].itertuples()
    ]
    settings = lake_of(tmp_path / "home", write_source(tmp_path, rows))
    stored = lake.read(settings.lake, "raw_events").to_pandas()
    keys = sorted(set(stored.user_key))
    model = FrozenText(FrozenTextConfig("offline-text", "", 384))

    def answers() -> list[Replayed]:
        vectors, counts = np.zeros((len(keys), 8), np.float32), np.ones(len(keys))
        now = Population.of_lake(settings, model, None, CUTOFF, keys, vectors, counts)
        assert now.states.values["category"] == ["groceries", "jewellery"]
        with pytest.raises(BadInput, match="No event before the cutoff has the category"):
            stated.answer(now, parse({"will": {"do": {"categories": ["a later category"]}}}), 14)
        contents: list[dict] = [{"will": {"negated": True}}, {"will": {}, "rank": "value"}]
        return [stated.answer(now, parse(content), 14) for content in contents]

    as_it_was = answers()
    changed = stored[stored.event_date >= CUTOFF].assign(amount=1e6, category="a later category")
    changed["user_key"] = np.random.default_rng(0).permutation(changed.user_key)
    schema = lake.read(settings.lake, "raw_events").schema
    table = pa.Table.from_pandas(changed, schema=schema, preserve_index=False)
    end = CUTOFF + timedelta(days=HORIZON + 2)
    daily.replace_days(settings.lake, "raw_events", table, CUTOFF, end, schema=schema)
    assert 1e6 in lake.read(settings.lake, "raw_events")["amount"].to_pylist()
    for one, other in zip(as_it_was, answers(), strict=True):
        np.testing.assert_array_equal(one.scores, other.scores)
        np.testing.assert_array_equal(one.probabilities, other.probabilities)
        assert one.matched == other.matched


def test_where_few_are_asked_of_others_of_them_teach() -> None:
    """A moment keeps more users than teach: whoever is not eligible gives the place to somebody who is."""
    users = np.arange(100)
    first = users % 10 == 0
    nothing = np.empty((0, 0), np.float32)
    moment = Moment(DAY, users, pa.table({"user": users}), nothing, np.zeros(100, bool), nothing, first)
    np.testing.assert_array_equal(moment.learners(np.ones(100, bool)), first)
    few = users >= 75
    learners = moment.learners(few)
    assert learners.sum() == first.sum()
    assert not (learners & ~few).any()
    assert learners[first & few].all()
    assert moment.learners(users >= 98).sum() == 2


@pytest.mark.parametrize(
    ("content", "truth"),
    [
        ({"will": {"negated": True}}, lambda w: w.count(start=DAY - HORIZON) == 0),
        ({"will": {"times": 3}}, lambda w: w.count(start=DAY - HORIZON) >= 3),
        (
            {"will": [GOLD, {"negated": True}], "join": "or"},
            lambda w: (w.count(w.gold, DAY - HORIZON) > 0) | (w.count(start=DAY - HORIZON) == 0),
        ),
    ],
)
def test_what_came_true_is_told_by_the_same_outcome(world: World, content: dict, truth: Truth) -> None:
    """As the lift of a campaign asks it."""
    told = stated.came_true(world.now, parse(content), DAY - HORIZON, HORIZON)
    distinct_times = {"times"} & set(content["will"] if isinstance(content["will"], dict) else {})
    assert (told != truth(world)).mean() <= (0.01 if distinct_times else 0)  # two purchases in one minute are one time
