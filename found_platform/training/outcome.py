"""A finished stage of training, as its folder holds it: what the process wrote, its curves, the hash of its weights."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from found_platform.training.progress import read_progress


@dataclass(frozen=True)
class Stage:
    """A finished stage. `outcome` is what the process wrote; `curves` are (step, value) by figure."""

    name: str
    folder: Path
    outcome: dict[str, Any]
    curves: dict[str, list[tuple[int, float]]]
    sha256: str

    @property
    def helped(self) -> bool:
        """Whether any step was better on held-out users than the start."""
        return bool(self.outcome["helped"])


def read(folder: Path) -> Stage | None:
    """The stage that was trained in a folder of its name, or None where it has not finished."""
    if not (folder / "outcome.json").exists():
        return None
    weights = folder / ("model/model.safetensors" if folder.name == "align" else "best.safetensors")
    return Stage(folder.name, folder, json.loads((folder / "outcome.json").read_text()), _curves(folder), sha256_of(weights))


def _curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    curves: dict[str, list[tuple[int, float]]] = {}
    for line in read_progress(folder / "progress.jsonl"):
        figures = {f"held_out_{k}": v for k, v in line.get("held_out", {}).items()}
        if "loss" in line:
            parts = {f"loss_{k}": v for k, v in line["parts"].items()}
            figures = {"loss": line["loss"], **parts, "rows_per_second": line["rows_per_second"]}
        for key, value in figures.items():
            curves.setdefault(key, []).append((line["step"], value))
    return curves


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
