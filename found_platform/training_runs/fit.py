"""Makes the model versions of a cutoff: FOUND from its trained stages, and the frozen-text model, which it has to beat."""

import datetime as dt
import json
import subprocess
from pathlib import Path

import numpy as np

from found_platform import lake, registry
from found_platform.contract import FEATURE_SERVICE
from found_platform.registry import model_card
from found_platform.settings import Settings
from found_platform.training.outcome import Stage
from found_platform.training_data import export


def frozen_text(settings: Settings, cutoff: dt.date) -> str:
    """Fits and registers the frozen-text model: only its centre is fitted, on users of the training folds."""
    from found_platform.training.data import TrainingData
    from models.frozen_text import FrozenText, FrozenTextConfig, fit_center

    data = TrainingData(export.folder(settings, cutoff) / "data")
    center = fit_center(data.text_vectors.float(), data.text_counts)
    about = data.about
    model = FrozenText(FrozenTextConfig(about["encoder"], about["encoder_revision"], about["text_dim"]), center)
    return registry.log(
        settings,
        model,
        parameters={"profile": settings.profile, "encoder": about["encoder"], "users": data.users()},
        metrics={"center_norm": float(center.norm()), "texts": float((data.text_counts > 0).sum())},
        tags=(tags := _lineage(settings, cutoff)),
        card=model_card.of_frozen_text(about, tags),
    )


def found_model(settings: Settings, cutoff: dt.date, stages: list[Stage]) -> str:
    """Registers the model that the alignment left, with its card. Returns the version."""
    from models import saved

    align = next(s for s in stages if s.name == "align")
    best = {f"held_out_{k}": v for k, v in align.outcome["best"].items()}
    tags = _lineage(settings, cutoff) | {"alignment": "helped" if align.helped else "did not help"}
    about = json.loads((export.folder(settings, cutoff) / "data" / "data.json").read_text())
    return registry.log(
        settings,
        saved.load(align.folder / "model"),
        parameters={
            "profile": settings.profile,
            "encoder": about["encoder"],
            **{f"{s.name}_steps": s.outcome["step"] for s in stages},
        },
        metrics={**best, "best_step": align.outcome["best_step"]},
        tags=tags,
        card=model_card.of_found(settings, about, stages, tags),
    )


def choose(settings: Settings, cutoff: dt.date, frozen: str, trained: str | None, verdict: registry.Verdict) -> str:
    """Which version serves the cutoff: FOUND where the gate's verdict on it passes, else the frozen-text model; that one too where
    nothing was trained because nobody could judge it ((`trained` is None))."""
    registry.store_verdict(settings, trained or frozen, verdict)
    chosen = trained if trained and verdict.passed else frozen
    registry.nominate(settings, chosen, str(cutoff))
    return chosen


def sound(loaded: registry.LoadedModel) -> tuple[bool, str]:
    """Whether a registered version can be used: finite weights, a centre and projections that are not all zero. (passed, why)"""
    state = loaded.model.state_dict()
    broken = [name for name, tensor in state.items() if not bool(tensor.isfinite().all())]
    if broken:
        return False, f"weights that are no numbers: {', '.join(broken[:5])}"
    empty = [
        name for name in ("center", "user.weight", "sentence.weight") if name in state and not bool(state[name].abs().sum() > 0)
    ]
    count = int(np.sum([t.numel() for t in state.values()]))
    return not empty, f"all zero: {', '.join(empty)}" if empty else f"{count:,} finite numbers"


def _lineage(settings: Settings, cutoff: dt.date) -> dict[str, str]:
    versions = {t: lake.version(settings.lake, t) for t in ("training_set", "user_text_pairs", "text_vectors")}
    return {
        "cutoff": str(cutoff),
        "feature_service": FEATURE_SERVICE,
        **{f"delta.{t}": str(v) for t, v in versions.items()},
        "commit": _commit(),
    }


def _commit() -> str:
    """The commit of the code, where it runs from a checkout."""
    try:
        git = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except OSError:
        return "unknown"
    return git.stdout.strip() or "unknown"
