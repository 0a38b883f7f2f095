"""Recency, frequency, amounts and rhythm, held against a plain loop over the events; nothing known later counts."""

import gc
import weakref
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_log import DAY, log, population

from found_platform.outcomes import Act, parse
from found_platform.scoring import acts, affinity, rhythm
from found_platform.scoring.acts import Doing
from found_platform.scoring.replay import Replay

USERS, WINDOW, LENGTH = 30, 7, 200
MOMENT = DAY - 20


@pytest.fixture(scope="module")
def events() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    rows = []
    for user in range(USERS - 2):  # of two nothing is known
        for happened in DAY - LENGTH + rng.integers(0, LENGTH, rng.integers(1, 40)):
            late = int(rng.integers(0, 30)) if rng.random() < 0.3 else 0
            text = str(rng.choice(["tea", "cup"]))
            row = {"user": user, "happened": int(happened), "known": int(happened) + late, "text": text}
            rows.append({**row, "category": text, "amount": float(rng.integers(1, 90)), "minute": int(rng.integers(1440))})
    rows.append({"user": 0, "happened": DAY - LENGTH, "known": DAY - LENGTH, "text": "tea", "category": "tea"})
    return log(rows)


def doing_of(events: pd.DataFrame, home: Path, **act: object) -> Doing:
    return acts.resolve(population(events, USERS, home), parse({"will": {"do": act}}).will[0].do, None)


def by_hand(events: pd.DataFrame, user: int, day: int) -> dict[str, float]:
    """The features of one user, as their names say."""
    mine = events[(events.user == user) & (events.known < day)]
    ages = [day - happened for happened in mine.happened]
    amounts = list(mine.amount)
    spans = {str(back): (0, back) for back in rhythm.BACK}
    spans |= {f"window_{i + 1}": (i * WINDOW, (i + 1) * WINDOW) for i in range(rhythm.WINDOWS)}
    features: dict[str, float] = {}
    for name, (after, until) in spans.items():
        within = [after < age <= until for age in ages]
        features[f"events_{name}"] = sum(within)
        features[f"amount_{name}"] = sum(amount for amount, inside in zip(amounts, within, strict=True) if inside)
        features[f"days_{name}"] = len({age for age, inside in zip(ages, within, strict=True) if inside})
    longest = day - (DAY - LENGTH) + 1
    days = sorted(set(ages))
    gaps = [later - sooner for sooner, later in pairwise(days)]
    features["recency"] = days[0] if days else longest
    features["tenure"] = days[-1] if days else 0
    features["mean_gap"] = float(np.mean(gaps)) if gaps else days[0] if days else longest
    features["gap_deviation"] = float(np.std(gaps)) if len(gaps) > 1 else 0.0
    features["recency_over_gap"] = features["recency"] / max(features["mean_gap"], 1)
    features["silence"] = max(features["recency"] - features["mean_gap"], 0)
    return features


@pytest.mark.parametrize("day", [MOMENT, DAY])
def test_features_are_what_their_names_say(day: int, events: pd.DataFrame, tmp_path: Path) -> None:
    values = np.expm1(rhythm.features(doing_of(events, tmp_path), day, WINDOW, DAY - LENGTH).astype(np.float64))
    earlier = events[events.known < DAY]
    assert values.shape == (USERS, len(rhythm.names()))
    for user in range(USERS):
        expected = by_hand(earlier, user, day)
        for name, value in zip(rhythm.names(), values[user], strict=True):
            assert value == pytest.approx(expected[name], rel=1e-4, abs=1e-4), (user, name)


def test_an_act_of_a_kind_has_a_rhythm_of_its_own(events: pd.DataFrame, tmp_path: Path) -> None:
    values = np.expm1(rhythm.features(doing_of(events, tmp_path, categories=["tea"]), DAY, WINDOW, DAY - LENGTH))
    tea = events[(events.known < DAY) & (events.text == "tea")]
    for user in range(USERS):
        assert values[user, rhythm.names().index("recency")] == pytest.approx(by_hand(tea, user, DAY)["recency"], rel=1e-4)


@pytest.mark.slow
def test_rhythms_are_kept_with_their_replay_and_go_with_it(
    events: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = population(events, USERS, tmp_path)
    replay = Replay(users, WINDOW)
    computed: list[int] = []
    compute = rhythm.features
    monkeypatch.setattr(rhythm, "features", lambda doing, day, *more: computed.append(day) or compute(doing, day, *more))
    act = Act(categories=("tea",))
    for _ in range(2):
        doing = acts.resolve(users, act, None)
        kept = replay.rhythm(act, doing, DAY, None)
        np.testing.assert_array_equal(kept, compute(doing, DAY, replay.days, replay.past.first_day, replay.backs))
        acts._of_anything.cache_clear()  # as after demands for other acts
    assert computed == [DAY]
    gone = weakref.ref(replay)
    del replay
    gc.collect()
    assert gone() is None


def twisted(events: pd.DataFrame) -> pd.DataFrame:
    """The same until the moment; what is known later is done by others, of other things, for more."""
    late = events.known >= MOMENT
    changed = events.copy()
    changed.loc[late, "user"] = (changed.user[late] + 5) % USERS
    changed.loc[late, "amount"] = 1000.0
    changed.loc[late, "text"] = "cup"
    changed.loc[late, "category"] = "cup"
    return changed


@pytest.mark.parametrize("act", [{}, {"categories": ["tea"]}])
def test_nothing_known_after_the_moment_counts(act: dict, events: pd.DataFrame, tmp_path: Path) -> None:
    before, after = (doing_of(some, tmp_path / str(i), **act) for i, some in enumerate((events, twisted(events))))
    assert len(before.events.user) != len(after.events.user) or (before.events.user != after.events.user).any()
    for features in (
        lambda doing: rhythm.features(doing, MOMENT, WINDOW, DAY - LENGTH),
        lambda doing: affinity.shares(doing, MOMENT, affinity.bases(doing.share_base, MOMENT)),
        lambda doing: acts.earlier(doing, MOMENT),
    ):
        np.testing.assert_array_equal(features(before), features(after))


def test_taste_is_found_in_what_was_known(events: pd.DataFrame, tmp_path: Path) -> None:
    before, after = (
        affinity.Taste(population(some, USERS, tmp_path / str(i)), MOMENT) for i, some in enumerate((events, twisted(events)))
    )
    everybody = np.arange(USERS)
    for one, other in zip(before.features(MOMENT, everybody), after.features(MOMENT, everybody), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_log_shorter_than_a_span_back_has_no_column_of_it() -> None:
    """Counts of the last year are those of all time where the log is half a year long."""
    assert rhythm.backs(180) == (14, 28, 60, 91, 100_000)
    assert rhythm.backs(5000) == rhythm.BACK
    assert [name for name in rhythm.names() if name not in rhythm.names(rhythm.backs(180))] == [
        f"{what}_{back}" for back in (182, 365) for what in ("events", "amount", "days")
    ]
