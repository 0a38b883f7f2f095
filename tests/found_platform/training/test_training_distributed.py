"""Data-parallel training: two processes train the weights of one."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import by_row
import pytest
import torch
from small_training import DIM, EXACT_ALIGN, EXACT_BEHAVIOR, MODEL, QWEN, TABULAR, configure, in_files, last_weights

from found_platform.training.__main__ import execute
from found_platform.training.progress import read_progress
from found_platform.training.tasks import AlignLosses, BehaviorLosses

pytestmark = pytest.mark.usefixtures("one_thread")

ALBERT = {
    "model_type": "albert",
    "vocab_size": 97,
    "embedding_size": 8,
    "hidden_size": DIM,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}


def distributed(*command: object) -> None:
    """Runs a script or a module in two processes."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    completed = subprocess.run(
        [*launch, *map(str, command)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert completed.returncode == 0, completed.stderr


def alike(one: Path, two: Path) -> None:
    """Two runs of a stage have the same losses and figures at every step, and the same weights after the last."""
    steps = 0
    for a, b in zip(*(list(read_progress(out / "progress.jsonl")) for out in (one, two)), strict=True):
        for key in ("loss", "gradient_norm"):
            if key in a:
                steps += 1
                assert b[key] == pytest.approx(a[key], rel=1e-4)
        if "held_out" in a:
            assert b["held_out"] == pytest.approx(a["held_out"], rel=1e-3)
    assert steps
    weights, others = last_weights(one), last_weights(two)
    assert weights.keys() == others.keys()
    for name, weight in weights.items():
        if "generator" in name and one.name == "align":  # in no loss of alignment, so that not even weight decay moves it
            assert torch.equal(others[name], weight)
        elif not name.endswith("in_proj_bias"):  # the keys' bias has no gradient but rounding, and AdamW makes a step of any
            torch.testing.assert_close(others[name], weight, rtol=1e-3, atol=3e-5, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize(("stage", "losses"), [("behavior", EXACT_BEHAVIOR), ("align", EXACT_ALIGN)])
def test_two_processes_train_the_weights_of_one(folder: Path, tmp_path: Path, stage: str, losses: Any) -> None:
    """An odd batch, so that shares differ; encoders tuned, so that some weights are in no loss; two read several files."""
    options = {"batch": 15, "steps": 4, "learning_rate": 1e-3}
    for name, data in (("one", folder), ("two", in_files(folder, tmp_path / "files", 5))):
        configure(tmp_path / name, data, stage, options=options, losses=vars(losses))
    execute(json.loads((tmp_path / "one" / f"{stage}.json").read_text()), tmp_path / "one")
    command = "align" if stage == "align" else "pretrain"
    distributed("-m", "found_platform.training", command, "--config", tmp_path / "two" / f"{stage}.json")
    alike(tmp_path / "one" / stage, tmp_path / "two" / stage)


@pytest.mark.slow
def test_two_processes_that_cut_their_shares_train_the_weights_of_one_whole_batch(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every stage, with what is random on: masked cells, events left out, phrases drawn, LoRA's dropout; all in one launch."""
    towers = {"event_tower": {"architecture": ALBERT}, "description_tower": {"architecture": QWEN, "lora_rank": 2}}
    drawn = vars(AlignLosses(phrases=0.5, cross_modality=0.5, tune_encoders=True))
    runs: dict[str, dict[str, Any]] = {
        "behavior": {"losses": vars(BehaviorLosses(cyclic_contrast=0.3))},
        "tabular": {"model": {**MODEL, "tabular": {**TABULAR, "masked": 0.4}}},
        "align": {"losses": drawn},
        "towers": {"losses": drawn, "model": {**MODEL, **towers}},
    }
    shared = {"batch": 15, "steps": 2, "learning_rate": 1e-3}
    for name, run in runs.items():
        for kind, options in (("one", shared), ("two", shared | {"micro_batch": 3})):
            configure(tmp_path / kind / name, folder, "align" if name == "towers" else name, options=options, **run)
    configs = {kind: list((tmp_path / kind).glob("*/*.json")) for kind in ("one", "two")}
    distributed(by_row.__file__, *configs["two"])
    by_row.patch(monkeypatch.setattr)
    for config in configs["one"]:
        execute(json.loads(config.read_text()), config.parent)
        out = config.parent / config.stem
        alike(out, tmp_path / "two" / out.relative_to(tmp_path / "one"))
