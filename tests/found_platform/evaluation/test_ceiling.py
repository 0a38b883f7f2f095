"""The labelled ceiling: what most of the labels make of replay's features, and no more than they hold."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_log import DAY, HORIZON, PEOPLE, people, population

from found_platform.evaluation import run
from found_platform.evaluation.methods import MostLabels, ceiling
from found_platform.evaluation.scenario import Scenario
from found_platform.metrics import auc
from found_platform.outcomes import parse
from found_platform.scoring import stated
from found_platform.scoring.population import Population

LEAVES = {"will": {"negated": True}}
GOLD = {"will": {"do": {"categories": ["jewellery"]}}, "rank": "affinity"}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> tuple[Population, np.ndarray, np.ndarray]:
    """A population, how much of anything each of its people does in the HORIZON days after the cutoff, and how much gold."""
    events, _ = people()
    after = events[(events.happened >= DAY) & events.status.isna()]
    everything = np.bincount(after.user, minlength=PEOPLE)
    gold = np.bincount(after.user[after.category == "jewellery"], minlength=PEOPLE)
    return population(events, PEOPLE, tmp_path_factory.mktemp("home")), everything, gold


def scenario(content: dict, labels: np.ndarray, **more: object) -> Scenario:
    return Scenario("s", "people who will not come", [], labels, [], HORIZON, outcome=parse(content), **more)  # pyright: ignore


def answer(population: Population, scenario: Scenario, rows: np.ndarray, seed: int) -> np.ndarray | None:
    features = ceiling.features(population, scenario)  # pyright: ignore[reportArgumentType]
    return None if features is None else ceiling.scores(features[rows], scenario.labels, seed)


@pytest.mark.slow
def test_with_labels_replays_features_say_at_least_what_replay_says_without(log: tuple[Population, np.ndarray, np.ndarray]) -> None:
    population, everything, _ = log
    left = (everything == 0).astype(int)
    scores = answer(population, scenario(LEAVES, left), np.arange(PEOPLE), 0)
    assert scores is not None
    assert auc(scores, left) > auc(stated.answer(population, parse(LEAVES), HORIZON).scores, left) - 0.01


@pytest.mark.slow
def test_an_affinity_is_told_by_its_own_features(log: tuple[Population, np.ndarray, np.ndarray]) -> None:
    population, everything, gold = log
    rows = np.flatnonzero(everything >= 3)
    labels = (gold[rows] >= 0.3 * everything[rows]).astype(int)
    scores = answer(population, scenario(GOLD, labels), rows, 0)
    assert scores is not None
    assert auc(scores, labels) > 0.8


@pytest.mark.slow
def test_meaningless_labels_are_at_chance(log: tuple[Population, np.ndarray, np.ndarray]) -> None:
    labels = (np.random.default_rng(9).random(PEOPLE) < 0.3).astype(int)
    scores = answer(log[0], scenario(LEAVES, labels), np.arange(PEOPLE), 0)
    assert scores is not None
    assert abs(auc(scores, labels) - 0.5) < 0.08


def test_where_the_past_is_too_short_for_replay_there_is_no_ceiling(tmp_path: Path) -> None:
    events, _ = people(days=60, users=60)
    labels = np.arange(60) % 2
    short = population(events[events.happened >= DAY - 20], 60, tmp_path)
    assert answer(short, scenario(LEAVES, labels), np.arange(60), 0) is None


def test_who_is_not_in_the_home_teaches_no_method_that_sees_labels(
    log: tuple[Population, np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    population, everything, _ = log
    labels = np.concatenate([(everything == 0).astype(int), np.ones(40, int)])
    users = [*population.keys, *(f"stranger-{i}" for i in range(40))]
    labelled = replace(scenario(LEAVES, labels), user_keys=users)
    lessons: list[tuple[np.ndarray, np.ndarray]] = []

    def remember(features: np.ndarray, labels: np.ndarray, _seed: int) -> np.ndarray:
        lessons.append((features[:, 0], labels))
        return labels.astype(float)

    places = np.arange(PEOPLE)[:, None]
    method = MostLabels("remembers", "keeps what it is shown", lambda *_: places, remember)
    monkeypatch.setattr(run.methods, "most_labels", lambda: (method,))
    extent = run.Extent(methods={"remembers"}, few_shot=False, foldings=1)
    rows = list(run.evaluated(population, [labelled], {}, extent))  # pyright: ignore[reportArgumentType]
    ((shown, taught),) = lessons
    assert shown.tolist() == list(range(PEOPLE))
    assert taught.tolist() == labels[:PEOPLE].tolist()
    assert next(r for r in rows if r["metric"] == "auc")["users"] == PEOPLE + 40


def test_without_enough_users_of_either_kind_there_is_no_ceiling(log: tuple[Population, np.ndarray, np.ndarray]) -> None:
    few = (np.arange(PEOPLE) < ceiling.FOLDS - 1).astype(int)
    assert answer(log[0], scenario(LEAVES, few), np.arange(PEOPLE), 0) is None
