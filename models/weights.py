"""How a model lies on disk: safetensors, a JSON config, and the weights' sha256 in it. Never a pickle."""

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

WEIGHTS = "model.safetensors"
CONFIG = "config.json"


def save(state: dict[str, Tensor], config: dict[str, Any], folder: Path) -> str:
    """Writes both files into `folder`; returns the sha256 of the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in state.items()}, folder / WEIGHTS)
    sha256 = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    (folder / CONFIG).write_text(json.dumps({**config, "sha256": sha256}, indent=1))
    return sha256


def kind(folder: Path) -> str:
    """The kind of model that lies in a folder: `frozen_text` or `found`."""
    return json.loads((folder / CONFIG).read_text())["kind"]


def load(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The config and the weights. Raises ValueError when the weights are not those the config was written with."""
    config = json.loads((folder / CONFIG).read_text())
    expected = config.pop("sha256")
    if hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest() != expected:
        raise ValueError(f"{folder / WEIGHTS} is damaged: its sha256 is not the one in {CONFIG}.")
    return config, load_file(folder / WEIGHTS)


ADAPTER, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
"""The files of an adapter (LoRA) as peft writes it."""


def refuse_pickled_adapter(name: str, *, local: bool) -> None:
    """Raises ValueError for an adapter, a directory or a hub name, whose weights are not in safetensors.

    Other weights are read by `use_safetensors=True` alone. Adapters need this: peft and transformers take a pickle where they find
    no safetensors, whatever they are told.
    """
    from transformers.utils import cached_file

    def exists(file: str) -> bool:
        options = {"_raise_exceptions_for_missing_entries": False, "local_files_only": local}
        return cached_file(name, file, **options) is not None

    if exists(ADAPTER_CONFIG) and not exists(ADAPTER):
        raise ValueError(f"{name} is an adapter without {ADAPTER}: save it again with safe_serialization=True.")
