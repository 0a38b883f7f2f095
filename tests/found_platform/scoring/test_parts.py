"""More users than are looked at at once have the answers of all at once, in memory that hardly grows with them."""

import datetime as dt
import os
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from small_log import DAY, GOLD, HORIZON, PEOPLE, MadeUp, people, population

from found_platform.index.past import COLUMNS
from found_platform.index.states import PastState
from found_platform.outcomes import parse
from found_platform.scoring import affinity, everybody, matching, parts, replay, scorers, stated, texts
from found_platform.scoring.demand import Demand
from found_platform.scoring.population import Population
from found_platform.scoring.scorers import late

JEWELLERY = {"do": {"categories": ["jewellery"]}}
OUTCOMES = [
    {"will": {"negated": True}},
    {"will": {**JEWELLERY, "history": "again"}, "among": {"did": JEWELLERY["do"], "last_days": 120}},
    {"will": {"do": {"about": list(GOLD[:2])}}},
    {"will": JEWELLERY, "rank": "affinity"},
    {"will": {}, "rank": "value", "among": {"where": "tier = 'half'"}},
]


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Population:
    return made_up(tmp_path_factory.mktemp("home"), PEOPLE)


def made_up(home: Path, count: int) -> Population:
    events, _ = people(users=count)
    tier = ["few" if user < 4 else "half" if user < count // 2 else "rest" for user in range(count)]
    return population(events, count, home, profile={"tier": tier})


@pytest.fixture
def divided(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """More than 300 users are looked at 90 at a time."""
    monkeypatch.setattr(parts, "WHOLE", 300)
    monkeypatch.setattr(parts, "PART", 90)
    forget()
    yield
    forget()


def forget() -> None:
    for kept in (replay.prepared, affinity.taste, late._event_weights):
        kept.cache_clear()


def test_a_part_s_users_did_what_they_did(users: Population) -> None:
    whole = users.past
    for rows in (slice(90, 180), np.array([3, 5, 400, 799])):
        part = parts.part(users, rows)
        chosen = np.arange(PEOPLE)[rows]
        own = np.isin(whole.user, chosen)
        assert (part.past.users, list(part.keys)) == (len(chosen), users.keys.take(chosen))
        np.testing.assert_array_equal(chosen[part.past.user], whole.user[own])
        for column in COLUMNS[1:]:
            np.testing.assert_array_equal(getattr(part.past, column), getattr(whole, column)[own])
        np.testing.assert_array_equal(part.states.volume(DAY), users.states.volume(DAY)[chosen])
        assert part.attributes.equals(users.attributes.take(pa.array(chosen)))


@pytest.mark.slow
@pytest.mark.parametrize("content", OUTCOMES)
def test_an_outcome_has_the_same_answer_in_parts(
    content: dict, users: Population, divided: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = parse(content)
    in_parts = stated.answer(users, outcome, HORIZON)
    rows = np.array([700, 3, 41, 399])
    effects = in_parts.effects(rows)
    words = stated.rhythm_in_words(users, outcome, rows)
    monkeypatch.setattr(parts, "WHOLE", PEOPLE)
    forget()
    whole = stated.answer(users, outcome, HORIZON)
    assert (in_parts.matched, in_parts.learned, in_parts.days) == (whole.matched, whole.learned, whole.days)
    for name in ("scores", "probabilities", "expected", "about"):
        one, other = getattr(in_parts, name), getattr(whole, name)
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(in_parts.backtest.odds, whole.backtest.odds, rtol=1e-6, atol=1e-6)
    assert in_parts.basis.groups == whole.basis.groups
    usual = replace(in_parts.basis, features=whole.basis.features)  # that of 300 users is another than that of all
    assert effects.keys() == whole.effects(rows).keys()
    for name, effect in usual.effects(rows).items():
        np.testing.assert_allclose(effect, whole.effects(rows)[name], rtol=1e-5, atol=1e-6, err_msg=name)
    assert words == stated.rhythm_in_words(users, outcome, rows)


def test_texts_and_habits_and_late_interaction_have_the_same_answers_in_parts(
    users: Population, divided: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    gold = matching.match(users, [list(GOLD)])
    demand, habit = Demand("gold", tuple(GOLD)), Demand.of_outcome(parse(OUTCOMES[1]))

    def answers() -> list:
        replayed = texts.answer(users, gold, HORIZON)
        rankings = [scorers.get("late").rank(users, demand, HORIZON), scorers.get("habit").rank(users, habit, HORIZON)]
        about = rankings[1].about
        assert about is not None
        assert (replayed.basis.of_rows is not None) == parts.is_divided(users)
        return [replayed.scores, *(r.everybody for r in rankings), about, replayed.basis.features]

    *in_parts, shown = answers()
    of_all = parts.evenly(users)
    monkeypatch.setattr(parts, "WHOLE", PEOPLE)
    forget()
    *whole, features = answers()
    np.testing.assert_array_equal(shown, features[of_all])
    assert len(shown) == 300
    for one, other in zip(in_parts, whole, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


def test_events_of_some_users_are_theirs_also_of_those_who_have_none(users: Population) -> None:
    past = users.past
    some = past.at(np.flatnonzero(past.user % 3 != 1))
    rows = np.array([0, 1, 2, 4, 400, PEOPLE - 1])
    own = some.of_only(rows)
    places = np.flatnonzero(np.isin(some.user, rows))
    np.testing.assert_array_equal(some.of_users(rows[::-1]), places)
    np.testing.assert_array_equal(rows[own.user], some.user[places])
    np.testing.assert_array_equal(own.text, some.text[places])


def test_what_does_not_depend_on_a_demand_is_made_once_and_is_no_memory(
    users: Population, divided: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    gold, cat = matching.match(users, [list(GOLD)]), matching.match(users, [["cat food"]])
    texts.answer(users, gold, HORIZON)
    kept = replay.prepared(users, HORIZON)
    monkeypatch.setattr(replay.Replay, "_describe", None)  # whoever describes users again fails
    assert not kept._kept_features().flags.owndata
    assert isinstance(kept._kept_features().base, np.memmap)
    texts.answer(users, cat, HORIZON)


def test_a_part_that_fails_says_why(users: Population, divided: None) -> None:
    def fails(part: Population) -> np.ndarray:
        if part.keys.array[0] == users.keys.array[90]:
            raise ValueError("the second part")
        return part.events

    with pytest.raises(ValueError, match="the second part"):
        everybody.joined(users, fails)
    np.testing.assert_array_equal(everybody.joined(users, lambda part: part.events), users.events)


def test_taste_has_the_same_directions_in_parts(users: Population, divided: None, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, part = np.arange(PEOPLE), parts.part(users, slice(90, 180))
    one = affinity.Taste(users, DAY - 60).of_part(part, DAY, None)
    monkeypatch.setattr(parts, "WHOLE", PEOPLE)
    for some, all_of in zip(one, affinity.Taste(users, DAY - 60).features(DAY, whole), strict=True):
        np.testing.assert_allclose(some, all_of[90:180], rtol=1e-5, atol=1e-6)


class Files(MadeUp):
    """What a publication has in files is here before it is asked for."""

    @cached_property
    def attributes(self) -> pa.Table:
        return super().attributes

    @cached_property
    def _then(self) -> dict[dt.date, PastState]:
        return {moment: MadeUp.past_state(self, moment) for moment in self.moments}

    def past_state(self, moment: dt.date) -> PastState:
        """See `States`."""
        return self._then[moment]


@pytest.mark.slow
@pytest.mark.parametrize("content", [OUTCOMES[0], OUTCOMES[3]])
def test_replay_takes_memory_that_hardly_grows_with_users(content: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events of a user are a kilobyte or two and features half of one; what is held of one are labels, scores and masks."""
    monkeypatch.setattr(parts, "WHOLE", 400)
    monkeypatch.setattr(parts, "PART", 200)
    monkeypatch.setattr(replay, "FIT_ROWS", 1800)
    monkeypatch.setattr(replay, "OTHERS", 40)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)  # of two fits side by side, what both hold meets in the peak, or does not
    held = []
    for count in (1000, 5000):
        few = made_up(tmp_path / str(count), count)
        few.states.__class__ = Files
        assert few.states.attributes.num_rows == count
        assert len(few.states._then) > 2
        assert len(few.states.frozen_texts)
        vars(few.states.past)["first_day"] = few.states.past.first_day
        for column in COLUMNS:
            getattr(few.states.past, column)
        forget()
        stated.answer(few, parse(content), HORIZON)  # loads what is loaded once
        forget()
        tracemalloc.start()
        stated.answer(few, parse(content), HORIZON)
        held.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (held[1] - held[0]) / 4000 < 150
