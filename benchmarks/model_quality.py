"""How good FOUND is on homes whose graph has run: held-out retrieval, and AUC of every row of the benchmark, over training seeds.

    .venv/bin/python benchmarks/model_quality.py HOME [HOME ...] [--seeds 3] [--ablations] [--only VARIANT ...]

Each stage is trained again, as the home's own profile says, with other seeds; with `--ablations` with one thing changed at a time.
Homes of the simulator are development seeds; on a real source the figures are for looking, never for choosing.

Each model's figures are a line of `--out` as soon as they are there, and a row of the table is printed. What stands in the file for
the same configuration is not measured again: a killed run goes on where it stopped. The file knows nothing of the code: after a
change of it, take another.
"""

import argparse
import copy
import hashlib
import json
import os
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
Changes = dict[str, dict[str, Any]]
"""By stage, what of its run.json has another value, by dotted path."""


def _encoder(**sizes: Any) -> Changes:
    """Another behaviour encoder, in both stages that hold it."""
    return {stage: {f"model.behavior.{k}": v for k, v in sizes.items()} for stage in ("behavior", "align")}


ABLATIONS: dict[str, Changes] = {
    "as it is": {},
    "GRU, one layer": _encoder(kind="gru", layers=1),
    "GRU, two layers": _encoder(kind="gru", layers=2),
    "Transformer, one layer": _encoder(kind="transformer", layers=1),
    "Transformer, two layers": _encoder(kind="transformer", layers=2),
    "no margin filter": {"align": {"losses.margin": 0.0}},
    "no pull to the frozen space": {"align": {"losses.anchor": 0.0}},
    "no late interaction": {"align": {"losses.late": 0.0}},
    "cross-modality contrast": {"align": {"losses.cross_modality": 0.1}},
    "no activity features": {"align": {"model.activity": 0}},
    "no next-window head": {"behavior": {"losses.next_window": 0.0}},
    "no cyclic term": {"behavior": {"losses.cyclic": 0.0}},
    "same-period InfoNCE beside it": {"behavior": {"losses.cyclic_contrast": 0.1}},
    "no event dropout": {"align": {"losses.event_dropout": 0.0}},
    "encoders tuned in stage 2": {"align": {"losses.tune_encoders": True}},
    "no stage 1": {"behavior": {"options.steps": 0}, "tabular": {"options.steps": 0}},
    "no behaviour": {"align": {"model.behavior": None, "initial.behavior": None}},
    "no table": {"align": {"model.tabular": None, "initial.tabular": None}},
    "no searches": {"align": {"model.searches": 0}},
    "five fusion layers": {"align": {"model.fusion_layers": 5}},
}
KEY = {
    "recall@10": "recall@10, FOUND",
    "aligned, zero-shot": "zero-shot, found_aligned, auc",
    "late, zero-shot": "zero-shot, found_late, auc",
    "stage 1 + activity": "linear-probe, stage1_activity, auc",
    "aligned + activity": "linear-probe, aligned_activity, auc",
    "full": "linear-probe, found, auc",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("homes", type=Path, nargs="+")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ablations", action="store_true", help="one thing changed at a time, and the figures of KEY alone")
    parser.add_argument("--only", nargs="+", choices=ABLATIONS, metavar="VARIANT", help="these ablations alone")
    parser.add_argument("--out", type=Path, default=Path("build/model-quality.jsonl"))
    asked = parser.parse_args()
    variants = asked.only or ABLATIONS if asked.ablations else ["as it is"]
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    known = [json.loads(line) for line in asked.out.read_text().splitlines()] if asked.out.exists() else []
    found: dict[str, list[dict[str, float]]] = {}
    jobs = [(seed, variant, home) for seed in range(asked.seeds) for variant in variants for home in asked.homes]
    with tempfile.TemporaryDirectory() as work:
        for seed, variant, home in tqdm(jobs, unit="model", disable=None):
            runs = configured(home, seed, ABLATIONS[variant])
            key = {"home": str(home), "runs": _hash(runs), "key_only": asked.ablations}
            line = next((k for k in known if all(k[name] == value for name, value in key.items())), None)
            if line is None:
                figures = measure(home, runs, Path(work), key_only=asked.ablations)
                line = {**key, "variant": variant, "seed": seed, "figures": figures}
                with asked.out.open("a") as file:
                    file.write(json.dumps(line) + "\n")
            found.setdefault(variant, []).append(line["figures"])
            if asked.ablations:
                print(_row(variant, found[variant]), flush=True)
    print(as_markdown(found, rows=not asked.ablations))


def configured(home: Path, seed: int, changes: Changes) -> dict[str, dict[str, Any]]:
    """What each stage is trained with: the home's own run.json with another seed, these changes, and absolute paths."""
    made = _trained_by(home)
    runs = {}
    for stage in STAGES:
        if not (made / stage / "run.json").exists():
            continue
        asked = json.loads((made / stage / "run.json").read_text())
        asked["data"] = str((made / "data").resolve())
        asked["options"]["seed"] = seed
        for path, value in changes.get(stage, {}).items():
            _put(asked, path.split("."), value)
        runs[stage] = asked
    return runs


def _trained_by(home: Path) -> Path:
    """The training folder of the cutoff of a home's newest version."""
    settings = Settings.load(home)
    version = registry.version_of(settings, registry.CANDIDATE)
    assert version is not None, f"{home}: run `found demo` in it first"
    return settings.home / "training" / registry.load(settings, version).tags["cutoff"]


def trained(asked: dict[str, Any], work: Path) -> Path:
    """The folder of a finished stage; trained now where the same has not been before."""
    folder = work / _hash(asked)
    if not (folder / "outcome.json").exists():
        folder.mkdir()
        (folder / "run.json").write_text(json.dumps(asked))
        command = [sys.executable, "-m", "found_platform.training", STAGES[asked["stage"]], "--config", str(folder / "run.json")]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"})
    return folder


def measure(home: Path, runs: dict[str, dict[str, Any]], work: Path, *, key_only: bool) -> dict[str, float]:
    """Trains on a home's files and returns every figure by name; with `key_only` those of KEY."""
    align = copy.deepcopy(runs["align"])
    for part in align["initial"]:
        align["initial"][part] = str(trained(runs[part], work) / "best.safetensors")
    folder = trained(align, work)
    best = (outcome := json.loads((folder / "outcome.json").read_text()))["best"]
    settings = Settings.load(home)
    cutoff = parse_day(_trained_by(home).name, "the cutoff")
    wanted, why = scenarios.load(settings, cutoff)
    assert wanted, f"{home}: {why}"
    figures = {
        "recall@10, frozen text projected": best["frozen_recall_at_10"],
        "recall@10, FOUND": best["recall_at_10"],
        "best step": float(outcome["best_step"]),
    }
    population = methods.Population.computed(settings, found.load(folder / "model"), cutoff)
    with threadpool_limits(1):
        only = {name.split(", ")[1] for name in KEY.values() if ", auc" in name} if key_only else None
        for row in run.evaluated(population, wanted, {}, only):
            if row["scenario"] == "mean" and row["metric"] in ("auc", "auc_paraphrases"):
                figures[f"{row['task'].replace('_', '-')}, {row['method']}, {row['metric']}"] = row["value"]
    return figures


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _put(target: dict[str, Any], path: list[str], value: Any) -> None:
    for part in path[:-1]:
        target = target[part]
    if value is None and path[0] == "initial":
        target.pop(path[-1], None)
    else:
        target[path[-1]] = value


def as_markdown(found: dict[str, list[dict[str, float]]], *, rows: bool) -> str:
    """A figure a row for one variant; else a variant a row with the key figures. Mean and spread over seeds and homes."""
    if rows:
        (only,) = found.values()
        lines = [f"| {name} | {_mean(name, only)} |" for name in only[0]]
        return "\n".join(["| figure | mean ± spread |", "| --- | --- |", *lines])
    header = ["| variant | " + " | ".join(KEY) + " |", "|" + " --- |" * (len(KEY) + 1)]
    return "\n".join([*header, *(_row(variant, of) for variant, of in found.items())])


def _row(variant: str, figures: list[dict[str, float]]) -> str:
    return f"| {variant} | " + " | ".join(_mean(name, figures) for name in KEY.values()) + " |"


def _mean(name: str, figures: list[dict[str, float]]) -> str:
    values = [f[name] for f in figures if name in f]
    return f"{np.mean(values):.3f} ±{np.std(values):.3f}" if values else ""


if __name__ == "__main__":
    main()
