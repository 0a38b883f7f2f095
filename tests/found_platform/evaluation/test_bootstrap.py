"""The paired bootstrap: it calls a difference what repeated samples would, whatever is drawn, and is the AUC's own."""

import datetime as dt
import time

import numpy as np
import pyarrow as pa
import pytest

from found_platform.evaluation import bootstrap, scores
from found_platform.evaluation.judging import Answer, Answered, Draw
from found_platform.evaluation.scenario import Scenario
from found_platform.metrics import auc

CUTOFF = dt.date(2024, 2, 1)


def table(signals: dict[str, float], users: int = 400, scenarios: int = 2, draws: int = 1, seed: int = 0) -> pa.Table:
    """Scores of methods that know so much each; a twin sees what another does."""
    rng = np.random.default_rng(seed)
    answered = {name: Answered(name, "zero_shot", {}) for name in signals}
    tasks = []
    for number in range(scenarios):
        labels = (rng.random(users) < 0.2).astype(int)
        noise = rng.normal(size=users)
        tasks.append(Scenario(f"s{number}", "demand", [f"u{i}" for i in range(users)], labels, []))
        for name, signal in signals.items():
            own = [Draw(signal * labels + noise + 0.5 * rng.normal(size=users), 0.0, d) for d in range(draws)]
            answered[name].answers[f"s{number}"] = Answer(own)
    return scores.as_table(CUTOFF, answered.values(), tasks)


def test_a_clear_lead_is_no_chance_and_twins_differ_by_chance() -> None:
    pairs = bootstrap.differences(table({"strong": 2.0, "weak": 0.5, "twin": 0.5}))
    by_pair = {(d.method, d.other, d.scenario): d for d in pairs}
    assert {d.scenario for d in pairs} == {"s0", "s1", "mean"}
    assert len(pairs) == 3 * 3
    lead, level = by_pair["strong", "weak", "mean"], by_pair["weak", "twin", "mean"]
    assert not lead.chance
    assert 0 < lead.low < lead.difference < lead.high
    assert level.chance
    assert level.low < 0 < level.high
    alone = by_pair["strong", "weak", "s0"]
    assert lead.high - lead.low < alone.high - alone.low, "two scenarios say more than one"


def test_differences_are_those_of_the_aucs() -> None:
    rows = table({"one": 1.0, "two": 0.7}, scenarios=1)
    by_method = {}
    for name in ("one", "two"):
        part = rows.filter(pa.compute.equal(rows["method"], name)).to_pylist()
        by_method[name] = auc(np.array([r["scores"][0] for r in part]), np.array([r["label"] for r in part]))
    (first, _) = bootstrap.differences(rows)
    assert first.difference == pytest.approx(by_method["one"] - by_method["two"], abs=1e-6)


def test_bounds_are_as_wide_as_samples_of_other_users_spread() -> None:
    signals = {"one": 1.0, "two": 0.8}
    leads = [bootstrap.differences(table(signals, scenarios=1, seed=seed), draws=2)[0].difference for seed in range(150)]
    bounds = [bootstrap.differences(table(signals, scenarios=1, seed=seed))[0] for seed in range(3)]
    width = np.mean([b.high - b.low for b in bounds]) / (2 * 1.96)
    assert width == pytest.approx(np.std(leads), rel=0.25)


def test_draws_of_all_scenarios_are_those_of_each_by_itself() -> None:
    """Users are drawn once for all scenarios, in whatever order a scenario has them."""
    rows = table({"one": 1.0, "two": 0.8}, users=300)
    shuffled = rows.take(pa.array(np.random.default_rng(3).permutation(rows.num_rows)))
    expected, actual = (
        {(d.scenario, d.method, d.other): d for d in (e if e.method == "one" else e.turned for e in bootstrap.differences(each))}
        for each in (rows, shuffled)
    )
    assert expected.keys() == actual.keys()
    for key, of in expected.items():
        assert actual[key].difference == pytest.approx(of.difference, abs=1e-6)
        assert actual[key].high - actual[key].low == pytest.approx(of.high - of.low, rel=0.2)


def test_a_user_changes_the_auc_by_what_counting_them_once_more_does() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(200) < 0.3).astype(int)
    scores = np.stack([labels + rng.normal(size=200) for _ in range(2)], 1)
    scores[:50, 0] = np.nan  # shown in the first draw
    whole, influence = bootstrap.influences(scores, labels)

    def mean_auc(users: np.ndarray) -> float:
        columns = ((scores[users, d], labels[users]) for d in range(2))
        return float(np.mean([auc(c[~np.isnan(c)], own[~np.isnan(c)]) for c, own in columns]))

    assert whole == pytest.approx(mean_auc(np.arange(200)))
    for user in (3, 120):
        assert mean_auc(np.append(np.arange(200), user)) - whole == pytest.approx(influence[user], rel=0.1)


@pytest.mark.slow
def test_forty_methods_and_ten_scenarios_take_seconds() -> None:
    rows = table({f"m{i}": 0.5 for i in range(20)}, users=1000, scenarios=5)
    begun = time.perf_counter()
    pairs = bootstrap.differences(rows)
    assert len(pairs) == 20 * 19 // 2 * 6
    assert time.perf_counter() - begun < 20
