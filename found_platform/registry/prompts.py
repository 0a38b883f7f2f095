"""Tuned prompts in the registry: each a registered model of its own whose versions hold a query vector. No key of a user is in it.

What belongs here: writing and reading a version of a prompt. What does not: tuning one (`audiences.prompts`).
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from found_platform.registry import artifacts, tracking
from found_platform.settings import Settings

EXPERIMENT = "found-prompts"
FOLDER = "prompts"
REGISTERED = "found-prompt-"
"""A prompt's registered model is this and its name."""


def log_prompt(
    settings: Settings,
    name: str,
    query: np.ndarray,
    about: Mapping[str, Any],
    *,
    run_name: str,
    parameters: Mapping[str, Any],
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
) -> str:
    """Logs and registers a prompt as safetensors and JSON. Returns its version.

    Args:
        query: the query vector (W,), float32.
        about: everything else that `load_prompt` gives back; it must be JSON.
        tags: what `load_prompt` is asked for; the sha256 of the query is added.
    """
    import torch

    from models import weights

    with tempfile.TemporaryDirectory() as scratch, tracking.run(settings, EXPERIMENT, run_name, FOLDER) as (mlflow, run):
        sha256 = weights.save({"query": torch.from_numpy(query)}, dict(about), Path(scratch))
        address = f"{run.info.artifact_uri}/prompt"
        artifacts.keep(settings, Path(scratch), address)
        tracking.log_figures(mlflow, run, parameters, {key: [(0, value)] for key, value in metrics.items()})
        return tracking.register(settings, mlflow, REGISTERED + name, address, run, {**tags, "sha256": sha256})


def load_prompt(settings: Settings, name: str, tags: Mapping[str, str]) -> tuple[str, dict[str, Any], np.ndarray] | None:
    """The newest version of a prompt with these tags: its number, what was logged about it, and its query. None without one."""
    from models import weights

    if not tracking.exists(settings):
        return None
    mlflow = tracking.client(settings)
    versions = mlflow.search_model_versions(f"name = '{REGISTERED}{name}'")
    fitting = [v for v in versions if tags.items() <= dict(v.tags).items()]
    if not fitting:
        return None
    newest = max(fitting, key=lambda v: int(v.version))
    about, state = weights.load(tracking.files(settings, mlflow, newest.name, str(newest.version)))
    return str(newest.version), about, state["query"].numpy().copy()  # the copy outlives the file
