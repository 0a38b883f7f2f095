"""The two-stage fine-tuning of a language model for rewriting (FOUND, section 4.4.1): LoRA, the loss on the answers alone."""

import datetime as dt
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from found_platform.errors import BadInput
from found_platform.rewriting import language_model, lessons
from found_platform.rewriting.lessons import Lesson
from found_platform.settings import Settings

if TYPE_CHECKING:
    import torch

HELD_OUT = 10
"""One lesson of so many is kept out, to see whether what was learned holds for others."""
IGNORED = -100
"""The label of a token that is no part of an answer."""


@dataclass(frozen=True)
class Options:
    """How much is taught, and how."""

    examples: int = 1000  # lessons of each stage
    epochs: int = 1
    batch: int = 8
    learning_rate: float = 1e-4
    lora_rank: int = 16
    longest: int = 1024  # tokens of a lesson
    seed: int = 0


@dataclass(frozen=True)
class Learned:
    """The mean loss of an answer's token, in nats, on lessons that were held out and on the first and last tenth of the steps."""

    stage: str
    lessons: int
    steps: int
    before: float
    after: float
    first: float
    last: float


def train(settings: Settings, cutoff: dt.date, base: str, out: Path, options: Options | None = None) -> list[Learned]:
    """Teaches `base` (a directory or a hub name) the two stages and writes the adapter and its tokenizer to `out`.

    The same seed on the same machine gives the same adapter. Raises BadInput where the base cannot be loaded, `out` holds something
    else, or the lake is too small to make lessons of.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    from models.text_tower import LORA_TARGETS

    options = options or Options()
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / "training.json").is_file())):
        raise BadInput(f"{out} is not empty and holds no adapter: choose another --out.")
    if (Path(base) / "adapter_config.json").is_file():
        raise BadInput(f"{base} is an adapter: give the model that it was made for as --base.")
    if Path(base).is_dir():
        base = str(Path(base).resolve())  # the adapter names it
    domain = lessons.domain(settings, cutoff)
    stages = {
        "what there is": lessons.about_items(domain, options.examples, options.seed),
        "demands": lessons.demands(domain, options.examples, options.seed + 1),
    }
    if any(len(taught) < 2 for taught in stages.values()):
        raise BadInput(f"The data before {cutoff} is too little to make lessons of.")
    language_model.load.cache_clear()  # the model is changed in place: nobody else may hold it
    model, tokenizer = language_model.load(base)
    language_model.load.cache_clear()
    torch.manual_seed(options.seed)
    adapted = LoraConfig(
        r=options.lora_rank,
        lora_alpha=2 * options.lora_rank,
        target_modules=LORA_TARGETS.get(model.config.model_type, "all-linear"),
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(model, adapted)
    learned = [_stage(model, tokenizer, name, taught, options) for name, taught in stages.items()]
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(str(out), safe_serialization=True)
    tokenizer.save_pretrained(out)
    about = {"base": base, "cutoff": str(cutoff), "options": asdict(options), "stages": [asdict(stage) for stage in learned]}
    (out / "training.json").write_text(json.dumps(about, indent=1))
    return learned


def _stage(model: Any, tokenizer: Any, name: str, taught: list[Lesson], options: Options) -> Learned:
    import torch

    rows = [row for lesson in taught for row in tokens(tokenizer, lesson, options.longest)]
    held, rest = rows[::HELD_OUT], [row for i, row in enumerate(rows) if i % HELD_OUT]
    order = np.random.default_rng(options.seed)
    steps = options.epochs * math.ceil(len(rest) / options.batch)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], options.learning_rate, weight_decay=0.01)
    warm = max(1, steps * 3 // 100)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1, (step + 1) / warm) * 0.5 * (1 + math.cos(math.pi * min(1, step / steps)))
    )
    before = _held_out_loss(model, tokenizer, held, options.batch)
    losses: list[float] = []
    model.train()
    with tqdm(total=steps, desc=f"teaching {name}", unit="step", disable=None, leave=False) as bar:
        for _ in range(options.epochs):
            shuffled = order.permutation(len(rest))
            for start in range(0, len(rest), options.batch):
                total, count = _loss(model, tokenizer, [rest[i] for i in shuffled[start : start + options.batch]])
                loss = total / count
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                losses.append(float(loss.detach()))
                bar.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
                bar.update()
    after = _held_out_loss(model, tokenizer, held, options.batch)
    part = max(1, len(losses) // 10)
    return Learned(name, len(taught), steps, before, after, float(np.mean(losses[:part])), float(np.mean(losses[-part:])))


def tokens(tokenizer: Any, lesson: Lesson, longest: int) -> list[tuple[list[int], list[int]]]:
    """A conversation as token ids and labels, a label being IGNORED where the assistant does not speak.

    Where a chat template writes earlier turns otherwise once they are past, a round becomes a conversation of its own. What is
    longer than `longest` tokens loses its beginning, so that the last answer stays.
    """
    rows: list[tuple[list[int], list[int]]] = []
    ids: list[int] = []
    labels: list[int] = []
    written = ""

    def add(text: str, answer: bool) -> None:
        new = tokenizer(text, add_special_tokens=False)["input_ids"]
        ids.extend(new)
        labels.extend(new if answer else [IGNORED] * len(new))

    for i, message in enumerate(lesson):
        if message["role"] != "assistant":
            continue
        question_tokens = language_model.transcript(tokenizer, lesson[:i])
        answered_tokens = language_model.transcript(tokenizer, lesson[: i + 1], answered=True)
        if written and not question_tokens.startswith(written):
            rows.append((ids, labels))
            ids, labels, written = [], [], ""
        if not answered_tokens.startswith(question_tokens):
            answered_tokens = question_tokens + message["content"] + (tokenizer.eos_token or "")
        add(question_tokens[len(written) :], answer=False)
        add(answered_tokens[len(question_tokens) :], answer=True)
        written = answered_tokens
    return [(i[-longest:], t[-longest:]) for i, t in [*rows, (ids, labels)]]


def _loss(model: Any, tokenizer: Any, rows: list[tuple[list[int], list[int]]]) -> "tuple[torch.Tensor, int]":
    """The summed cross-entropy of the answers' tokens, and how many there are."""
    import torch
    from torch.nn import functional as F

    width = max(len(ids) for ids, _ in rows)
    device = next(model.parameters()).device
    ids = torch.tensor([i + [tokenizer.pad_token_id or 0] * (width - len(i)) for i, _ in rows], device=device)
    labels = torch.tensor([t + [IGNORED] * (width - len(t)) for _, t in rows], device=device)
    mask = torch.tensor([[1] * len(i) + [0] * (width - len(i)) for i, _ in rows], device=device)
    logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
    total = F.cross_entropy(logits.flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=IGNORED, reduction="sum")
    return total, max(1, int((labels[:, 1:] != IGNORED).sum()))


def _held_out_loss(model: Any, tokenizer: Any, rows: list[tuple[list[int], list[int]]], batch: int) -> float:
    import torch

    model.eval()
    with torch.inference_mode():
        parts = [_loss(model, tokenizer, rows[i : i + batch]) for i in range(0, len(rows), batch)]
    return float(sum(float(total) for total, _ in parts) / sum(count for _, count in parts))
