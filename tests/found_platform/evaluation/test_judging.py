"""How the benchmark judges: who is last, where rivals learn, which draws there are. On made-up populations."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from found_platform.evaluation import judging, methods, scenarios
from found_platform.evaluation.classifiers import boosting, logistic, perceptron
from found_platform.evaluation.extent import QUICK, Extent
from found_platform.metrics import auc


@pytest.mark.slow
def test_processes_side_by_side_judge_probes_as_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    features = rng.normal(size=(200, 6))
    labels = (features[:, 1] + rng.normal(size=200) > 0.8).astype(int)
    scenario = scenarios.Scenario("s", "demand", [str(i) for i in range(200)], labels, [])
    task = judging.Task(scenario, np.arange(200), np.ones(200, bool))
    probes = tuple(methods.Probe(name, "", lambda _: features, classifier) for name, classifier in CLASSIFIERS.items())
    population: Any = None  # these probes ask it nothing
    judge = object.__new__(judging.Judge)
    judge.population, judge.extent, judge.tasks = population, QUICK, [task]

    def scores() -> list[np.ndarray]:
        return [
            draw.scores
            for _, (answered,) in judge._probes({probe.name: probe for probe in probes}, "probes")
            for draw in answered.answers["s"].draws
        ]

    alone = scores()
    monkeypatch.setattr(judging, "FITS_APART", 0)
    assert len(alone) == len(CLASSIFIERS) * QUICK.splits
    assert all(np.array_equal(one, other, equal_nan=True) for one, other in zip(alone, scores(), strict=True))


def test_who_did_nothing_lately_keeps_the_place_that_a_look_up_gives_and_is_last_where_it_gives_none() -> None:
    """Who will stop is said best of those who have stopped: a look-up ranks them first, and is judged by it."""
    labels = (np.arange(40) < 10).astype(int)
    scenario = scenarios.Scenario("s", "demand", [str(i) for i in range(40)], labels, [])
    judge = object.__new__(judging.Judge)
    judge.population, judge.extent = SimpleNamespace(has_history=labels == 0), Extent()  # pyright: ignore
    judge.tasks = [judging.Task(scenario, np.arange(40), np.ones(40, bool))]
    scores = np.where(labels == 1, 2.0, np.linspace(0, 1, 40))
    scores[39] = np.nan

    def draw(**says: bool) -> judging.Draw:
        return judge._zero_shot(methods.ZeroShot("z", "", lambda *_: scores[None], **says)).answers["s"].draws[0]

    look_up, other = draw(says_who=True), draw()
    assert auc(look_up.scores, labels) == 1
    assert look_up.scores.argmin() == 39
    assert look_up.threshold == pytest.approx(np.nanmean(scores)), "of those who can be ranked"
    assert auc(other.scores, labels) == pytest.approx(0.5 / 30), "below all but the one who has no score"


def test_a_rival_is_fitted_on_the_few_users_that_heads_are_made_from(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    labels = (np.arange(200) % 2 == 0).astype(int)
    features = labels[:, None] + 0.5 * rng.normal(size=(200, 4))
    few, none = (methods.Probe(name, "", lambda _: features, perceptron, few_shot=name == "few") for name in ("few", "none"))
    monkeypatch.setattr(methods, "probes", lambda: (few, none))
    judge = object.__new__(judging.Judge)
    population: Any = SimpleNamespace(has_history=np.arange(200) != 7)
    judge.population, judge.extent = population, Extent()
    scenario = scenarios.Scenario("s", "demand", [], labels, [])
    shown = methods.FewShot("shown", "", lambda _, question, near, far: np.where(np.isin(np.arange(200), near), 1.0, 0.0))
    monkeypatch.setattr(methods, "few_shot", lambda: (shown,))
    scores = judge._rival_heads(scenario, np.array([0, 2, 4, 6, 8]), np.array([1, 3, 5, 9, 11]), 0)
    assert list(scores) == ["few", "shown"]
    assert np.flatnonzero(scores["shown"] == 1).tolist() == [0, 2, 4, 6, 8]
    assert auc(scores["few"][12:], labels[12:]) > 0.9
    assert scores["few"].argmin() == 7, "nobody knows anything of them"


CLASSIFIERS = {"logistic": logistic, "boosting": boosting}


def test_a_method_that_hangs_on_training_has_draws_of_every_training_seed() -> None:
    rng = np.random.default_rng(4)
    labels = (rng.random(200) < 0.3).astype(int)
    scenario = scenarios.Scenario("s", "demand", [str(i) for i in range(200)], labels, [])
    served, other = (SimpleNamespace(features=rng.normal(size=(200, 3)), has_history=np.ones(200, bool)) for _ in range(2))
    judge = object.__new__(judging.Judge)
    judge.population, judge.extent = served, QUICK  # pyright: ignore[reportAttributeAccessIssue]
    judge.tasks = [judging.Task(scenario, np.arange(200), np.ones(200, bool))]
    judge._retrained = lambda: [other]  # pyright: ignore[reportAttributeAccessIssue]

    def features(population: Any) -> np.ndarray:
        return population.features

    trained, hand = (methods.Probe(name, "", features, by_training_seed=name == "trained") for name in ("trained", "hand"))
    draws = {
        answered.method: answered.answers["s"].draws
        for _, (answered,) in judge._probes({"trained": trained, "hand": hand}, "probes")
    }
    assert [len(draws[name]) for name in ("trained", "hand")] == [2 * QUICK.splits, QUICK.splits]
    by_other = judging.judge_probe(logistic, other.features, judge.tasks, QUICK.splits)[0]
    for draw, expected in zip(draws["trained"], [*draws["hand"], *by_other], strict=True):
        assert np.array_equal(draw.scores, expected.scores, equal_nan=True)

    look_up = methods.ZeroShot("z", "", lambda population, _: population.features[:, :1].T, by_training_seed=True)  # pyright: ignore
    assert len(judge._zero_shot(look_up).answers["s"].draws) == 2


def test_trees_are_tuned_inside_the_fitted_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.model_selection import GridSearchCV

    seen: list[int] = []
    fit = GridSearchCV.fit
    monkeypatch.setattr(GridSearchCV, "fit", lambda self, x, y: (seen.append(len(x)), fit(self, x, y))[1])
    rng = np.random.default_rng(5)
    features = rng.normal(size=(200, 3))
    labels = (features[:, 0] > 0.3).astype(int)
    scenario = scenarios.Scenario("s", "demand", [str(i) for i in range(200)], labels, [])
    task = judging.Task(scenario, np.arange(200), np.ones(200, bool))
    ((draw,),) = judging.judge_probe(boosting, features, [task], 1)
    assert seen == [40], "a fifth of the users"
    assert draw.metrics(scenario)["auc"] > 0.8
