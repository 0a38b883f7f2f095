"""The model registry: MLflow in the home. Log a version, load it by alias, store a verdict, promote.

A version is safetensors + JSON config + sha256 with lineage tags; aliases are `candidate`, `champion`, `previous`.
"""

import datetime as dt
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from found_platform import home
from found_platform.errors import BadInput
from found_platform.registry import artifacts, tracking
from found_platform.settings import Settings

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel

    from found_platform.registry.comparison import Comparison
    from models.saved import Model

MODEL = "found"
EXPERIMENT = "found"
CANDIDATE, CHAMPION, PREVIOUS = "candidate", "champion", "previous"

GATE = "## The gate"
"""Where a card says what the gate found."""


@dataclass(frozen=True)
class LoadedModel:
    """A registered version, ready to embed."""

    version: str
    model: "Model"
    tags: dict[str, str]


@dataclass(frozen=True)
class Verdict:
    """What the gate found of one version. `figures` are what it decided on.

    Where too few held-out users act, it is not `judged`, and has not passed. Nothing was learned in a frozen-text model, so that
    one may serve without a verdict; a trained model never does.
    """

    passed: bool
    reason: str
    figures: dict[str, float]
    judged: bool = True

    @property
    def name(self) -> str:
        """As the tag `gate` of a version keeps it."""
        return ("passed" if self.passed else "failed") if self.judged else NOT_JUDGED


NOT_JUDGED = "not judged"
COMPARISON = "comparison"
"""Tag of a version: how it compares with the champion of the time, as JSON (`registry.comparison`)."""

FROZEN_TEXT = "frozen_text"
"""The kind of a version in which nothing was learned but where the middle is."""


def log_stage(settings: Settings, name: str, parameters: dict[str, Any], curves: dict[str, list[tuple[int, float]]]) -> None:
    """Logs a stage of training: its parameters, and each figure over the steps (step, value)."""
    with tracking.run(settings, EXPERIMENT, name) as (mlflow, run):
        tracking.log_figures(mlflow, run, parameters, curves)


def log(
    settings: Settings, model: "Model", *, parameters: dict[str, Any], metrics: dict[str, float], tags: dict[str, str], card: str
) -> str:
    """Logs and registers a model as a new version. Returns the version.

    Where a version of this cutoff has the same weights, it is returned and no other is made: a rerun changes nothing.
    `tags` are the version's lineage: cutoff, feature service, Delta versions, code. `card` is its model card, in Markdown: the
    description of the version, and a file of its run.
    """
    from mlflow.entities import LoggedModelOutput

    from models import saved

    with tempfile.TemporaryDirectory() as scratch:
        sha256 = saved.save(model, Path(scratch) / "model")
        if (same := _with_weights(settings, tags["cutoff"], sha256)) is not None:
            return same
        kind = model.config.kind
        with tracking.run(settings, EXPERIMENT, f"{kind} {tags['cutoff']}") as (mlflow, run):
            tracking.log_figures(mlflow, run, parameters, {key: [(0, value)] for key, value in metrics.items()})
            (Path(scratch) / "card").mkdir()
            (Path(scratch) / "card" / "model_card.md").write_text(card)
            artifacts.keep(settings, Path(scratch) / "card", str(run.info.artifact_uri))
            logged = mlflow.create_logged_model(run.info.experiment_id, MODEL, run.info.run_id)
            _save_served(logged, model, Path(scratch) / "model", Path(scratch) / "served")
            artifacts.keep(settings, Path(scratch) / "served", logged.artifact_location)
            mlflow.finalize_logged_model(logged.model_id, "READY")
            mlflow.log_outputs(run.info.run_id, [LoggedModelOutput(logged.model_id, step=0)])
            lineage = {**tags, "kind": kind, "sha256": sha256}
            return tracking.register(settings, mlflow, MODEL, logged.artifact_location, run, lineage, description=card)


def _save_served(logged: "LoggedModel", model: "Model", weights: Path, folder: Path) -> None:
    """Writes a model as MLflow runs it (`pyfunc`): its weights, and the code that reads them."""
    import mlflow.pyfunc
    import numpy as np
    from mlflow.models import Model as Description
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    import models

    mlflow.pyfunc.save_model(
        path=str(folder),
        mlflow_model=Description(
            artifact_path=logged.artifact_location,
            model_uuid=logged.model_id,
            model_id=logged.model_id,
            run_id=logged.source_run_id,
        ),
        python_model=str(Path(__file__).with_name("pyfunc.py")),
        artifacts={"model": str(weights)},
        code_paths=[str(Path(models.__file__).parent)],
        signature=ModelSignature(
            inputs=Schema([ColSpec("string", "text")]),
            outputs=Schema([TensorSpec(np.dtype("float32"), (-1, model.config.dim))]),
        ),
        pip_requirements=["torch", "transformers", "peft", "safetensors", "numpy"],
    )
    for cache in folder.rglob("__pycache__"):
        shutil.rmtree(cache)


def _with_weights(settings: Settings, cutoff: str, sha256: str) -> str | None:
    """The newest version of a cutoff with these weights, or None."""
    versions = tracking.client(settings).search_model_versions(f"name = '{MODEL}'")
    same = [int(v.version) for v in versions if v.tags.get("cutoff") == cutoff and v.tags.get("sha256") == sha256]
    return str(max(same)) if same else None


def nominate(settings: Settings, version: str, cutoff: str) -> None:
    """Makes a version the candidate, and the one that serves its cutoff."""
    client = tracking.client(settings)
    client.set_registered_model_alias(MODEL, CANDIDATE, version)
    client.set_registered_model_alias(MODEL, _alias(cutoff), version)


def _alias(cutoff: str) -> str:
    return f"cutoff-{cutoff}"


def version_of(settings: Settings, alias: str) -> str | None:
    """The version behind an alias, or None."""
    from mlflow.exceptions import MlflowException

    if not tracking.exists(settings):
        return None
    client = tracking.client(settings)
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
    from models import saved

    tags = dict(tracking.client(settings).get_model_version(MODEL, version).tags)
    return LoadedModel(version, saved.load(model_folder(settings, version)), tags)


def model_folder(settings: Settings, version: str) -> Path:
    """Where a version's weights and configuration lie: `models.saved.load(folder)`."""
    return served(settings, version) / "artifacts" / "model"


def served(settings: Settings, version: str) -> Path:
    """The folder of a version as MLflow runs it: `mlflow.pyfunc.load_model(folder)`."""
    return tracking.files(settings, tracking.client(settings), MODEL, version)


def check_served(settings: Settings, version: str) -> None:
    """Raises JobFailed where the files of a version are gone. Fetches none."""
    tracking.check_files(settings, tracking.client(settings), MODEL, version)


def card(settings: Settings, version: str) -> str:
    """A version's model card, in Markdown."""
    client = tracking.client(settings)
    return str(client.get_model_version(MODEL, version).description or "")


def champion(settings: Settings) -> LoadedModel:
    """The version in service. Raises BadInput when none has been promoted."""
    version = version_of(settings, CHAMPION)
    if version is None:
        raise BadInput(f"No model has been promoted in {settings.home}: run `found demo{home.option(settings.home)}` first.")
    return load(settings, version)


def store_verdict(settings: Settings, version: str, verdict: Verdict) -> None:
    """Ties a gate verdict to a version, as tags and at the end of its card."""
    client = tracking.client(settings)
    card = (client.get_model_version(MODEL, version).description or "").split(GATE)[0].rstrip()
    word = {"passed": "Passed", "failed": "**Refused**", NOT_JUDGED: "**Not judged**"}[verdict.name]
    sentence = f"{word}: {verdict.reason}."
    client.update_model_version(MODEL, version, description=f"{card}\n\n{GATE}\n\n{sentence}\n")
    client.set_model_version_tag(MODEL, version, "gate", verdict.name)
    client.set_model_version_tag(MODEL, version, "gate_reason", verdict.reason)
    client.set_model_version_tag(MODEL, version, "gate_figures", json.dumps(verdict.figures))


def store_comparison(settings: Settings, version: str, comparison: "Comparison") -> None:
    """Ties what came of a comparison with the champion to a version, as a tag."""
    tracking.client(settings).set_model_version_tag(MODEL, version, COMPARISON, comparison.as_json())


def lost_to(tags: dict[str, str], champion: str) -> bool:
    """Whether a version with these tags was compared with this champion and was worse."""
    comparison = json.loads(tags.get(COMPARISON, "{}"))
    return bool(comparison) and comparison["worse"] and comparison["champion"] == champion


@dataclass(frozen=True)
class Version:
    """A registered version as the registry lists it. `created` is UTC."""

    version: str
    created: dt.datetime
    aliases: list[str]
    tags: dict[str, str]


def versions(settings: Settings) -> list[Version]:
    """Every version, newest first."""
    if not tracking.exists(settings):
        return []
    client = tracking.client(settings)
    registered = client.search_model_versions(f"name = '{MODEL}'")
    aliases = dict(client.get_registered_model(MODEL).aliases) if registered else {}
    listed = [
        Version(
            str(v.version),
            dt.datetime.fromtimestamp(v.creation_timestamp / 1000, dt.UTC),
            sorted(a for a, of in aliases.items() if str(of) == str(v.version)),
            dict(v.tags),
        )
        for v in registered
    ]
    return sorted(listed, key=lambda v: -int(v.version))


def gate_passed(settings: Settings, version: str) -> bool:
    """Whether this very version may serve, by its stored verdict."""
    return may_serve(dict(tracking.client(settings).get_model_version(MODEL, version).tags))


def may_serve(tags: dict[str, str]) -> bool:
    """Whether a version with these tags may serve: the gate passed it, or could judge none and nothing was learned in it."""
    return tags.get("gate") == "passed" or (tags.get("gate") == NOT_JUDGED and tags.get("kind") == FROZEN_TEXT)


def why_frozen_text(settings: Settings, cutoff: str) -> str | None:
    """Why the frozen-text model serves a cutoff and no trained one; None where a trained one serves, or none at all."""
    of_cutoff = [v for v in versions(settings) if v.tags.get("cutoff") == cutoff]
    if not any(_alias(cutoff) in v.aliases and v.tags.get("kind") == FROZEN_TEXT for v in of_cutoff):
        return None
    trained = next((v for v in of_cutoff if v.tags.get("kind") != FROZEN_TEXT and v.tags.get("gate", "passed") != "passed"), None)
    if trained is not None:
        return f"of version {trained.version} the gate says: {trained.tags['gate_reason']}"
    own = next(v for v in of_cutoff if _alias(cutoff) in v.aliases)
    return own.tags.get("gate_reason") if own.tags.get("gate") == NOT_JUDGED else None


def promote(settings: Settings, version: str) -> None:
    """Makes a version the champion and the old champion `previous`: the one way to do so.

    Raises BadInput where that very version may not serve, by its stored verdict.
    """
    check_promotable(settings, version)
    old = version_of(settings, CHAMPION)
    client = tracking.client(settings)
    if old is not None and old != version:
        client.set_registered_model_alias(MODEL, PREVIOUS, old)
    client.set_registered_model_alias(MODEL, CHAMPION, version)
    if ROLLED_BACK in client.get_model_version(MODEL, version).tags:
        client.delete_model_version_tag(MODEL, version, ROLLED_BACK)


def check_promotable(settings: Settings, version: str) -> None:
    """Raises BadInput where there is no such version, or it may not serve."""
    tags = next((v.tags for v in versions(settings) if v.version == version), None)
    if tags is None:
        raise BadInput(f"There is no model version {version} in {settings.home}: `found model list` shows those there are.")
    if not may_serve(tags):
        reason = tags.get("gate_reason", "it has not been judged")
        raise BadInput(f"Model version {version} is not promoted: its gate verdict does not pass ({reason}).")


def rollback(settings: Settings) -> tuple[str, str]:
    """Makes `previous` the champion again. Returns the version taken back, and the champion.

    There is no `previous` after it: a second rollback does not go forward. Raises BadInput when there is nothing to go back to.
    """
    bad, good = champion_and_previous(settings)
    client = tracking.client(settings)
    client.set_registered_model_alias(MODEL, CHAMPION, good)
    client.delete_registered_model_alias(MODEL, PREVIOUS)
    client.set_model_version_tag(MODEL, bad, ROLLED_BACK, f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ}")
    return bad, good


def champion_and_previous(settings: Settings) -> tuple[str, str]:
    """The version in service and the one before it. Raises BadInput when there is no such pair."""
    current, before = version_of(settings, CHAMPION), version_of(settings, PREVIOUS)
    if current is None:
        raise BadInput(f"No model has been promoted in {settings.home}: run `found demo{home.option(settings.home)}` first.")
    if before is None:
        raise BadInput(
            f"There is no earlier champion to go back to from version {current}: `found model list` shows every version, and "
            "`found promote --version V` makes one the champion."
        )
    return current, before


def hold(settings: Settings) -> None:
    """A person has chosen the champion: none of today's versions takes its place until a person says so (`held`)."""
    newest = max((int(v.version) for v in versions(settings)), default=0)
    client = tracking.client(settings)
    client.set_registered_model_tag(MODEL, HELD, str(newest))


HELD, ROLLED_BACK = "held_up_to", "rolled_back"
"""Tags: of the registered model, versions up to this one are promoted by a person alone; of a version, when it was taken back."""


def is_held(settings: Settings, version: str) -> bool:
    """Whether a person chose another champion when this version was there already: a rerun must not undo that."""
    if version == version_of(settings, CHAMPION):
        return False
    client = tracking.client(settings)
    return int(version) <= int(client.get_registered_model(MODEL).tags.get(HELD, "0"))


def candidate(settings: Settings) -> str:
    """The version that is promoted where none is named. Raises BadInput where there is none, and for one of an older cutoff than
    the champion's or that was worse than the champion: that one has to be named."""
    version, champion = version_of(settings, CANDIDATE), version_of(settings, CHAMPION)
    if version is None:
        raise BadInput(f"There is no candidate in {settings.home}: run `found demo{home.option(settings.home)}` first.")
    tags = {v.version: v.tags for v in versions(settings)}
    cutoffs = {number: of["cutoff"] for number, of in tags.items()}
    if champion is not None and lost_to(tags[version], champion):
        raise BadInput(
            f"The candidate, version {version}, was compared with version {champion}, the champion, and is worse: "
            f"`found promote --version {version}` makes it the champion all the same."
        )
    if champion is not None and cutoffs[version] < cutoffs[champion]:
        raise BadInput(
            f"The candidate, version {version}, is of the cutoff {cutoffs[version]}, and version {champion} of the newer cutoff "
            f"{cutoffs[champion]} serves: `found promote --version {version}` takes the older one all the same."
        )
    return version


def reason_to_wait(settings: Settings, version: str) -> str | None:
    """Why a version does not take service by itself, as the end of a sentence; None where it may.

    It waits behind a champion that a person chose after it was made, and behind one of a newer cutoff: a model of an older cutoff
    knows less. One that was not judged waits behind one that passed, and one that was worse than the champion on the same users
    behind that. `found promote --version` overrules all four.
    """
    champion = version_of(settings, CHAMPION)
    if champion is None or champion == version:
        return None
    if is_held(settings, version):
        return f"a person chose version {champion}"
    own, serves = (next(v.tags for v in versions(settings) if v.version == n) for n in (version, champion))
    if own["cutoff"] < serves["cutoff"]:
        return f"version {champion} of the newer cutoff {serves['cutoff']} keeps serving"
    if own.get("gate") == NOT_JUDGED and serves.get("gate") == "passed":
        return f"version {champion}, which passed the gate, keeps serving"
    if lost_to(own, champion):
        return f"version {champion}, than which it is worse on the same held-out users, keeps serving"
    return None
