"""Fits the frozen-text model of a cutoff and registers it."""

import datetime as dt
import subprocess
from pathlib import Path

import numpy as np
import pyarrow.dataset as pad

from found_platform import lake, registry
from found_platform.contract import FEATURE_SERVICE, HELD_OUT_FOLD
from found_platform.embedding import text_vectors
from found_platform.embedding.users import own_texts
from found_platform.errors import BadInput
from found_platform.settings import Settings


def fit(settings: Settings, cutoff: dt.date) -> tuple[str, dict[str, str]]:
    """Fits the centre on the newest rows of the training set, registers the model, and returns its version and tags.

    Users of the held-out fold stay out.
    """
    import torch

    from models.frozen_text import FrozenText, FrozenTextConfig, fit_center

    versions = {t: lake.version(settings.lake, t) for t in ("training_set", "text_vectors")}
    rows = lake.read(settings.lake, "training_set", (pad.field("cutoff") == cutoff) & (pad.field("fold") != HELD_OUT_FOLD))
    if not rows.num_rows:
        raise BadInput(f"All users known before {cutoff} are in the held-out fold: a model needs others too, bring more users.")
    newest = max(rows["event_timestamp"].to_pylist())
    rows = rows.filter(pad.field("event_timestamp") == newest)
    ids, counts = own_texts(rows)
    encoder = text_vectors.encoder(settings.text_encoder)
    text_ids, matrix = text_vectors.load(settings, encoder.revision)
    pairs = np.unique(np.stack([np.repeat(np.arange(len(counts)), counts), np.searchsorted(text_ids, ids)], 1), axis=0)
    frequency = np.bincount(pairs[:, 1], minlength=len(text_ids))
    center = fit_center(torch.from_numpy(matrix.astype(np.float32)), torch.from_numpy(frequency))
    model = FrozenText(FrozenTextConfig(settings.text_encoder, encoder.revision, encoder.dim), center)
    tags = {
        "cutoff": str(cutoff),
        "feature_service": FEATURE_SERVICE,
        **{f"delta.{t}": str(v) for t, v in versions.items()},
        "commit": _commit(),
    }
    parameters = {
        "profile": settings.profile,
        "encoder": settings.text_encoder,
        "encoder_revision": encoder.revision,
        "users": rows.num_rows,
    }
    metrics = {"center_norm": float(center.norm()), "texts": float((frequency > 0).sum())}
    version = registry.log(settings, model, parameters=parameters, metrics=metrics, tags=tags)
    return version, tags


def sound(loaded: registry.LoadedModel) -> tuple[bool, str]:
    """Whether a registered version can be used: finite weights of the right size that are not all zero. (passed, why)"""
    center = loaded.model.center
    fine = bool(center.isfinite().all()) and center.shape == (loaded.model.config.dim,) and bool(center.abs().sum() > 0)
    return fine, f"centre of {center.numel()} numbers, norm {float(center.norm()):.3f}"


def _commit() -> str:
    """The commit of the code, where it runs from a checkout."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"
