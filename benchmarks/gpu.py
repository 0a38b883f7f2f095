"""The `paper` profile's sizes on one GPU, by the training loop itself: tokens a second, step time, utilisation, memory, the loss.

    python benchmarks/gpu.py [--minutes 3] [--out build/bench-gpu.json]
    python benchmarks/gpu.py --tiny                 the same code on a CPU in seconds, with tiny sizes

Needs torch, transformers (with its PyYAML), peft, numpy and safetensors. The weights are random: ALBERT-base and Qwen2-1.5B are
built from their sizes. The population is synthetic: users of a topic each, whose events, searches and future are mostly of it.

Utilisation is of the model: three forward passes a row for what is trained whole (forward, and twice as much backward), two for the
tower under LoRA, whose own weights need no gradient, over the bf16 matrix product measured on the same device. That the loop runs
every micro-batch once more without a graph, and what checkpointing repeats, is work done and not counted.
"""

import argparse
import itertools
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # on a bare machine nothing is installed

from found_platform.training import machine, made_up  # noqa: E402
from found_platform.training.data import TrainingData  # noqa: E402
from found_platform.training.loop import Options, batch_of, train  # noqa: E402
from found_platform.training.progress import read_progress  # noqa: E402
from found_platform.training.tasks import AlignLosses, AlignTask, BehaviorLosses, BehaviorStage, BehaviorTask  # noqa: E402
from models.behavior import BehaviorConfig  # noqa: E402
from models.found import Found, FoundConfig  # noqa: E402
from models.tabular import TabularConfig  # noqa: E402
from models.text_tower import TowerConfig  # noqa: E402

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "albert/albert-base-v2": {
        "model_type": "albert",
        "vocab_size": 30_000,
        "embedding_size": 128,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
    },
    "Qwen/Qwen2-1.5B": {
        "model_type": "qwen2",
        "vocab_size": 151_936,
        "hidden_size": 1536,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "intermediate_size": 8960,
    },
}
SMALL = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64, "vocab_size": 512}
SIZES = {  # users, texts, events and searches a user, side of the matrix product, steps before the clock starts
    False: {"users": 50_000, "texts": 20_000, "events": 128, "searches": 16, "matrix": 8192, "warm": 3},
    True: {"users": 200, "texts": 60, "events": 12, "searches": 3, "matrix": 128, "warm": 1},
}
ACTIVITY, VALUES = 12, (5, 9, 4, 12, 3, 7)
TINY_STEPS = 6


def profile(tiny: bool) -> dict[str, Any]:
    """The paper profile with architectures in place of weights; with `tiny`, small sizes for every part of it."""
    sizes = yaml.safe_load((ROOT / "found_platform" / "profiles" / "paper.yaml").read_text())
    for name in ("event_tower", "description_tower"):
        tower = sizes["model"][name]
        tower["architecture"] = ARCHITECTURES[tower.pop("model")]
        if tiny:
            tower["architecture"] = {**tower["architecture"], **SMALL}
            if "num_key_value_heads" in tower["architecture"]:
                tower["architecture"]["num_key_value_heads"] = 1
    if tiny:
        sizes["model"] |= {"dim": 16, "width": 16, "heads": 2, "fusion_layers": 1, "searches": 3}
        sizes["model"]["behavior"] |= {"width": 16, "window_days": 30, "windows": 6, "layers": 1, "heads": 2}
        sizes["model"]["tabular"] |= {"width": 8, "layers": 1, "heads": 2}
        for stage in ("behavior", "align"):
            sizes[stage]["options"] |= {"batch": 16, "micro_batch": 8}
    return sizes


def model_config(sizes: dict[str, Any], text_dim: int) -> FoundConfig:
    """As the platform makes it from a profile."""
    sizes = dict(sizes)
    behavior = BehaviorConfig(text_dim, **sizes.pop("behavior"))
    tabular = TabularConfig(VALUES, **sizes.pop("tabular"))
    towers = {name: TowerConfig(**sizes.pop(name)) for name in ("event_tower", "description_tower")}
    return FoundConfig("none", "none", text_dim, activity=ACTIVITY, behavior=behavior, tabular=tabular, **towers, **sizes)


def matmul_peak(device: str, side: int) -> float:
    """FLOP/s of a bf16 matrix product: the best of some."""
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = float("inf")
    for _ in range(8):
        _wait(device)
        start = time.perf_counter()
        for _ in range(4):
            a @ b
        _wait(device)
        best = min(best, (time.perf_counter() - start) / 4)
    return 2 * side**3 / best


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def model_flops(task: Any, options: Options, device: str) -> float:
    """Of a step: forward and backward of every row and of the loss, each once."""
    task.model.to(device).train()
    trained = [p for p in task.model.parameters() if p.requires_grad]
    task.model.requires_grad_(False)  # the counter hangs hooks on what may get a gradient
    rows = batch_of(task.rows, 0, options)
    micro = rows.split(options.micro_batch or len(rows))
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"), FlopCounterMode(display=False) as forward:
        own = [task.late_queries(part) for part in micro]
        compared = [None] * len(micro) if own[0] is None else [(part, torch.cat(own)) for part in own]
        outputs = [task.outputs(*both) for both in zip(micro, compared, strict=True)]
    with FlopCounterMode(display=False) as loss:
        task.losses(tuple(torch.cat(column) for column in zip(*outputs, strict=True)), rows)
    for parameter in trained:
        parameter.requires_grad_()
    total, by_module = forward.get_total_flops(), forward.get_flop_counts()
    adapted = sum(sum(counts.values()) for name, counts in by_module.items() if name.endswith(".description_tower"))
    return 3 * total - adapted + 3 * loss.get_total_flops()


class Tokens:
    """Counts the tokens that a task reads with a graph: those of its text towers, and windows through time."""

    def __init__(self, model: torch.nn.Module):
        self.text = self.windows = 0
        for module in model.modules():
            if hasattr(module, "tokenize"):
                module.tokenize = self._counted(module.tokenize)
            if isinstance(module, torch.nn.TransformerEncoder | torch.nn.GRU):
                module.register_forward_pre_hook(self._seen)

    def _counted(self, tokenize: Any) -> Any:
        def run(texts: list[str]) -> dict[str, torch.Tensor]:
            tokens = tokenize(texts)
            if torch.is_grad_enabled():
                self.text += int(tokens["attention_mask"].sum())
            return tokens

        return run

    def _seen(self, module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if torch.is_grad_enabled():
            self.windows += inputs[0].shape[0] * inputs[0].shape[1]


def stage(name: str, task: Any, config: dict[str, Any], folder: Path, device: str, tiny: bool, minutes: float) -> dict[str, Any]:
    """Trains a stage for some minutes and says how it went."""
    warm = SIZES[tiny]["warm"]
    fixed = {**config, "evaluate_every": 10**9, "checkpoint_minutes": 1e9, "log_every": 1}
    needs = machine.check(task.model, Options(**{**fixed, "steps": warm}), device)
    print(f"{name}: {needs.sentence()}", flush=True)
    flops = model_flops(task, Options(**{**fixed, "steps": warm}), device)
    train(task, Options(**{**fixed, "steps": warm}), folder / "warm", device)
    seconds = _gaps(folder / "warm")
    steps = TINY_STEPS if tiny else max(20, int(minutes * 60 / max(min(seconds), 1e-3)))
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    tokens = Tokens(task.model)
    train(task, Options(**{**fixed, "steps": steps}), folder / "run", device)
    losses = [line["loss"] for line in read_progress(folder / "run" / "progress.jsonl") if "loss" in line]
    seconds = _gaps(folder / "run")
    step, tenth = float(np.median(seconds)), max(1, len(losses) // 10)
    return {
        "parameters": needs.parameters,
        "trained": needs.trained,
        "steps": steps,
        "batch": config["batch"],
        "micro_batch": config["micro_batch"],
        "step_seconds": step,
        "text_tokens_per_second": tokens.text / steps / step,
        "window_tokens_per_second": tokens.windows / steps / step,
        "model_tflop_per_step": flops / 1e12,
        "model_tflops": flops / step / 1e12,
        "peak_memory_gib": torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else None,
        "loss_first": float(np.mean(losses[:tenth])),
        "loss_last": float(np.mean(losses[-tenth:])),
        "losses": losses[:: max(1, len(losses) // 200)],
    }


def _gaps(folder: Path) -> list[float]:
    """Seconds of each step but the first, which also holds the look at held-out users before it."""
    at = [line["seconds"] for line in read_progress(folder / "progress.jsonl") if "loss" in line]
    return [max(b - a, 1e-6) for a, b in itertools.pairwise(at)] or at


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description="Train the paper profile's sizes for some minutes and measure it.")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, for a CPU")
    parser.add_argument("--minutes", type=float, default=3.0, help="of training, each stage")
    parser.add_argument("--out", type=Path, default=Path("build/bench-gpu.json"))
    options = parser.parse_args(arguments)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not options.tiny:
        parser.error("there is no GPU here: --tiny shows on a CPU that everything runs")
    sizes = SIZES[options.tiny]
    chosen = profile(options.tiny)
    text_dim = chosen["model"]["event_tower"]["architecture"]["hidden_size"]
    config = model_config(chosen["model"], text_dim)
    peak = matmul_peak(device, sizes["matrix"])
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    print(f"{name}: a bf16 matrix product makes {peak / 1e12:.2f} TFLOP/s")
    document: dict[str, Any] = {"device": name, "torch": torch.__version__, "matmul_tflops": peak / 1e12, "stages": {}}
    with tempfile.TemporaryDirectory() as temp:
        folder = Path(temp)
        population = {k: sizes[k] for k in ("users", "texts", "events", "searches")}
        data = TrainingData(made_up.write(folder / "data", text_dim=text_dim, values=VALUES, activity=ACTIVITY, **population))
        torch.manual_seed(0)
        assert config.behavior is not None
        behavior = BehaviorTask(data, BehaviorStage(config.behavior), BehaviorLosses(**chosen["behavior"]["losses"]))
        rest = (device, options.tiny, options.minutes)
        document["stages"]["behavior"] = stage("behavior", behavior, chosen["behavior"]["options"], folder / "behavior", *rest)
        model = Found(config)
        assert model.behavior is not None
        model.behavior.load_state_dict(behavior.model.encoder.state_dict())
        del behavior
        align = AlignTask(data, model, AlignLosses(**chosen["align"]["losses"]))
        document["stages"]["align"] = stage("align", align, chosen["align"]["options"], folder / "align", *rest)
    for stage_name, row in document["stages"].items():
        row["utilisation"] = row["model_tflops"] * 1e12 / peak
        memory = "" if row["peak_memory_gib"] is None else f", {row['peak_memory_gib']:.1f} GiB"
        print(
            f"{stage_name}: {row['step_seconds']:.3f} s a step of {row['batch']} rows, "
            f"{row['text_tokens_per_second']:,.0f} text and {row['window_tokens_per_second']:,.0f} window tokens a second, "
            f"{row['utilisation']:.1%} of the matrix product{memory}; "
            f"loss {row['loss_first']:.3f} -> {row['loss_last']:.3f} in {row['steps']} steps"
        )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(document, indent=1))
    return document


if __name__ == "__main__":
    main()
