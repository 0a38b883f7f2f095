"""How good FOUND is on homes whose graph has run: held-out retrieval, and AUC of every row of the benchmark, over training seeds.

    .venv/bin/python benchmarks/model_quality.py HOME [HOME ...] [--seeds 3] [--ablations]

Each stage is trained again, as the home's own profile says, with other seeds (with `--ablations` with one thing changed). Homes of
the simulator are development seeds; on a real source the figures are for looking, never for choosing. JSON goes to --out.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from found_platform import registry
from found_platform.benchmark import methods, run, scenarios
from found_platform.contract import parse_day
from found_platform.settings import Settings
from models import found

STAGES = {"behavior": "pretrain", "tabular": "pretrain", "align": "align"}
ABLATIONS: dict[str, dict[str, dict[str, Any]]] = {
    "as it is": {},
    "no margin filter": {"align": {"losses.margin": 0.0}},
    "no pull to the frozen space": {"align": {"losses.anchor": 0.0}},
    "no late interaction": {"align": {"losses.late": 0.0}},
    "no next-window head": {"behavior": {"losses.next_window": 0.0}},
    "no cyclic term": {"behavior": {"losses.cyclic": 0.0}},
    "same-weekday InfoNCE": {"behavior": {"losses.cyclic_contrast": 0.1}},
    "cross-modality contrast": {"align": {"losses.cross_modality": 0.1}},
    "encoders tuned in stage 2": {"align": {"losses.tune_encoders": True}},
    "no event dropout": {"align": {"losses.event_dropout": 0.0}},
    "GRU": {s: {"model.behavior.kind": "gru"} for s in ("behavior", "align")},
    "without behaviour": {"align": {"model.behavior": None, "initial.behavior": None}},
    "without table": {"align": {"model.tabular": None, "initial.tabular": None}},
    "without searches": {"align": {"model.searches": 0}},
    "five fusion layers": {"align": {"model.fusion_layers": 5}},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("homes", type=Path, nargs="+")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ablations", action="store_true", help="one thing changed at a time, with one training seed")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    variants = ABLATIONS if asked.ablations else {"as it is": {}}
    figures: dict[str, dict[str, list[float]]] = {}
    jobs = [(v, h, s) for v in variants for h in asked.homes for s in range(1 if asked.ablations else asked.seeds)]
    for variant, home, seed in tqdm(jobs, unit="model", disable=None):
        for name, value in measure(home, seed, variants[variant], key_only=asked.ablations).items():
            figures.setdefault(variant, {}).setdefault(name, []).append(value)
    print(as_markdown(figures, rows=not asked.ablations))
    if asked.out:
        asked.out.write_text(json.dumps(figures, indent=1))


def measure(home: Path, seed: int, changes: dict[str, dict[str, Any]], *, key_only: bool) -> dict[str, float]:
    """Trains on a home's files and returns every figure by name; with `key_only` those of KEY, from the home's own stage 1 where
    nothing of it is changed."""
    settings = Settings.load(home)
    version = registry.version_of(settings, registry.CANDIDATE)
    assert version is not None, f"{home}: run `found demo` in it first"
    cutoff = parse_day(registry.load(settings, version).tags["cutoff"], "the cutoff")
    made = settings.home / "training" / str(cutoff)
    with tempfile.TemporaryDirectory() as scratch:
        for stage, command in STAGES.items():
            untouched = key_only and stage not in changes and stage != "align"
            if untouched and (made / stage / "run.json").exists():
                shutil.copytree(made / stage, Path(scratch) / stage)
            elif (made / stage / "run.json").exists():
                asked = json.loads((made / stage / "run.json").read_text())
                asked["data"] = str(made / "data")
                asked["options"]["seed"] = seed
                for path, value in changes.get(stage, {}).items():
                    _put(asked, path.split("."), value)
                folder = Path(scratch) / stage
                folder.mkdir()
                (folder / "run.json").write_text(json.dumps(asked))
                arguments = [sys.executable, "-m", "found_platform.training", command, "--config", str(folder / "run.json")]
                subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)
        outcome = json.loads((Path(scratch) / "align" / "outcome.json").read_text())
        model = found.load(Path(scratch) / "align" / "model")
    wanted, why = scenarios.load(settings, cutoff)
    assert wanted, f"{home}: {why}"
    best = outcome["best"]
    figures = {
        "recall@10, frozen text projected": best["frozen_recall_at_10"],
        "recall@10, FOUND": best["recall_at_10"],
        "best step": float(outcome["best_step"]),
    }
    population = methods.Population.computed(settings, model, cutoff)
    with threadpool_limits(1):
        only = {name.split(", ")[1] for name in KEY.values() if ", auc" in name} if key_only else None
        for row in run.evaluated(population, wanted, {}, only):
            if row["scenario"] == "mean" and row["metric"] in ("auc", "auc_paraphrases"):
                figures[f"{row['task'].replace('_', '-')}, {row['method']}, {row['metric']}"] = row["value"]
    return figures


def _put(target: dict[str, Any], path: list[str], value: Any) -> None:
    for part in path[:-1]:
        target = target[part]
    if value is None and path[0] == "initial":
        target.pop(path[-1], None)
    else:
        target[path[-1]] = value


KEY = {
    "recall@10": "recall@10, FOUND",
    "aligned, zero-shot": "zero-shot, found_aligned, auc",
    "late, zero-shot": "zero-shot, found_late, auc",
    "stage 1 + activity": "linear-probe, stage1_activity, auc",
    "aligned + activity": "linear-probe, aligned_activity, auc",
    "full": "linear-probe, found, auc",
}


def as_markdown(figures: dict[str, dict[str, list[float]]], *, rows: bool) -> str:
    """A figure a row for one variant; else a variant a row with the key figures."""
    if rows:
        (only,) = figures.values()
        lines = [f"| {name} | {np.mean(v):.3f} ±{np.std(v):.3f} |" for name, v in only.items()]
        return "\n".join(["| figure | mean ± spread |", "| --- | --- |", *lines])
    header = ["| variant | " + " | ".join(KEY) + " |", "|" + " --- |" * (len(KEY) + 1)]
    cells = {
        variant: " | ".join(f"{np.mean(of[name]):.3f}" if name in of else "" for name in KEY.values())
        for variant, of in figures.items()
    }
    return "\n".join([*header, *(f"| {variant} | {row} |" for variant, row in cells.items())])


if __name__ == "__main__":
    main()
