"""How good FOUND is on homes whose graph has run: held-out retrieval, and AUC of every row of the benchmark, over training seeds.

    .venv/bin/python benchmarks/model_quality.py HOME [HOME ...] [--seeds 3] [--ablations] [--only VARIANT ...]

Each stage is trained again, as the home's profile says now, with other seeds; with `--ablations` with one thing changed at a time.
Homes of the simulator are development seeds; on a real source the figures are for looking, never for choosing.

Each model's figures are a line of `--out` as soon as they are there, and a row of the table is printed; trained stages lie beside
it. What stands there for the same configuration is not made again: a killed run goes on where it stopped. The file knows nothing of
the code: after a change of it, take another.
"""

import argparse
import contextlib
import copy
import datetime as dt
import hashlib
import io
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from homes import limited
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from found_platform import feature_store, registry
from found_platform.contract import midnight, parse_day
from found_platform.embedding import users
from found_platform.evaluation import run, scenarios
from found_platform.evaluation.extent import Extent
from found_platform.evaluation.population import Population
from found_platform.settings import Settings
from found_platform.training.__main__ import execute
from found_platform.training_data import export
from found_platform.training_data.training_set import users_seen
from found_platform.training_runs import stages
from models import found
from models.found import Found

STAGES = ("behavior", "tabular", "align")
Changes = dict[str, dict[str, Any]]
"""By stage, what of its run.json has another value, by dotted path."""


def _encoder(**sizes: Any) -> Changes:
    """Another behaviour encoder, in both stages that hold it."""
    return {stage: {f"model.behavior.{k}": v for k, v in sizes.items()} for stage in ("behavior", "align")}


def _daily(**losses: Any) -> Changes:
    """Windows of a day: a period is a week, so that the same weekdays are compared. Stage 1 looks as many windows ahead."""
    daily = _encoder(window_days=1, windows=180)
    return daily | {"behavior": daily["behavior"] | {"losses.period": 7} | {f"losses.{k}": v for k, v in losses.items()}}


ABLATIONS: dict[str, Changes] = {
    "as it is": {},
    "GRU, two layers": _encoder(layers=2),
    "Transformer, one layer": _encoder(kind="transformer"),
    "Transformer, two layers": _encoder(kind="transformer", layers=2),
    "no phrases": {"align": {"losses.phrases": 0.0, "model.common": False}},
    "no direction that sentences share": {"align": {"model.common": False}},
    "no margin filter": {"align": {"losses.margin": 0.0}},
    "no pull to the frozen space": {"align": {"losses.anchor": 0.0}},
    "no late interaction": {"align": {"losses.late": 0.0}},
    "cross-modality contrast": {"align": {"losses.cross_modality": 0.1}},
    "no activity features": {"align": {"model.activity": 0}},
    "no next-window head": {"behavior": {"losses.next_window": 0.0}},
    "no cyclic term": {"behavior": {"losses.cyclic": 0.0}},
    "same-period InfoNCE beside it": {"behavior": {"losses.cyclic_contrast": 0.1}},
    "windows of a day": _daily(),
    "windows of a day, same-weekday InfoNCE": _daily(cyclic_contrast=0.1),
    "four times as long in stage 1": {"behavior": {"options.steps": 1200}},
    "no event dropout": {"align": {"losses.event_dropout": 0.0}},
    "encoders tuned in stage 2": {"align": {"losses.tune_encoders": True}},
    "no stage 1": {"behavior": {"options.steps": 0}, "tabular": {"options.steps": 0}},
    "no behaviour": {"align": {"model.behavior": None, "initial.behavior": None}},
    "no table": {"align": {"model.tabular": None, "initial.tabular": None}},
    "no searches": {"align": {"model.searches": 0}},
    "five fusion layers": {"align": {"model.fusion_layers": 5}},
}
HELD_OUT = {"recall_at_10": "recall@10", "phrase_auc": "phrases"}
ROWS = (
    *("frozen_text", "activity_count", "aligned", "late"),
    *("activity", "frozen_text_activity", "tfidf_activity", "gbdt_aggregates"),
    *("untrained_activity", "stage1_activity", "concatenation_activity", "aligned_activity", "found"),
)
"""What hangs on the model, and what it is held against: replay and few-shot heads are `found benchmark run`'s."""

KEY = {
    "recall@10": "recall@10, FOUND",
    "phrases": "phrases, FOUND",
    "aligned, zero-shot": "zero-shot, aligned, auc",
    "late, zero-shot": "zero-shot, late, auc",
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
    parser.add_argument("--labels", type=int, default=4_000, help="users whose labels are used, at most")
    parser.add_argument("--out", type=Path, default=Path("build/model-quality.jsonl"))
    options = parser.parse_args()
    variants = options.only or ABLATIONS if options.ablations else ["as it is"]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    kept = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    by_variant: dict[str, list[dict[str, float]]] = {}
    jobs = [(seed, variant, home) for seed in range(options.seeds) for variant in variants for home in options.homes]
    for seed, variant, path in tqdm(jobs, unit="model", disable=None):
        home = Home.at(path, options.labels)
        runs = configured(home, seed, ABLATIONS[variant])
        key = {"home": str(path), "labels": options.labels, "runs": _hash(runs), "key_only": options.ablations}
        line = next((k for k in kept if all(k.get(name) == value for name, value in key.items())), None)
        if line is None:
            figures = measure(home, runs, options.out.with_suffix(".stages"), key_only=options.ablations)
            line = {**key, "variant": variant, "seed": seed, "figures": figures}
            with options.out.open("a") as file:
                file.write(json.dumps(line) + "\n")
        by_variant.setdefault(variant, []).append(line["figures"])
        if options.ablations:
            print(_row(variant, by_variant[variant]), flush=True)
    print(as_markdown(by_variant, rows=not options.ablations))


@dataclass(frozen=True)
class Home:
    """What does not hang on the model."""

    settings: Settings
    cutoff: dt.date
    data: Path
    scenarios: list[scenarios.Scenario]
    keys: list[str]
    history: pa.Table

    @classmethod
    @cache
    def at(cls, path: Path, labels: int) -> "Home":
        """The home at the cutoff of its newest version, with labels of at most so many users."""
        settings = Settings.load(path)
        version = registry.version_of(settings, registry.CANDIDATE)
        assert version is not None, f"{path}: run `found demo` in it first"
        cutoff = parse_day(registry.load(settings, version).tags["cutoff"], "the cutoff")
        tasks, why = scenarios.load(settings, cutoff)
        assert tasks, f"{path}: {why}"
        keys: list[str] = users_seen(settings, cutoff)["user_key"].to_pylist()
        history = feature_store.history(settings, keys, [midnight(cutoff)] * len(keys))
        data = export.folder(settings, cutoff) / "data"
        return cls(settings, cutoff, data, limited(tasks, labels), keys, history)

    def population(self, model: Found) -> Population:
        """Everybody's state as this model has it."""
        vectors = users.vectors_of(self.settings, model, self.history, users.texts_of(self.settings, model, self.cutoff))
        events = users.own_texts(self.history)[1]
        population = Population.of_lake(self.settings, model, None, self.cutoff, self.keys, vectors, events)
        vars(population)["history"] = self.history  # it would ask for the same again
        return population


def configured(home: Home, seed: int, changes: Changes) -> dict[str, dict[str, Any]]:
    """What each stage is trained with on a home's files: its profile, another seed, and these changes."""
    model = stages.model_config(home.settings, json.loads((home.data / "data.json").read_text()))
    runs = {}
    for stage in STAGES:
        if stage != "align" and model[stage] is None:
            continue
        stage_settings = getattr(home.settings.sizes, stage)
        config = {"stage": stage, "data": str(home.data.resolve()), "out": ".", "model": model, "initial": dict.fromkeys(runs, "")}
        config |= {"options": {**stage_settings.options, "seed": seed}, "losses": stage_settings.losses}
        runs[stage] = copy.deepcopy(config)
        for path, value in changes.get(stage, {}).items():
            _put(runs[stage], path.split("."), value)
    return runs


def trained(config: dict[str, Any], work: Path) -> Path:
    """The folder of a finished stage; trained now where the same has not been before."""
    folder = work / _hash(config)
    if not (folder / "outcome.json").exists():
        with contextlib.redirect_stdout(io.StringIO()):
            execute(config | {"out": str(folder.resolve())}, work)
    return folder


def measure(home: Home, runs: dict[str, dict[str, Any]], work: Path, *, key_only: bool) -> dict[str, float]:
    """Trains on a home's files and returns every figure by name; with `key_only` those of KEY."""
    align = copy.deepcopy(runs["align"])
    for part in align["initial"]:
        align["initial"][part] = str((trained(runs[part], work) / "best.safetensors").resolve())
    folder = trained(align, work)
    best = (outcome := json.loads((folder / "outcome.json").read_text()))["best"]
    figures = {"best step": float(outcome["best_step"])}
    for key, title in HELD_OUT.items():
        if key in best:
            figures |= {f"{title}, frozen text projected": best[f"frozen_{key}"], f"{title}, FOUND": best[key]}
    population = home.population(found.load(folder / "model"))
    with threadpool_limits(1):
        names = {name.split(", ")[1] for name in KEY.values() if ", auc" in name} if key_only else ROWS
        extent = Extent(names, few_shot=False)
        for row in run.evaluated(population, home.scenarios, {}, extent):
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


def as_markdown(by_variant: dict[str, list[dict[str, float]]], *, rows: bool) -> str:
    """A figure a row for one variant; else a variant a row with the key figures. Mean and spread over seeds and homes."""
    if rows:
        (only,) = by_variant.values()
        lines = [f"| {name} | {_mean(name, only)} |" for name in only[0]]
        return "\n".join(["| figure | mean ± spread |", "| --- | --- |", *lines])
    header = ["| variant | " + " | ".join(KEY) + " |", "|" + " --- |" * (len(KEY) + 1)]
    return "\n".join([*header, *(_row(variant, of) for variant, of in by_variant.items())])


def _row(variant: str, figures: list[dict[str, float]]) -> str:
    return f"| {variant} | " + " | ".join(_mean(name, figures) for name in KEY.values()) + " |"


def _mean(name: str, figures: list[dict[str, float]]) -> str:
    values = [f[name] for f in figures if name in f]
    return f"{np.mean(values):.3f} ±{np.std(values):.3f}" if values else ""


if __name__ == "__main__":
    main()
