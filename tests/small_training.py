"""A folder of training data with a topic for each user, tiny models, and the stages' tasks over them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from found_platform.training.data import DAY, TrainingData
from found_platform.training.tasks import AlignLosses, AlignTask, BehaviorLosses, BehaviorStage, BehaviorTask, TabularTask
from models.behavior import BehaviorConfig
from models.found import Found, rebuild
from models.tabular import TabularConfig, TabularEncoder

TEXTS, OWN_TEXTS, DIM, TOPICS = 30, 24, 8, 4  # the last texts are those of held-out users alone
USERS, MOMENTS, FOLDS = 40, 2, 5
VALUES = (3, 4)
START = 20_000 * DAY

BEHAVIOR = {"text_dim": DIM, "width": 16, "window_days": 7.0, "windows": 6, "layers": 1, "heads": 2, "dropout": 0.0}
TABULAR = {"values": list(VALUES), "width": 8, "layers": 1, "heads": 2, "dropout": 0.0}
MODEL: dict[str, Any] = {
    "encoder": "random-bert",
    "encoder_revision": "r",
    "text_dim": DIM,
    "dim": 6,
    "activity": 3,
    "behavior": BEHAVIOR,
    "tabular": TABULAR,
    "searches": 3,
    "common": True,
    "width": 16,
    "heads": 2,
    "dropout": 0.0,
}
QWEN = {
    "model_type": "qwen2",
    "vocab_size": 97,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 32,
}
EXACT_BEHAVIOR = BehaviorLosses(cyclic_contrast=0.3, event_dropout=0.0)
EXACT_ALIGN = AlignLosses(cross_modality=0.5, event_dropout=0.0, tune_encoders=True)


def write_data(folder: Path) -> Path:
    """Users with a topic each, at two moments; what they do later is of their topic too."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    topics = rng.normal(size=(TOPICS, DIM))
    vectors = topics[np.arange(TEXTS) % TOPICS] + 0.5 * rng.normal(size=(TEXTS, DIM))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    flat: dict[str, list] = {}
    had: set[tuple[int, int]] = set()

    def add(**values: Any) -> None:
        for name, value in values.items():
            flat.setdefault(name, []).extend(value if isinstance(value, list | np.ndarray) else [value])

    for row in range(USERS * MOMENTS):
        user, moment = divmod(row, MOMENTS)
        held_out, topic = user % FOLDS == 0, user % TOPICS
        t1 = START + (60 + 28 * moment) * DAY
        pool = np.arange(OWN_TEXTS, TEXTS) if held_out else np.arange(topic, OWN_TEXTS, TOPICS)
        events, searches, items = rng.integers(2, 12), rng.integers(0, 5), rng.integers(1, 4)
        texts, searched = rng.choice(pool, events), rng.choice(pool, searches)
        exposed = rng.random(events) < 0.2
        exposed[0] = False
        if not held_out:
            had |= {(user, int(t)) for t in [*texts[~exposed], *searched]}
        add(
            event_text=texts,
            event_time=np.sort(t1 - rng.integers(1, 50 * DAY, events)),
            event_channel=rng.integers(0, 3, events),
            event_amount=rng.integers(0, 32, events),
            event_exposed=exposed,
            event_counts=events,
            search_text=searched,
            search_time=np.sort(t1 - rng.integers(1, 50 * DAY, searches)),
            search_counts=searches,
            item_text=rng.choice(pool, items),
            item_weight=rng.integers(1, 5, items).astype(float),
            item_counts=items,
            owner=user,
            fold=user % FOLDS,
            t1=t1,
        )
    kinds = {"event_exposed": np.uint8, "item_weight": np.float32, "fold": np.int8, "event_text": np.int32, "search_text": np.int32}
    rows = {name: torch.from_numpy(np.array(values).astype(kinds.get(name, np.int64))) for name, values in flat.items()}
    rows["cells"] = torch.from_numpy(np.stack([rng.integers(0, size, USERS * MOMENTS) for size in VALUES], 1))
    rows["activity"] = torch.from_numpy(rng.gamma(1.0, 4.0, (USERS * MOMENTS, 3)).astype(np.float32))
    counts = np.bincount([text for _, text in had], minlength=TEXTS)
    save_file(rows, folder / "rows.safetensors")
    save_file({"vectors": torch.from_numpy(vectors).half(), "counts": torch.from_numpy(counts)}, folder / "texts.safetensors")
    (folder / "data.json").write_text(json.dumps({"encoder": "random-bert", "encoder_revision": "r", "columns": []}))
    (folder / "texts.json").write_text(json.dumps([f"thing {i} of kind {i % TOPICS}" for i in range(TEXTS)]))
    futures = [f"will like kind {row // MOMENTS % TOPICS} number {row % 3}" for row in range(USERS * MOMENTS)]
    (folder / "descriptions.json").write_text(json.dumps(futures))
    return folder


def in_files(folder: Path, target: Path, files: int) -> Path:
    """A copy of the folder with its rows in several files, those of a user in one. Rows must be in the order of users."""
    target.mkdir(parents=True)
    for path in folder.iterdir():
        if path.stem not in ("rows", "descriptions"):
            (target / path.name).write_bytes(path.read_bytes())
    rows, told = load_file(folder / "rows.safetensors"), json.loads((folder / "descriptions.json").read_text())
    for number, users in enumerate(rows["owner"].unique().tensor_split(files)):
        chosen = torch.isin(rows["owner"], users)
        part = {}
        for name, column in rows.items():
            kind = name.split("_")[0]
            is_ragged = kind in ("event", "search", "item") and not name.endswith("counts")
            part[name] = column[torch.repeat_interleave(chosen, rows[f"{kind}_counts"]) if is_ragged else chosen].clone()
        save_file(part, target / f"rows-{number:05}.safetensors")
        own = [text for text, is_own in zip(told, chosen.tolist(), strict=True) if is_own]
        (target / f"descriptions-{number:05}.json").write_text(json.dumps(own))
    return target


def rewrite(folder: Path, target: Path, **changes: Any) -> Path:
    """A copy of the folder with some columns of the rows changed, each by a function of its tensor and all rows."""
    target.mkdir(parents=True)
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    rows = load_file(folder / "rows.safetensors")
    save_file({**rows, **{name: change(rows[name].clone(), rows) for name, change in changes.items()}}, target / "rows.safetensors")
    return target


def behavior_task(data: TrainingData, losses: BehaviorLosses = EXACT_BEHAVIOR, **changes: Any) -> BehaviorTask:
    torch.manual_seed(0)
    return BehaviorTask(data, BehaviorStage(BehaviorConfig(**{**BEHAVIOR, **changes})), losses)


def tabular_task(data: TrainingData, **changes: Any) -> TabularTask:
    torch.manual_seed(0)
    return TabularTask(data, TabularEncoder(TabularConfig(**{**TABULAR, "values": VALUES, **changes})))


def align_task(data: TrainingData, losses: AlignLosses = EXACT_ALIGN, **changes: Any) -> AlignTask:
    torch.manual_seed(0)
    return AlignTask(data, Found(replace(rebuild(MODEL), **changes)), losses)


def noisy(stage: str, data: TrainingData) -> BehaviorTask | TabularTask | AlignTask:
    """A task in which everything random takes part."""
    if stage == "behavior":
        return behavior_task(data, BehaviorLosses(), dropout=0.2)
    if stage == "tabular":
        return tabular_task(data, dropout=0.2)
    return align_task(data, AlignLosses(tune_encoders=True, phrases=0.5), dropout=0.2)


TASKS = ["behavior", "tabular", "align"]


def configure(
    base: Path,
    data: Path,
    stage: str,
    *,
    options: dict[str, Any] | None = None,
    losses: dict[str, Any] | None = None,
    **changes: Any,
) -> Path:
    run = {
        "stage": stage,
        "data": str(data),
        "out": stage,
        "model": MODEL,
        "options": {"steps": 3, "batch": 16, "evaluate_every": 2, "log_every": 1, **(options or {})},
        "losses": losses or {},
        **changes,
    }
    base.mkdir(parents=True, exist_ok=True)
    path = base / f"{stage}.json"
    path.write_text(json.dumps(run))
    return path


def last_weights(out: Path) -> dict[str, Tensor]:
    """The weights after the last step, whichever was the best."""
    checkpoint = load_file(out / "checkpoint.safetensors")
    return {name: value for name, value in checkpoint.items() if name.startswith("model.")}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
