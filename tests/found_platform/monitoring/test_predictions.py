"""Drift of what a model says: within one model version alone, never green unjudged, and quiet where nothing moved."""

import datetime as dt
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from found_platform import lake
from found_platform.audiences import membership
from found_platform.audiences.membership import Refresh
from found_platform.embedding import users
from found_platform.monitoring import figures, predictions, stability, vectors
from found_platform.privacy import keys
from found_platform.settings import Settings
from found_platform.sources import config, staging

CUTOFF = dt.date(2024, 3, 1)
FEW = stability.FEWEST


def pairs(seed: int, moved: float = 0.0, count: int = 300, width: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of users at two days: who they are, and what a day adds; by `moved` spreads everybody went one way."""
    rng = np.random.default_rng(seed)
    person = rng.normal(size=(count, width))
    one, other = (person + 0.7 * rng.normal(size=(count, width)) for _ in range(2))
    return one + moved * np.sqrt(1.49), other


@pytest.mark.slow
def test_a_law_that_stays_is_no_drift_and_one_that_moves_is() -> None:
    calm = [vectors.shift(*pairs(seed)).state for seed in range(200)]
    assert calm.count(figures.PASSED) == 200, f"{200 - calm.count(figures.PASSED)} false alarms in 200"
    assert [vectors.shift(*pairs(seed, moved=0.3)).state for seed in range(20)] == [figures.DRIFTED] * 20
    assert vectors.shift(*pairs(1, moved=0.1)).state == figures.PASSED, "surely no chance, and too little to matter"


def test_the_limit_of_few_users_is_what_chance_exceeds_once_in_a_hundred() -> None:
    rng = np.random.default_rng(5)
    alarms = 0
    for _ in range(300):  # nothing of a person stays: chance alone moves the mean of so few by more than what matters
        one, other = rng.normal(size=(2, FEW, 2)) * np.array([1.0, 0.02])
        figure = vectors.shift(one, other)
        assert figure.limit is not None
        assert figure.limit > vectors.PRACTICAL_SHIFT
        alarms += figure.drifted
    assert alarms <= 9, f"{alarms} false alarms in 300"


def test_predictions_of_one_law_are_no_drift_and_moved_ones_are() -> None:
    rng = np.random.default_rng(2)
    calm = [predictions.distance("scores", *rng.beta(2, 9, (2, 120))).state for _ in range(100)]
    assert calm.count(figures.DRIFTED) <= 3, f"{calm.count(figures.DRIFTED)} false alarms in 100"
    assert predictions.distance("scores", rng.beta(2, 9, 300), rng.beta(4, 6, 300)).state == figures.DRIFTED


def test_chances_are_compared_by_what_they_add_up_to() -> None:
    """Members of an audience do it with their chances; each window's calibration is off by what that window's luck was."""
    rng = np.random.default_rng(6)
    truth = rng.beta(60, 60, 200)  # the best of a population are much alike

    def calibrated() -> np.ndarray:
        return np.clip(truth * (rng.random(200) < truth).sum() / truth.sum(), 0, 1)

    calm = [predictions.level("chances", calibrated(), calibrated()).state for _ in range(300)]
    assert calm.count(figures.DRIFTED) <= 9, f"{calm.count(figures.DRIFTED)} false alarms in 300"
    alone = [predictions.distance("chances", calibrated(), calibrated()).drifted for _ in range(20)]
    assert sum(alone) > 5, "members alone know nothing of the luck of a window"
    assert predictions.level("chances", calibrated(), 0.5 * truth).state == figures.DRIFTED
    assert predictions.level("chances", 0.01 * truth, 0.01 * truth).state == figures.NOT_JUDGED, "one of two hundred did it"
    assert predictions.level("chances", 0 * truth, truth).state == figures.NOT_JUDGED


@pytest.mark.parametrize("broken", ["few", "nan", "same"])
def test_what_cannot_be_judged_does_not_pass(broken: str) -> None:
    one, other = pairs(1)
    if broken == "few":
        one, other = one[: FEW - 1], other[: FEW - 1]
    elif broken == "nan":
        one[3, 2] = np.nan
    else:
        one, other = np.ones_like(one), np.ones_like(one)
    figure = vectors.shift(one, other)
    assert (figure.state, figures.outcome(figure)[:12]) == (figures.NOT_JUDGED, "not judged: ")
    if broken != "same":
        assert predictions.distance("scores", one[:, 2], other[:, 2]).state == figures.NOT_JUDGED


def refreshed(
    settings: Settings, number: int, version: str, scores: np.ndarray, chances: np.ndarray | None, **fields: object
) -> Refresh:
    refresh = Refresh(
        audience="gold",
        refresh=number,
        spec_version=1,
        refreshed_at=dt.datetime(2024, 3, number, tzinfo=dt.UTC),
        as_of=CUTOFF,
        model_version=version,
        index_version=version,
        refreshed_by="ann",
        mode="replay",
        reason="",
        demand={"sentence": "gold"},
        rewriting=None,
        base=len(scores),
        eligible=len(scores),
        size=len(scores),
        size_because="",
        threshold=None,
        held_out=0,
        joins=0,
        leaves=0,
        delta_versions={"raw_events": 1},
    )
    refresh = replace(refresh, **fields)  # pyright: ignore[reportArgumentType]
    of_refresh = {f.name: [getattr(refresh, f.name)] * len(scores) for f in membership._OF_A_REFRESH}
    people = {
        "user_key": [f"{i:032x}" for i in range(len(scores))],
        "score": scores,
        "probability": chances,
        "holdout": [False] * len(scores),
    }
    people["probability"] = [None] * len(scores) if chances is None else chances
    membership._write(settings, refresh, pa.table({**of_refresh, **people}, membership.MEMBERS_SCHEMA))
    return refresh


def test_refreshes_are_compared_within_a_model_version_or_as_probabilities(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path, profile="tiny")
    rng = np.random.default_rng(3)
    low, high = rng.beta(6, 9, 150), rng.beta(9, 2, 150)
    first = refreshed(settings, 1, "1", low, low)
    assert predictions.of_audience(settings, first).state == figures.PASSED
    assert "later ones" in figures.outcome(predictions.of_audience(settings, first))
    same = predictions.of_audience(settings, refreshed(settings, 2, "1", 5 + low, low))
    assert (same.name, same.state) == (predictions.PROBABILITIES, figures.PASSED)
    across = predictions.of_audience(settings, refreshed(settings, 3, "2", low, high))
    assert (across.name, across.state) == (predictions.PROBABILITIES, figures.DRIFTED)
    assert "times those before, and a factor of" in figures.outcome(across)
    raw = refreshed(settings, 4, "3", 100 * high, None)
    unlike = predictions.of_audience(settings, raw)
    assert (unlike.value, unlike.state) == (None, figures.NOT_JUDGED), "raw scores of two versions mean different things"
    assert "model version 3 mean something else" in figures.outcome(unlike)
    moved = refreshed(settings, 5, "3", 100 * low, None)
    assert (predictions.of_audience(settings, moved).name, predictions.of_audience(settings, moved).state) == (
        "scores",
        figures.DRIFTED,
    )
    other = refreshed(settings, 6, "3", 100 * low, None, spec_version=2)
    assert predictions.of_audience(settings, other).value is None, "another specification asks for others"
    few = refreshed(settings, 7, "3", low[:20], None, spec_version=2)
    assert predictions.of_audience(settings, few).state == figures.NOT_JUDGED


def test_what_moves_a_little_every_week_is_seen_in_four(tmp_path: Path) -> None:
    """Chances of the members fall by a tenth a week, each of another model; a calm audience beside it."""
    settings = Settings.load(tmp_path, profile="tiny")
    rng = np.random.default_rng(4)
    states: dict[float, list[str]] = {}
    last = np.zeros(0)
    for falls in (0.0, 0.3):
        for week in range(6):
            chances = np.clip(rng.normal(0.6 - falls * week / 5, 0.05, 300), 0, 1)
            fields = {"audience": f"a{falls}", "as_of": CUTOFF + dt.timedelta(weeks=week)}
            audience = refreshed(settings, week + 1, str(week), chances, chances, **fields)
            states.setdefault(falls, []).append(predictions.of_audience(settings, audience).state)
            before = predictions.level("one week", chances, last) if week else None
            assert before is None or before.state == figures.PASSED, "from week to week it is little"
            last = chances
    assert states[0.0] == [figures.PASSED] * 6
    assert states[0.3][-2:] == [figures.DRIFTED] * 2


def test_vectors_are_compared_with_those_of_the_same_version_four_weeks_before(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path, profile="tiny", grid_days=14)
    source = config.parse({"name": "s", "simulator": {"users": 10, "start": "2023-12-01", "days": 101}}, "here")
    staging.open_home(settings, staging.discover(settings, source))
    assert (CUTOFF - dt.timedelta(days=28)) in users.past_cutoffs(settings, CUTOFF)
    secret = keys.home_secret(settings)
    names = sorted(keys.user_key(secret, f"u{i}") for i in range(80))

    def write(day: dt.date, version: str, states: np.ndarray) -> None:
        rows = {
            "model_version": [version] * len(names),
            "as_of": [day] * len(names),
            "user_key": names,
            "fold": [users.HELD_OUT_FOLD] * len(names),
            "history_events": [0, *[5] * (len(names) - 1)],
            "vector": list(states.astype(np.float32)),
        }
        lake.replace(settings.lake, users.TABLE, pa.table(rows, users.SCHEMA), **users.slice_of(version, day))

    now, then = pairs(1, count=80)
    write(CUTOFF, "1", now)
    assert vectors.moved(settings, "1", CUTOFF).state == figures.NOT_JUDGED
    write(CUTOFF - dt.timedelta(days=28), "2", then)
    assert vectors.moved(settings, "1", CUTOFF).state == figures.NOT_JUDGED, "of another version"
    write(CUTOFF - dt.timedelta(days=28), "1", then)
    assert vectors.moved(settings, "1", CUTOFF).state == figures.PASSED
    write(CUTOFF, "1", now + 1)
    assert vectors.moved(settings, "1", CUTOFF).state == figures.DRIFTED
    young = config.parse({"name": "s", "simulator": {"users": 10, "start": "2023-12-20", "days": 82}}, "here")
    (settings.home / "source.yaml").unlink()
    staging.open_home(settings, staging.discover(settings, young))
    why = vectors.moved(settings, "1", CUTOFF).why
    assert why == "the source was 44 days old at 2024-02-02, and 56 are needed", "histories are still filling"
