"""Metrics by hand, labels that are refused, and results that follow from the future alone."""

import datetime as dt
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pad
import pyarrow.parquet as pq
import pytest

from found_platform import lake, registry
from found_platform.benchmark import run, scenarios
from found_platform.benchmark.metrics import METRICS, evaluate
from found_platform.errors import BadInput
from found_platform.privacy import keys
from found_platform.settings import Settings


def test_metrics_by_hand() -> None:
    # ten users, best first: positives at ranks 1, 2 and 5
    labels = np.array([1, 1, 0, 0, 1, 0, 0, 0, 0, 0])
    figures = evaluate(np.arange(10, 0, -1).astype(float), labels)
    assert set(figures) == set(METRICS)
    assert figures["auc"] == pytest.approx((7 + 7 + 5) / 21)
    assert figures["ks"] == pytest.approx(1 - 2 / 7)  # at rank 5 every positive is found and two of seven negatives
    assert (figures["precision"], figures["recall"], figures["accuracy"]) == (1.0, pytest.approx(1 / 3), 0.8)
    assert figures["lift_at_10pct"] == pytest.approx(1 / 0.3)


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
    events = pq.read_table(settings.home / "simulated" / "events.parquet").to_pylist()
    secret = keys.home_secret(settings)
    end = cutoff + dt.timedelta(days=settings.horizon_days)
    found = {s.name: s for s in scenarios.load(settings, cutoff, None, None)}
    specs = json.loads((settings.truth / "scenarios.json").read_text())["scenarios"]
    assert len(found) >= 3
    for spec in specs:
        if spec["scenario"] not in found:
            continue
        doers = {
            keys.user_key(secret, e["user_id"])
            for e in events
            if e["category"] == spec["interest"] and e["channel"] == "pay_bill" and cutoff <= e["event_time"].date() < end
        }
        scenario = found[spec["scenario"]]
        assert {u for u, label in zip(scenario.user_keys, scenario.labels, strict=True) if label} == doers & set(scenario.user_keys)


def test_the_stored_result_has_every_method_metric_and_a_mean(settings: Settings, cutoff: dt.date) -> None:
    rows = lake.read(settings.lake, run.TABLE, pad.field("cutoff") == cutoff).to_pylist()
    methods = {("frozen_text", "zero_shot"), ("frozen_text", "linear_probe"), ("activity_count", "zero_shot")}
    assert {(r["method"], r["task"]) for r in rows} == methods | {("tfidf_activity", "linear_probe")}
    names = {r["scenario"] for r in rows}
    assert len(rows) == 4 * len(names) * len(METRICS)
    for row in rows:
        if row["scenario"] == "mean":
            parts = [
                r["value"] for r in rows if r["scenario"] != "mean" and all(r[k] == row[k] for k in ("method", "task", "metric"))
            ]
            assert row["value"] == pytest.approx(np.mean(parts))
    document = run.as_document(lake.read(settings.lake, run.TABLE, pad.field("cutoff") == cutoff))
    assert set(document) == {"dataset", "cutoff", "model_version", "results"}
    assert set(document["results"][0]) == {"method", "task", "scenario", "metric", "value", "std", "users", "positives", "seeds"}


def test_shuffled_labels_teach_nothing(settings: Settings, cutoff: dt.date) -> None:
    """The probe is judged on users it was not fitted on: with meaningless labels it is at chance."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(400, 30))
    labels = (rng.random(400) < 0.2).astype(int)
    figures = [run._probe(features, labels, seed)["auc"] for seed in range(5)]
    assert abs(np.mean(figures) - 0.5) < 0.08
    labels = (features[:, 0] + 0.3 * rng.normal(size=400) > 1).astype(int)
    assert np.mean([run._probe(features, labels, seed)["auc"] for seed in range(5)]) > 0.85


def test_without_the_truth_nothing_but_the_benchmark_changes(settings: Settings, cutoff: dt.date, tmp_path: Path) -> None:
    from found_platform.embedding import users

    shutil.copytree(settings.home, tmp_path / "found")
    made = Settings.load(tmp_path / "found")
    shutil.rmtree(made.truth)
    loaded = registry.champion(settings)
    written = users.embed(made, loaded, cutoff)
    assert written.partitions == {
        str(cutoff): lake.row_hashes(settings.lake, users.TABLE, "as_of", users.where(loaded.version, cutoff), ["model_version"])[
            str(cutoff)
        ]
    }
    assert scenarios.load(made, cutoff, None, None) == []
    written, table = run.run(made, cutoff, loaded.version, [])
    assert (written.rows, table.num_rows) == (0, 0)


def write_labels(folder: Path, rows: list[dict], **spec: object) -> tuple[Path, Path]:
    pq.write_table(pa.Table.from_pylist(rows), folder / "labels.parquet")
    (folder / "scenarios.json").write_text(json.dumps({"scenarios": [{"scenario": "s", "demand": "people who buy tents", **spec}]}))
    return folder / "labels.parquet", folder / "scenarios.json"


def test_labels_of_a_file_are_hashed_forward_and_matched_by_cutoff(settings: Settings, cutoff: dt.date, tmp_path: Path) -> None:
    moment = dt.datetime.combine(cutoff, dt.time(), dt.UTC)
    rows = [{"user_id": f"user-0-{i:06d}", "scenario": "s", "cutoff": moment, "label": i % 2} for i in range(6)]
    rows.append({**rows[0], "cutoff": moment + dt.timedelta(days=1), "label": 1})
    (scenario,) = scenarios.load(settings, cutoff, *write_labels(tmp_path, rows, horizon_days=30))
    assert scenario.horizon_days == 30
    assert list(scenario.labels) == [0, 1, 0, 1, 0, 1]
    assert scenario.user_keys[1] == keys.user_key(keys.home_secret(settings), "user-0-000001")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"user_id": "a", "scenario": "s", "label": 1}], "has no column cutoff"),
        (
            [{"user_id": "a", "scenario": "s", "label": 1, "cutoff": dt.datetime(1999, 1, 1, tzinfo=dt.UTC)}],
            "no labels at the cutoff",
        ),
        ([{"user_id": "a", "scenario": "other", "label": 1, "cutoff": None}], "no labels of the scenarios"),
    ],
)
def test_labels_that_cannot_be_used_are_refused(
    settings: Settings, cutoff: dt.date, tmp_path: Path, rows: list[dict], message: str
) -> None:
    if rows[0].get("cutoff", 0) is None:
        rows[0]["cutoff"] = dt.datetime.combine(cutoff, dt.time(), dt.UTC)
    with pytest.raises(BadInput, match=message):
        scenarios.load(settings, cutoff, *write_labels(tmp_path, rows))


def test_files_that_are_missing_or_no_scenarios_are_named(settings: Settings, cutoff: dt.date, tmp_path: Path) -> None:
    labels, specs = write_labels(tmp_path, [{"user_id": "a", "scenario": "s", "cutoff": None, "label": 1}])
    with pytest.raises(BadInput, match="belong together"):
        scenarios.load(settings, cutoff, labels, None)
    with pytest.raises(BadInput, match=r"nowhere\.parquet does not exist"):
        scenarios.load(settings, cutoff, tmp_path / "nowhere.parquet", specs)
    with pytest.raises(BadInput, match=r"nowhere\.json does not exist"):
        scenarios.load(settings, cutoff, labels, tmp_path / "nowhere.json")
    specs.write_text('{"scenarios": [{"scenario": "s"}]}')
    with pytest.raises(BadInput, match="is no scenario file"):
        scenarios.load(settings, cutoff, labels, specs)
