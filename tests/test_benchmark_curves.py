"""The curves of `benchmarks/`: which labels, scenarios and points they are made of, and that they are drawn."""

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import homes  # noqa: E402
import learning_curve  # noqa: E402
import peers  # noqa: E402
import walk_forward  # noqa: E402

from found_platform.evaluation.scenario import Scenario  # noqa: E402

KEY = {"size": 300, "seed": 1}


def row(task: str, method: str, scenario: str, value: float, **more: str) -> dict[str, object]:
    return {"task": task, "method": method, "scenario": scenario, "metric": "auc", "value": value, **more}


def test_labels_are_limited_to_the_same_users_in_every_scenario() -> None:
    keys = [f"{number * 7919 % 1000:03d}" for number in range(500)]
    both = [
        Scenario(name, "", keys, (np.arange(500) % every == 0).astype(int), [], hard=np.arange(500) > 9)
        for name, every in (("a", 2), ("b", 5))
    ]
    first, second = homes.limited(both, 100)
    assert first.user_keys == second.user_keys
    assert len(first.user_keys) == len(first.labels) == len(first.hard if first.hard is not None else ()) == 100
    by_key = dict(zip(keys, both[0].labels, strict=True))
    assert [by_key[key] for key in first.user_keys] == first.labels.tolist()
    rare = Scenario("rare", "", keys, (np.arange(500) < 6).astype(int), [])
    assert homes.limited([rare], 50) == [], "too few of either kind are left"


def test_a_point_that_was_measured_is_found_again(tmp_path: Path) -> None:
    homes.Points(tmp_path / "points.json").add({**KEY, "rows": []})
    points = homes.Points(tmp_path / "points.json")
    assert points.of(**KEY) == {**KEY, "rows": []}
    assert points.of(size=300, seed=2) is None


def test_the_learning_curve_compares_what_every_size_has(tmp_path: Path) -> None:
    small = [row("zero_shot", "late", "a", 0.6), row("linear_probe", "found", "a", 0.7)]
    large = [row("zero_shot", "late", "a", 0.65), row("zero_shot", "late", "b", 0.95), row("linear_probe", "found", "a", 0.75)]
    curve = [{"size": 300, "rows": small}, {"size": 3000, "rows": large}]
    table = learning_curve.as_markdown(curve)
    assert "mean of 1 scenarios | 300 | 3,000 |" in table
    assert "| late (zero_shot) | 0.600 | 0.650 |" in table, "b is not at 300 users"
    learning_curve.draw(curve, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_walk_forward_shows_the_retrained_model_and_the_kept_one(tmp_path: Path) -> None:
    walk = [
        {"cutoff": day, "rows": [row("linear_probe", "found", "a", value, model=model) for model, value in values.items()]}
        for day, values in {
            "2026-01-01": {"retrained": 0.7, "kept": 0.7},
            "2026-02-01": {"retrained": 0.72, "kept": 0.66},
        }.items()
    ]
    table = walk_forward.as_markdown(walk)
    assert "| found (linear_probe) | retrained | 0.700 | 0.720 |" in table
    assert "| found (linear_probe) | kept | 0.700 | 0.660 |" in table
    walk_forward.draw(walk, tmp_path / "walk.png")
    assert (tmp_path / "walk.png").stat().st_size > 5_000


@pytest.mark.parametrize(("ours", "verdict"), [(0.705, "yes"), (0.8, "above"), (0.5, "below")])
def test_a_peer_is_level_within_two_spreads(ours: float, verdict: str) -> None:
    table = peers.as_markdown({"cpc, ours": [ours, ours], "cpc, pytorch-lifestream": [0.69, 0.71]})
    assert table.splitlines()[-1].endswith(f"| {verdict} |")
