"""Metrics by hand, labels that are refused, and results that follow from the future alone."""

import datetime as dt
import json
import shutil
from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.dataset as pad
import pyarrow.parquet as pq
import pytest

from dagster_defs import execution
from found_platform import lake, registry, row_hash
from found_platform.errors import BadInput
from found_platform.evaluation import judging, methods, run, scenarios, tables, thresholds
from found_platform.evaluation.classifiers import logistic
from found_platform.evaluation.extent import QUICK, Extent
from found_platform.evaluation.metrics import METRICS, evaluate
from found_platform.evaluation.population import Population
from found_platform.privacy import keys
from found_platform.scoring import scorers
from found_platform.settings import Settings
from found_platform.sources.simulator import world


def test_metrics_by_hand() -> None:
    # ten users, best first: positives at ranks 1, 2 and 5
    labels = np.array([1, 1, 0, 0, 1, 0, 0, 0, 0, 0])
    figures = evaluate(np.arange(10, 0, -1).astype(float), labels)
    assert set(figures) == set(METRICS)
    assert figures["auc"] == pytest.approx((7 + 7 + 5) / 21)
    assert figures["ks"] == pytest.approx(1 - 2 / 7)  # at rank 5 every positive is found and two of seven negatives
    assert (figures["precision"], figures["recall"], figures["accuracy"]) == (1.0, pytest.approx(1 / 3), 0.8)
    assert figures["lift_at_10pct"] == pytest.approx(1 / 0.3)


def test_at_even_odds_the_three_figures_say_three_things() -> None:
    labels = np.array([1, 1, 0, 0, 1, 0, 0, 0, 0, 0])
    figures = evaluate(np.arange(10, 0, -1).astype(float), labels, threshold=7.5)
    # called are three: two of three positives, one of seven negatives
    assert figures["recall_5050"] == pytest.approx(2 / 3)
    assert figures["precision_5050"] == pytest.approx((2 / 3) / (2 / 3 + 1 / 7))
    assert figures["accuracy_5050"] == pytest.approx((2 / 3 + 6 / 7) / 2)
    nobody = evaluate(np.arange(10, 0, -1).astype(float), labels, threshold=99)
    assert [nobody[f"{m}_5050"] for m in ("accuracy", "precision", "recall")] == [0.5, 0, 0]


def test_lines_are_drawn_without_the_labels_that_are_judged() -> None:
    assert thresholds.average(np.array([1.0, 2.0, 6.0])) == 3
    chances = np.array([0.1, 0.2, 0.6])
    assert thresholds.average_chance(np.log(chances / (1 - chances))) == pytest.approx(np.log(0.3 / 0.7))
    assert thresholds.fitted(np.array([1, 0, 0, 0])) == pytest.approx(np.log(1 / 3))
    assert thresholds.between(np.array([4.0, 6.0]), np.array([1.0])) == 3


def test_a_perfect_and_a_reversed_ranking() -> None:
    labels = np.array([1] * 10 + [0] * 90)
    perfect, reverse = evaluate(labels.astype(float), labels), evaluate(-labels.astype(float), labels)
    assert all(perfect[m] == 1 for m in METRICS if m != "lift_at_10pct")
    assert (reverse["auc"], reverse["precision"], reverse["recall_5050"]) == (0, 0, 0)


def test_nobody_wins_by_equal_scores() -> None:
    labels = np.array([1] * 100 + [0] * 900)
    figures = evaluate(np.zeros(1000), labels)
    assert figures["auc"] == 0.5
    assert figures["precision"] < 0.2
    assert abs(figures["accuracy_5050"] - 0.5) < 0.06


def test_simulated_labels_are_what_really_happened(settings: Settings, cutoff: dt.date) -> None:
    """A payment for a leaf names it: `pets` is all that the department's pet texts say."""
    events = pad.dataset(settings.home / "simulated" / "events").to_table().to_pylist()
    secret = keys.home_secret(settings)
    end = cutoff + dt.timedelta(days=settings.horizon_days)
    by_name = {s.name: s for s in scenarios.load(settings, cutoff)[0]}
    assert len(by_name) >= 4
    leaf_of = {
        name
        for names in world().raw["leaves"]["diapers"]["products"] + world().raw["leaves"]["nursery"]["products"]
        for name in names
    }
    doers = {
        keys.user_key(secret, e["user_id"])
        for e in events
        if e["channel"] == "pay_bill" and cutoff <= e["event_time"].date() < end and any(name in e["text"] for name in leaf_of)
    }
    scenario = by_name["baby_products"]
    assert {u for u, label in zip(scenario.user_keys, scenario.labels, strict=True) if label} == doers & set(scenario.user_keys)


EVERY_ZERO_SHOT = {
    (m, "zero_shot") for m in (*scorers.modes(), "frozen_text", "activity_count", "arallm_grounded", "recency", "tfidf", "oracle")
}
EVERY_PROBE = {
    (m, "linear_probe")
    for m in (
        *("activity", "frozen_text", "gbdt_aggregates", "found"),
        *(f"{m}_activity" for m in ("frozen_text", "tfidf", "untrained", "stage1", "concatenation", "aligned")),
    )
}


CEILING = ("labelled_ceiling", "most_labels")


@pytest.fixture(scope="module")
def full(settings: Settings, cutoff: dt.date) -> pa.Table:
    """All of the benchmark that is not trained for it, on the two scenarios with the most positives."""
    tasks = sorted(scenarios.load(settings, cutoff)[0], key=lambda s: -s.labels.sum())[:2]
    version = registry.of_cutoff(settings, str(cutoff))
    population = Population.stored(settings, version, cutoff)
    common = {"cutoff": cutoff, "dataset": "simulated", "model_version": version}
    return scenarios.as_table(list(run.evaluated(population, tasks, common, Extent(slow=False))))


def test_the_result_has_every_method_metric_and_a_mean(full: pa.Table) -> None:
    rows = full.to_pylist()
    kinds = {(r["method"], r["task"]) for r in rows}
    few_shot = {f"{head}_5" for head in ("sentence", "prompt", "prototype", "logistic", "lp++", "chosen")}
    assert kinds == EVERY_ZERO_SHOT | EVERY_PROBE | {CEILING} | {(m, t) for m, t in kinds if t == "few_shot"}
    assert {m for m, t in kinds if t == "few_shot"} >= few_shot
    names = {r["scenario"] for r in rows}
    everywhere = {*METRICS, "oracle_share"}
    for method, task in EVERY_ZERO_SHOT | EVERY_PROBE:
        for name in names:
            metrics = {r["metric"] for r in rows if (r["method"], r["task"], r["scenario"]) == (method, task, name)}
            reworded = {"auc_paraphrases"} if task == "zero_shot" and method != "oracle" else set()
            assert metrics - {"auc_hard"} == everywhere | reworded
    counts = [r for r in rows if r["method"] == "activity_count" and r["scenario"] != "mean"]
    plain, other = ({r["scenario"]: r["value"] for r in counts if r["metric"] == m} for m in ("auc", "auc_paraphrases"))
    assert other == pytest.approx(plain)  # what does not read the demand does not care how it is worded
    assert {r["value"] for r in rows if r["method"] == "oracle" and r["metric"] == "oracle_share"} == {1.0}
    means = [r for r in rows if (r["scenario"], r["metric"]) == ("mean", "auc")]
    best = {r["method"]: r["value"] for r in means if r["task"] != "few_shot"}  # not every scenario has seeds enough
    assert max(best, key=lambda m: best[m]) == "oracle"
    for row in rows:
        if row["scenario"] == "mean":
            parts = [r for r in rows if r["scenario"] != "mean" and all(r[k] == row[k] for k in ("method", "task", "metric"))]
            assert row["value"] == pytest.approx(np.mean([r["value"] for r in parts]))
            assert (row["users"], row["seeds"]) == (sum(r["users"] for r in parts), min(r["seeds"] for r in parts))
    draws = {r["method"]: r["seeds"] for r in rows if r["scenario"] == "mean" and r["task"] == "few_shot"}
    assert {n for method, n in draws.items() if method != "prompt_50"} == {judging.DRAWS}
    assert draws.get("prompt_50", 1) == 1, "a prompt of many users is tuned once: see heads.scores"
    document = tables.as_document(full)
    assert set(document) == {"dataset", "cutoff", "model_version", "results"}
    assert set(document["results"][0]) == {"method", "task", "scenario", "metric", "value", "std", "users", "positives", "seeds"}


def test_the_page_names_every_method_task_and_metric() -> None:
    page = (Path(__file__).parents[3] / "docs" / "benchmark.md").read_text()
    for method in methods.registry():
        assert f"| `{method.name}` | `{methods.TASKS[type(method)]}` | {method.about} |" in page
        source = method.source if isinstance(method, methods.Probe) else None
        assert source is None or f"| `{method.name}` | {source.faithful} | {source.reduced} | {source.needs} |" in page
    for word in (*METRICS, "auc_paraphrases", "auc_hard", "oracle_share", *tables.TITLES):
        assert f"`{word}`" in page


def test_a_full_run_leaves_the_quick_table_of_the_scenarios_that_its_profile_takes(
    settings: Settings, cutoff: dt.date, full: pa.Table
) -> None:
    rows = lake.read(settings.lake, run.TABLE, pad.field("cutoff") == cutoff).to_pylist()
    assert {(r["method"], r["task"]) for r in rows} == EVERY_ZERO_SHOT | EVERY_PROBE | {CEILING}
    every = sorted(scenarios.load(settings, cutoff)[0], key=lambda s: -s.labels.sum())
    most = {scenario.name for scenario in every[: settings.sizes.benchmark_scenarios]}
    assert ({r["scenario"] for r in rows}, len(most)) == ({"mean", *most}, 2)
    with execution.open_instance(settings) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey("benchmark_results"))
        assert event is not None
        assert event.asset_materialization is not None
        assert event.asset_materialization.metadata["left_out"].value == ", ".join(
            s.name for s in scenarios.load(settings, cutoff)[0] if s.name not in most
        )
    assert {r["seeds"] for r in rows if r["task"] == "linear_probe"} == {QUICK.splits}
    assert not any(r["metric"] == "auc_paraphrases" for r in rows)
    hard = {r["method"]: r["value"] for r in rows if (r["scenario"], r["metric"]) == ("mean", "auc_hard")}
    assert hard["oracle"] > 0.9 > hard["activity_count"]
    values = {(r["method"], r["scenario"]): r["value"] for r in rows if (r["metric"], r["task"]) == ("auc", "zero_shot")}
    for row in full.to_pylist():
        if (row["metric"], row["task"]) == ("auc", "zero_shot") and row["scenario"] != "mean":
            assert row["value"] == pytest.approx(values[row["method"], row["scenario"]]), "quick leaves out, and changes nothing"


def test_shuffled_labels_teach_nothing(settings: Settings, cutoff: dt.date) -> None:
    """The probe is judged on users it was not fitted on: with meaningless labels it is at chance."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(400, 30))
    labels = (rng.random(400) < 0.2).astype(int)
    assert abs(probe_auc(features, labels) - 0.5) < 0.08
    assert probe_auc(features, (features[:, 0] + 0.3 * rng.normal(size=400) > 1).astype(int)) > 0.85


def probe_auc(features: np.ndarray, labels: np.ndarray, has_history: np.ndarray | None = None) -> float:
    """Mean AUC of the logistic probe over five splits."""
    scenario = scenarios.Scenario("s", "demand", [str(i) for i in range(len(labels))], labels, [])
    task = judging.Task(scenario, np.arange(len(labels)), np.ones(len(labels), bool) if has_history is None else has_history)
    return float(np.mean([draw.metrics(scenario)["auc"] for draw in judging.judge_probe(logistic, features, [task], 5)[0]]))


def test_without_the_truth_nothing_but_the_benchmark_changes(settings: Settings, cutoff: dt.date, tmp_path: Path) -> None:
    from found_platform.embedding import users

    shutil.copytree(settings.home, tmp_path / "found")
    untold = Settings.load(tmp_path / "found")
    shutil.rmtree(untold.truth)
    loaded = registry.champion(settings)
    written = users.embed(untold, loaded, cutoff)
    assert written.partitions == {
        str(cutoff): row_hash.by_key(settings.lake, users.TABLE, "as_of", users.where(loaded.version, cutoff), ["model_version"])[
            str(cutoff)
        ]
    }
    assert scenarios.load(untold, cutoff)[0] == []
    written, table = run.run(untold, cutoff, loaded.version, [])
    assert (written.rows, table.num_rows) == (0, 0)


def write_labels(folder: Path, rows: list[dict], **spec: object) -> tuple[Path, Path]:
    pq.write_table(pa.Table.from_pylist(rows), folder / "labels.parquet")
    (folder / "scenarios.json").write_text(json.dumps({"scenarios": [{"scenario": "s", "demand": "people who buy tents", **spec}]}))
    return folder / "labels.parquet", folder / "scenarios.json"


def test_labels_of_a_file_are_hashed_forward_and_matched_by_cutoff(settings: Settings, cutoff: dt.date, tmp_path: Path) -> None:
    moment = dt.datetime.combine(cutoff, dt.time(), dt.UTC)
    rows = [{"user_id": f"user-0-{i:06d}", "scenario": "s", "cutoff": moment, "label": i % 2} for i in range(10)]
    rows.append({**rows[0], "cutoff": moment + dt.timedelta(days=1), "label": 1})
    (scenario,) = scenarios.from_files(settings, cutoff, *write_labels(tmp_path, rows))
    assert list(scenario.labels) == [0, 1] * 5
    assert scenario.user_keys[1] == keys.user_key(keys.home_secret(settings), "user-0-000001")


def test_users_the_lake_does_not_know_teach_nothing_and_rank_last() -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(300, 4))
    labels = (features[:, 0] > 0.5).astype(int)
    has_history = rng.random(300) < 0.7
    features[~has_history] = features[0]
    labels[~has_history] = 0
    assert probe_auc(features, labels, has_history) > 0.95


LABELLED = [{"user_id": f"user-0-{i:06d}", "scenario": "s", "label": i % 2, "cutoff": "the cutoff"} for i in range(12)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [{k: v for k, v in r.items() if k != "cutoff"} for r in rows], "has no column cutoff"),
        (lambda rows: [{**r, "cutoff": dt.datetime(1999, 1, 1, tzinfo=dt.UTC)} for r in rows], "no labels at the cutoff"),
        (lambda rows: [{**r, "scenario": "other"} for r in rows], "no labels of the scenarios"),
        (lambda rows: [{**r, "label": 2} for r in rows], "other than 0 and 1"),
        (lambda rows: [{**r, "label": 1} for r in rows], "12 positives and 0 negatives; at least 5"),
        (lambda rows: [*rows, rows[0]], "names a user twice in the scenario 's'"),
        (lambda rows: [{**r, "user_id": "X" + r["user_id"]} for r in rows], "None of the 12 users"),
    ],
)
def test_labels_that_cannot_be_used_are_refused(settings: Settings, cutoff: dt.date, tmp_path: Path, change, message: str) -> None:
    moment = dt.datetime.combine(cutoff, dt.time(), dt.UTC)
    rows = change([{**r, "cutoff": moment} for r in LABELLED])
    with pytest.raises(BadInput, match=message):
        scenarios.keep_label_files(settings, cutoff, *write_labels(tmp_path, rows))
    assert scenarios.label_files(settings) == {}


def test_files_that_are_missing_or_no_scenarios_are_named(settings: Settings, cutoff: dt.date, tmp_path: Path) -> None:
    labels, specs = write_labels(tmp_path, LABELLED)
    with pytest.raises(BadInput, match=r"nowhere\.parquet does not exist"):
        scenarios.from_files(settings, cutoff, tmp_path / "nowhere.parquet", specs)
    with pytest.raises(BadInput, match=r"nowhere\.json does not exist"):
        scenarios.from_files(settings, cutoff, labels, tmp_path / "nowhere.json")
    (tmp_path / "garbage.parquet").write_text("garbage")
    with pytest.raises(BadInput, match=r"garbage\.parquet cannot be read"):
        scenarios.from_files(settings, cutoff, tmp_path / "garbage.parquet", specs)
    for wrong in ('{"scenarios": [{"scenario": "s"}]}', '{"scenarios": [{"scenario": "s", "demand": 5}]}', "[]"):
        specs.write_text(wrong)
        with pytest.raises(BadInput, match="is no scenario file"):
            scenarios.from_files(settings, cutoff, labels, specs)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"horizon_days": "a month"}, r"the horizon_days 'a month': write a whole number of days\."),
        ({"horizon_days": -7}, "the horizon_days -7"),
        ({"paraphrases": "who will buy gold"}, "the paraphrases 'who will buy gold': write a list of texts"),
    ],
)
def test_a_scenario_with_a_field_that_cannot_be_read_is_named(tmp_path: Path, spec: dict, message: str) -> None:
    with pytest.raises(BadInput, match=f"The scenario 's' has {message}"):
        scenarios._scenario(Settings.load(tmp_path), {"scenario": "s", "demand": "gold", **spec}, [], np.empty(0, int))


def test_without_enough_future_there_is_nothing_to_compare_and_it_says_so(settings: Settings, cutoff: dt.date) -> None:
    loaded, why = scenarios.load(settings, cutoff + dt.timedelta(days=1))
    assert loaded == []
    assert "less than a horizon of 7 days" in why
