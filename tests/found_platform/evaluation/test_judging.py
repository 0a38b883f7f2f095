"""How the benchmark judges: who is last, where rivals learn, which draws there are. On made-up populations."""

import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from found_platform import workers
from found_platform.evaluation import beside, classifiers, judging, methods, scenarios
from found_platform.evaluation.classifiers import boosting, logistic, perceptron
from found_platform.evaluation.extent import QUICK, Extent
from found_platform.evaluation.methods import ceiling
from found_platform.metrics import auc

MOST = methods.MostLabels("m", "", lambda *_: np.random.default_rng(7).normal(size=(200, 4)), ceiling.scores)


@pytest.mark.slow
def test_processes_side_by_side_judge_as_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
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
            for _, (answered,) in judge._fitted({"ceiling": MOST}, {probe.name: probe for probe in probes}, "fits")
            for draw in answered.answers["s"].draws
        ]

    alone = scores()
    with workers.beside():
        forked = scores()
        monkeypatch.setattr(judging, "FITS_APART", 0)
        dealt_out = scores()
    assert len(alone) == QUICK.foldings + len(CLASSIFIERS) * QUICK.splits
    for others in (forked, dealt_out, scores()):
        assert all(np.array_equal(one, other, equal_nan=True) for one, other in zip(alone, others, strict=True))


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


def made_up(users: int, scenarios_: int) -> tuple[np.ndarray, list[scenarios.Scenario]]:
    """Features (U, 3) of users, and scenarios of the first hundred of them."""
    rng = np.random.default_rng(6)
    features = rng.normal(size=(users, 3))
    chosen = [str(user) for user in range(100)]
    labels = [(features[:100, 0] + rng.normal(size=100) > 0.5).astype(int) for _ in range(scenarios_)]
    return features, [scenarios.Scenario(f"s{i}", "demand", chosen, of, []) for i, of in enumerate(labels)]


def judge_of(features: np.ndarray, tasks: list[scenarios.Scenario], extent: Extent) -> judging.Judge:
    keys = SimpleNamespace(rows=lambda users: np.array([int(user) for user in users]))
    population: Any = SimpleNamespace(keys=keys, features=features, has_history=np.ones(len(features), bool))
    return judging.Judge(population, tasks, extent)


def test_a_fit_is_given_one_scenario_and_the_features_of_its_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest method would be alone on the last core, and everybody's features go to other processes, otherwise."""
    divisions: list[tuple[int, int]] = []
    judge_probe = judging.judge_probe

    def judged(classifier: Any, features: Any, tasks: list[judging.Task], splits: int) -> list[list[judging.Draw]]:
        divisions.append((len(features), len(tasks)))
        return judge_probe(classifier, features, tasks, splits)

    monkeypatch.setattr(judging, "judge_probe", judged)
    features, tasks = made_up(300, 3)
    probe = methods.Probe("p", "", lambda population: population.features)  # pyright: ignore[reportAttributeAccessIssue]
    ((_, (answered,)),) = judge_of(features, tasks, QUICK)._fitted({}, {"p": probe}, "fits")
    assert divisions == [(100, 1)] * 3
    assert list(answered.answers) == ["s0", "s1", "s2"]


@pytest.mark.parametrize(
    ("named", "heads"), [(None, ["quick", "trained"]), ({"few_shot"}, ["quick"]), ({"few_shot", "trained"}, None)]
)
def test_heads_of_a_rival_train_it_only_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, named: set[str] | None, heads: list[str] | None
) -> None:
    features, tasks = made_up(100, 1)
    both = [methods.Probe(name, "", lambda _: features, slow=name == "trained", few_shot=True) for name in ("quick", "trained")]
    monkeypatch.setattr(methods, "probes", lambda: tuple(both))
    judge = judge_of(features, tasks, Extent(methods=named))
    assert list(judge._few_shot_features) == (heads or ["quick", "trained"])


def test_fits_are_under_way_while_look_ups_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = tmp_path / "begun"

    def divided(features: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
        begun.write_text(str(seed))
        return features[:, 0] + labels

    def look_up(population: Any, question: methods.Question) -> np.ndarray:
        until = time.monotonic() + 120
        while not begun.exists() and time.monotonic() < until:
            time.sleep(0.05)
        return population.features[:, :1].T + float(begun.exists())

    monkeypatch.setattr(judging, "FITS_APART", 0)
    monkeypatch.setattr(methods, "zero_shot", lambda: (methods.ZeroShot("z", "", look_up),))
    monkeypatch.setattr(methods, "most_labels", lambda: (methods.MostLabels("m", "", lambda *_: features, divided),))
    monkeypatch.setattr(methods, "probes", lambda: ())
    features, tasks = made_up(100, 1)
    extent = Extent(methods={"z", "m"}, few_shot=False, foldings=1)
    answers = dict(judge_of(features, tasks, extent).answers())
    assert list(answers) == ["zero_shot z", "zero_shot oracle", "most_labels m"]
    (draw,) = answers["zero_shot z"][0].answers["s0"].draws
    assert np.allclose(draw.scores, features[:, 0] + 1), "a fit had begun when the look-up was asked"


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
        for _, (answered,) in judge._fitted({}, {"trained": trained, "hand": hand}, "fits")
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


def test_a_regression_is_the_one_that_scikit_learns_own_area_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    features, (task,) = made_up(300, 1)
    ours = logistic(features[:100], task.labels, 0)(features[100:])
    monkeypatch.setattr(classifiers, "area_under_curve", "roc_auc")
    assert np.array_equal(ours, logistic(features[:100], task.labels, 0)(features[100:]))


def test_fits_of_parts_of_the_scenarios_are_those_of_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forks have a part each, and no process of their own; the mean over scenarios hangs on their order."""
    features, tasks = made_up(300, 3)
    probes = tuple(methods.Probe(name, "", lambda _: features, logistic) for name in ("one", "other"))
    ceilings = (methods.MostLabels("m", "", lambda _, __: features, ceiling.scores),)
    monkeypatch.setattr(methods, "probes", lambda: probes)
    monkeypatch.setattr(methods, "most_labels", lambda: ceilings)
    monkeypatch.setattr(judging, "FITS_APART", 0)
    names = [task.name for task in tasks]
    whole = judge_of(features, tasks, QUICK).fits()
    parts = [judge_of(features, tasks, replace(QUICK, scenarios=names[place::2])).fits() for place in range(2)]
    assert [len(part["most_labels m"][0].answers) for part in parts] == [2, 1]
    merged = beside.merged(parts, names)
    assert list(merged) == list(whole) == ["most_labels m", "linear_probe one", "linear_probe other"]
    for unit, (answered,) in whole.items():
        (again,) = merged[unit]
        assert (again.method, again.task, list(again.answers)) == (answered.method, answered.task, names)
        for name in names:
            for one, other in zip(answered.answers[name].draws, again.answers[name].draws, strict=True):
                assert np.array_equal(one.scores, other.scores, equal_nan=True)
                assert (one.threshold, one.seed) == (other.threshold, other.seed)


def test_fits_that_somebody_has_begun_are_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    features, tasks = made_up(300, 1)
    probes = (methods.Probe("p", "", lambda _: features, logistic), methods.Probe("q", "", lambda _: features, logistic))
    monkeypatch.setattr(methods, "probes", lambda: probes)
    monkeypatch.setattr(methods, "most_labels", tuple)
    monkeypatch.setattr(methods, "zero_shot", tuple)
    judge = judge_of(features, tasks, QUICK)
    fits = judge.fits()
    monkeypatch.setattr(judge, "_fitted", None)
    answers = dict(judge.answers({"linear_probe q"}, lambda: fits))
    assert list(answers) == ["zero_shot oracle", "linear_probe p"], "what a run that was killed has answered is left out"
    assert answers["linear_probe p"] is fits["linear_probe p"]
