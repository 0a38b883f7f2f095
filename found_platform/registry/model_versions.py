"""The model registry: MLflow in the home. Log a version, load it by alias, store a verdict, promote.

A version is safetensors + JSON config + sha256 with lineage tags; aliases are `candidate`, `champion`, `previous`.
"""

import contextlib
import datetime as dt
import io
import json
import logging
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from found_platform import home
from found_platform.errors import BadInput
from found_platform.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from models.saved import Model

MODEL = "found"
EXPERIMENT = "found"
CANDIDATE, CHAMPION, PREVIOUS = "candidate", "champion", "previous"

GATE = "## The gate"
"""Where a card says what the gate found."""

_POINTED = threading.RLock()
"""Where MLflow points is the process's, not a thread's."""


@dataclass(frozen=True)
class LoadedModel:
    """A registered version, ready to embed."""

    version: str
    model: "Model"
    tags: dict[str, str]


@dataclass(frozen=True)
class Verdict:
    """What the gate found of one version. `figures` are what it decided on."""

    passed: bool
    reason: str
    figures: dict[str, float]


@contextlib.contextmanager
def _mlflow(settings: Settings) -> Iterator["MlflowClient"]:
    """MLflow pointed at the home's database; what was set before is put back."""
    import mlflow

    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    folder = settings.home / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    with _POINTED:
        before = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
        try:
            yield mlflow.MlflowClient()
        finally:
            mlflow.set_tracking_uri(before)


@contextlib.contextmanager
def _run(settings: Settings, name: str) -> Iterator["MlflowClient"]:
    """A run of the home's experiment."""
    import mlflow

    with _mlflow(settings) as client:
        if client.get_experiment_by_name(EXPERIMENT) is None:
            client.create_experiment(EXPERIMENT, artifact_location=(settings.home / "mlflow" / "artifacts").as_uri())
        mlflow.set_experiment(EXPERIMENT)
        with mlflow.start_run(run_name=name):
            yield client


def log_stage(settings: Settings, name: str, parameters: dict[str, Any], curves: dict[str, list[tuple[int, float]]]) -> None:
    """Logs a stage of training: its parameters, and each figure over the steps (step, value)."""
    import mlflow
    from mlflow.entities import Metric

    with _run(settings, name) as client:
        mlflow.log_params(parameters)
        run = mlflow.active_run()
        assert run is not None
        metrics = [Metric(key, value, 0, step) for key, points in curves.items() for step, value in points]
        for start in range(0, len(metrics), METRICS):
            client.log_batch(run.info.run_id, metrics[start : start + METRICS])


METRICS = 500
"""Metrics that MLflow takes at once, and some room."""


def log(
    settings: Settings, model: "Model", *, parameters: dict[str, Any], metrics: dict[str, float], tags: dict[str, str], card: str
) -> str:
    """Logs and registers a model as a new version. Returns the version.

    Where a version of this cutoff has the same weights, it is returned and no other is made: a rerun changes nothing.
    `tags` are the version's lineage: cutoff, feature service, Delta versions, code. `card` is its model card, in Markdown: the
    description of the version, and a file of its run.
    """
    import mlflow
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    import models
    from models import saved

    with tempfile.TemporaryDirectory() as scratch:
        sha256 = saved.save(model, Path(scratch) / "model")
        if (same := _with_weights(settings, tags["cutoff"], sha256)) is not None:
            return same
        with _run(settings, f"{model.config.kind} {tags['cutoff']}") as client:
            mlflow.log_params(parameters)
            mlflow.log_metrics(metrics)
            mlflow.log_text(card, "model_card.md")
            with contextlib.redirect_stderr(io.StringIO()):  # MLflow announces each registration there
                info = mlflow.pyfunc.log_model(
                    name=MODEL,
                    python_model=str(Path(__file__).with_name("pyfunc.py")),
                    artifacts={"model": str(Path(scratch) / "model")},
                    code_paths=[str(Path(models.__file__).parent)],
                    signature=ModelSignature(
                        inputs=Schema([ColSpec("string", "text")]),
                        outputs=Schema([TensorSpec(np.dtype("float32"), (-1, model.config.dim))]),
                    ),
                    pip_requirements=["torch", "transformers", "peft", "safetensors", "numpy"],
                    registered_model_name=MODEL,
                )
            version = str(info.registered_model_version)
            client.update_model_version(MODEL, version, description=card)
            for key, value in {**tags, "kind": model.config.kind, "sha256": sha256}.items():
                client.set_model_version_tag(MODEL, version, key, value)
    return version


def _with_weights(settings: Settings, cutoff: str, sha256: str) -> str | None:
    """The newest version of a cutoff with these weights, or None."""
    with _mlflow(settings) as client:
        versions = client.search_model_versions(f"name = '{MODEL}'")
    same = [int(v.version) for v in versions if v.tags.get("cutoff") == cutoff and v.tags.get("sha256") == sha256]
    return str(max(same)) if same else None


def nominate(settings: Settings, version: str, cutoff: str) -> None:
    """Makes a version the candidate, and the one that serves its cutoff."""
    with _mlflow(settings) as client:
        client.set_registered_model_alias(MODEL, CANDIDATE, version)
        client.set_registered_model_alias(MODEL, _alias(cutoff), version)


def _alias(cutoff: str) -> str:
    return f"cutoff-{cutoff}"


def version_of(settings: Settings, alias: str) -> str | None:
    """The version behind an alias, or None."""
    from mlflow.exceptions import MlflowException

    if not (settings.home / "mlflow" / "mlflow.db").exists():
        return None
    with _mlflow(settings) as client:
        try:
            return str(client.get_model_version_by_alias(MODEL, alias).version)
        except MlflowException:
            return None


def serving(settings: Settings, cutoff: str) -> str | None:
    """The version that serves a cutoff, or None."""
    return version_of(settings, _alias(cutoff))


def of_cutoff(settings: Settings, cutoff: str) -> str:
    """The version that serves a cutoff. Raises BadInput when there is none."""
    version = serving(settings, cutoff)
    if version is None:
        raise BadInput(f"No model version of the cutoff {cutoff} is registered: materialise `found_model` for it.")
    return version


def load(settings: Settings, version: str) -> LoadedModel:
    """A version's weights, checked against their sha256, and its tags."""
    import mlflow

    from models import saved

    with _mlflow(settings) as client:
        tags = dict(client.get_model_version(MODEL, version).tags)
        folder = Path(mlflow.artifacts.download_artifacts(f"models:/{MODEL}/{version}"))
    return LoadedModel(version, saved.load(folder / "artifacts" / "model"), tags)


def card(settings: Settings, version: str) -> str:
    """A version's model card, in Markdown."""
    with _mlflow(settings) as client:
        return str(client.get_model_version(MODEL, version).description or "")


def champion(settings: Settings) -> LoadedModel:
    """The version in service. Raises BadInput when none has been promoted."""
    version = version_of(settings, CHAMPION)
    if version is None:
        raise BadInput(f"No model has been promoted in {settings.home}: run `found demo{home.option(settings.home)}` first.")
    return load(settings, version)


def store_verdict(settings: Settings, version: str, verdict: Verdict) -> None:
    """Ties a gate verdict to a version, as tags and at the end of its card."""
    with _mlflow(settings) as client:
        card = (client.get_model_version(MODEL, version).description or "").split(GATE)[0].rstrip()
        said = f"{'Passed' if verdict.passed else '**Refused**'}: {verdict.reason}."
        client.update_model_version(MODEL, version, description=f"{card}\n\n{GATE}\n\n{said}\n")
        client.set_model_version_tag(MODEL, version, "gate", "passed" if verdict.passed else "failed")
        client.set_model_version_tag(MODEL, version, "gate_reason", verdict.reason)
        client.set_model_version_tag(MODEL, version, "gate_figures", json.dumps(verdict.figures))


@dataclass(frozen=True)
class Version:
    """A registered version as the registry lists it. `created` is UTC."""

    version: str
    created: dt.datetime
    aliases: list[str]
    tags: dict[str, str]


def versions(settings: Settings) -> list[Version]:
    """Every version, newest first."""
    if not (settings.home / "mlflow" / "mlflow.db").exists():
        return []
    with _mlflow(settings) as client:
        found = client.search_model_versions(f"name = '{MODEL}'")
        aliases = dict(client.get_registered_model(MODEL).aliases) if found else {}
    made = [
        Version(
            str(v.version),
            dt.datetime.fromtimestamp(v.creation_timestamp / 1000, dt.UTC),
            sorted(a for a, of in aliases.items() if str(of) == str(v.version)),
            dict(v.tags),
        )
        for v in found
    ]
    return sorted(made, key=lambda v: -int(v.version))


def gate_passed(settings: Settings, version: str) -> bool:
    """Whether the stored verdict of this very version passes."""
    with _mlflow(settings) as client:
        return client.get_model_version(MODEL, version).tags.get("gate") == "passed"


def promote(settings: Settings, version: str) -> None:
    """Makes a version the champion and the old champion `previous`: the one way to do so.

    Raises BadInput where the stored verdict of that very version does not pass.
    """
    check_promotable(settings, version)
    old = version_of(settings, CHAMPION)
    with _mlflow(settings) as client:
        if old is not None and old != version:
            client.set_registered_model_alias(MODEL, PREVIOUS, old)
        client.set_registered_model_alias(MODEL, CHAMPION, version)
        if ROLLED_BACK in client.get_model_version(MODEL, version).tags:
            client.delete_model_version_tag(MODEL, version, ROLLED_BACK)


def check_promotable(settings: Settings, version: str) -> None:
    """Raises BadInput where there is no such version, or its stored verdict does not pass."""
    tags = next((v.tags for v in versions(settings) if v.version == version), None)
    if tags is None:
        raise BadInput(f"There is no model version {version} in {settings.home}: `found model list` shows those there are.")
    if tags.get("gate") != "passed":
        reason = tags.get("gate_reason", "it has not been judged")
        raise BadInput(f"Model version {version} is not promoted: its gate verdict does not pass ({reason}).")


def rollback(settings: Settings) -> tuple[str, str]:
    """Makes `previous` the champion again. Returns the version taken back, and the champion.

    There is no `previous` after it: a second rollback does not go forward. Raises BadInput when there is nothing to go back to.
    """
    bad, good = champion_and_previous(settings)
    with _mlflow(settings) as client:
        client.set_registered_model_alias(MODEL, CHAMPION, good)
        client.delete_registered_model_alias(MODEL, PREVIOUS)
        client.set_model_version_tag(MODEL, bad, ROLLED_BACK, f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ}")
    return bad, good


def champion_and_previous(settings: Settings) -> tuple[str, str]:
    """The version in service and the one before it. Raises BadInput when there is no such pair."""
    now, before = version_of(settings, CHAMPION), version_of(settings, PREVIOUS)
    if now is None:
        raise BadInput(f"No model has been promoted in {settings.home}: run `found demo{home.option(settings.home)}` first.")
    if before is None:
        raise BadInput(
            f"There is no earlier champion to go back to from version {now}: `found model list` shows every version, and "
            "`found promote --version V` makes one the champion."
        )
    return now, before


def hold(settings: Settings) -> None:
    """A person has chosen the champion: none of today's versions takes its place until a person says so (`held`)."""
    newest = max((int(v.version) for v in versions(settings)), default=0)
    with _mlflow(settings) as client:
        client.set_registered_model_tag(MODEL, HELD, str(newest))


HELD, ROLLED_BACK = "held_up_to", "rolled_back"
"""Tags: of the registered model, versions up to this one are promoted by a person alone; of a version, when it was taken back."""


def held(settings: Settings, version: str) -> bool:
    """Whether a person chose another champion when this version was there already: a rerun must not undo that."""
    if version == version_of(settings, CHAMPION):
        return False
    with _mlflow(settings) as client:
        return int(version) <= int(client.get_registered_model(MODEL).tags.get(HELD, "0"))
