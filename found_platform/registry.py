"""The model registry: MLflow in the home. Log a version, load it by alias, store a verdict, promote.

A version is safetensors + JSON config + sha256 with lineage tags; aliases are `candidate`, `champion`, `previous`.
"""

import contextlib
import io
import json
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from found_platform.errors import BadInput
from found_platform.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from models.frozen_text import FrozenText

MODEL = "found"
EXPERIMENT = "found"
CANDIDATE, CHAMPION, PREVIOUS = "candidate", "champion", "previous"


@dataclass(frozen=True)
class LoadedModel:
    """A registered version, ready to embed."""

    version: str
    model: "FrozenText"
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
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    try:
        yield mlflow.MlflowClient()
    finally:
        mlflow.set_tracking_uri(before)


def log(
    settings: Settings, model: "FrozenText", *, parameters: dict[str, Any], metrics: dict[str, float], tags: dict[str, str]
) -> str:
    """Logs and registers a model as a new version with the alias `candidate`. Returns the version.

    Where the newest version of this cutoff has the same weights, it is returned and no other is made: a rerun changes nothing.
    `tags` are the version's lineage: cutoff, feature service, Delta versions, code.
    """
    import mlflow
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    import models
    from models import frozen_text

    with _mlflow(settings) as client, tempfile.TemporaryDirectory() as scratch:
        if client.get_experiment_by_name(EXPERIMENT) is None:
            client.create_experiment(EXPERIMENT, artifact_location=(settings.home / "mlflow" / "artifacts").as_uri())
        mlflow.set_experiment(EXPERIMENT)
        sha256 = frozen_text.save(model, Path(scratch) / "model")
        newest = newest_for(settings, tags["cutoff"])
        if newest is not None and client.get_model_version(MODEL, newest).tags.get("sha256") == sha256:
            client.set_registered_model_alias(MODEL, CANDIDATE, newest)
            return newest
        with mlflow.start_run(run_name=f"{model.config.kind} {tags.get('cutoff', '')}".strip()):
            mlflow.log_params(parameters)
            mlflow.log_metrics(metrics)
            with contextlib.redirect_stderr(io.StringIO()):  # MLflow announces each registration there
                info = mlflow.pyfunc.log_model(
                    name=MODEL,
                    python_model=str(Path(__file__).with_name("registry_pyfunc.py")),
                    artifacts={"model": str(Path(scratch) / "model")},
                    code_paths=[str(Path(models.__file__).parent)],
                    signature=ModelSignature(
                        inputs=Schema([ColSpec("string", "text")]),
                        outputs=Schema([TensorSpec(np.dtype("float32"), (-1, model.config.dim))]),
                    ),
                    pip_requirements=["torch", "transformers", "safetensors", "numpy"],
                    registered_model_name=MODEL,
                )
        version = str(info.registered_model_version)
        # the cutoff last: only with it is a version found, and then it has the rest
        for key, value in sorted({**tags, "sha256": sha256, "kind": model.config.kind}.items(), key=lambda tag: tag[0] == "cutoff"):
            client.set_model_version_tag(MODEL, version, key, value)
        client.set_registered_model_alias(MODEL, CANDIDATE, version)
    return version


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


def newest_for(settings: Settings, cutoff: str) -> str | None:
    """The newest version trained for a cutoff, or None."""
    if not (settings.home / "mlflow" / "mlflow.db").exists():
        return None
    with _mlflow(settings) as client:
        versions = client.search_model_versions(f"name = '{MODEL}'")
    return str(max(mine)) if (mine := [int(v.version) for v in versions if v.tags.get("cutoff") == cutoff]) else None


def of_cutoff(settings: Settings, cutoff: str) -> str:
    """The newest version trained for a cutoff. Raises BadInput when there is none."""
    version = newest_for(settings, cutoff)
    if version is None:
        raise BadInput(f"No model version of the cutoff {cutoff} is registered: materialise `found_model` for it.")
    return version


def load(settings: Settings, version: str) -> LoadedModel:
    """A version's weights, checked against their sha256, and its tags."""
    import mlflow

    from models import frozen_text

    with _mlflow(settings) as client:
        tags = dict(client.get_model_version(MODEL, version).tags)
        folder = Path(mlflow.artifacts.download_artifacts(f"models:/{MODEL}/{version}"))
    return LoadedModel(version, frozen_text.load(folder / "artifacts" / "model"), tags)


def champion(settings: Settings) -> LoadedModel:
    """The version in service. Raises BadInput when none has been promoted."""
    version = version_of(settings, CHAMPION)
    if version is None:
        raise BadInput(f"No model has been promoted in {settings.home}: run `found demo --home {settings.home}` first.")
    return load(settings, version)


def store_verdict(settings: Settings, version: str, verdict: Verdict) -> None:
    """Ties a gate verdict to a version, as tags."""
    with _mlflow(settings) as client:
        client.set_model_version_tag(MODEL, version, "gate", "passed" if verdict.passed else "failed")
        client.set_model_version_tag(MODEL, version, "gate_reason", verdict.reason)
        client.set_model_version_tag(MODEL, version, "gate_figures", json.dumps(verdict.figures))


def gate_passed(settings: Settings, version: str) -> bool:
    """Whether the stored verdict of this very version passes."""
    with _mlflow(settings) as client:
        return client.get_model_version(MODEL, version).tags.get("gate") == "passed"


def promote(settings: Settings, version: str) -> None:
    """Makes a version the champion and the old champion `previous`: the one way to do so.

    Raises BadInput where the stored verdict of that very version does not pass.
    """
    with _mlflow(settings) as client:
        tags = client.get_model_version(MODEL, version).tags
    if tags.get("gate") != "passed":
        reason = tags.get("gate_reason", "it has not been judged")
        raise BadInput(f"Model version {version} is not promoted: its gate verdict does not pass ({reason}).")
    old = version_of(settings, CHAMPION)
    with _mlflow(settings) as client:
        if old is not None and old != version:
            client.set_registered_model_alias(MODEL, PREVIOUS, old)
        client.set_registered_model_alias(MODEL, CHAMPION, version)
