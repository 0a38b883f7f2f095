"""What models out of service leave: runs of MLflow without a version, training files of their cutoffs, vectors of their towers, and
copies of their files where those lie on object storage.

A version itself stays, with its files, card, verdict and lineage: a person may promote any that passed, and what is missing for it
is made again then. In service are the champion, the candidate, the version before the champion, and those of the live publication
and the one before it.
"""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from filelock import Timeout

from found_platform import home, lake, registry
from found_platform.housekeeping.garbage import DAY, Garbage, InUse, Kind, free_pages, half_removed, newest, remove_folder, size_of
from found_platform.index import pointer
from found_platform.registry import artifacts, tracking
from found_platform.settings import Settings
from found_platform.training_data import text_vectors


def in_service(settings: Settings) -> set[str]:
    """The versions that serve, or can be made to serve with one command that builds nothing."""
    versions = {registry.version_of(settings, alias) for alias in (registry.CHAMPION, registry.CANDIDATE, registry.PREVIOUS)}
    if pointer.exists(settings):
        current = pointer.read(settings)
        versions |= {p.model_version for p in (current.live, current.previous) if p}
    return {version for version in versions if version is not None}


def _runs(settings: Settings, now: float) -> Iterator[Garbage]:
    """Runs of which no version was registered (stages, what failed or was killed), and models that were logged and never
    registered."""
    if not tracking.exists(settings):
        return
    client = tracking.client(settings)
    before = (now - settings.keep_runs_days * DAY) * 1000
    registered = tracking.registered(client)
    for run in tracking.every_run(client):
        if run.info.run_id in registered.runs or (run.info.end_time or run.info.start_time) >= before:
            continue
        files = artifacts.place(settings, str(run.info.artifact_uri)).parent
        yield Garbage(
            _size(settings, files), lambda run=run, files=files: (_remove(settings, files), tracking.forget_run(client, run))
        )
    for model in tracking.every_model(client):
        if model.artifact_location in registered.addresses or model.last_updated_timestamp >= before:
            continue
        files = artifacts.place(settings, model.artifact_location).parent
        yield Garbage(
            _size(settings, files),
            lambda model=model, files=files: (_remove(settings, files), tracking.forget_model(client, model)),
        )
    yield from half_removed(artifacts.folder(settings))
    yield from half_removed(artifacts.folder(settings) / "models")
    yield from free_pages(settings.home / "mlflow" / "mlflow.db")


def _size(settings: Settings, files: Path) -> int:
    return size_of(files) + artifacts.size_away(settings, files)


def _remove(settings: Settings, files: Path) -> None:
    artifacts.remove_away(settings, files)
    remove_folder(files)


def _copies(settings: Settings, now: float) -> Iterator[Garbage]:
    """Copies of versions out of service whose files lie on object storage: what asks for one fetches it again."""
    if artifacts.store(settings) is None:
        return
    client, before, used = tracking.client(settings), now - settings.keep_versions_days * DAY, in_service(settings)
    for version in registry.versions(settings):
        folder = artifacts.place(settings, client.get_model_version_download_uri(registry.MODEL, version.version))
        if version.version in used or not folder.exists() or newest(folder) >= before:
            continue
        if artifacts.are_away(settings, folder):
            yield Garbage(size_of(folder), lambda folder=folder: remove_folder(folder))


def _training(settings: Settings, now: float) -> Iterator[Garbage]:
    """Folders of cutoffs whose models are out of service. `found demo --cutoff OLD` writes and trains them again."""
    kept = {v.tags.get("cutoff") for v in registry.versions(settings) if v.version in in_service(settings)}
    before = now - settings.keep_models_days * DAY
    for folder in sorted(settings.home.glob("training/[0-9]*")):
        if folder.name not in kept and newest(folder) < before:
            yield Garbage(size_of(folder), lambda folder=folder: _remove_training(settings, folder))
    yield from half_removed(settings.home / "training")


def _remove_training(settings: Settings, folder: Path) -> None:
    try:
        with home.lock(settings.home, f"run-training-{folder.name}", timeout=0):
            remove_folder(folder)
    except Timeout:  # it is trained at this moment
        raise InUse(str(folder)) from None


def _vectors(settings: Settings, now: float) -> Iterator[Garbage]:
    """Text vectors of towers of models out of service. Their rows go now, their files with the versions of the lake."""
    if not lake.exists(settings.lake, text_vectors.TABLE):
        return
    sizes = lake.size_by(settings.lake, text_vectors.TABLE, REVISION)
    towers = [revision for revision in sizes if revision.startswith(TOWER)]
    if not towers:
        return
    before, used = now - settings.keep_models_days * DAY, _towers_in_service(settings)
    changed = _changed(settings)
    for revision in towers:
        if revision not in used and changed[revision] < before:
            yield Garbage(sizes[revision], lambda revision=revision: _remove_vectors(settings, revision))


REVISION, TOWER = "encoder_revision", "tower-"
"""The partition column of the vectors, and how the revision of a tower begins (`models.text_tower`)."""


def _towers_in_service(settings: Settings) -> set[str]:
    towers = set()
    for version in in_service(settings):
        tower = getattr(registry.load(settings, version).model, "event_tower", None)
        if tower is not None:
            towers.add(tower.revision)
    return towers


def _changed(settings: Settings) -> dict[str, float]:
    """When vectors of each revision were written last (POSIX seconds)."""
    changed: dict[str, float] = {}
    for action in pa.table(lake.open_table(settings.lake, text_vectors.TABLE).get_add_actions(flatten=True)).to_pylist():
        at = action["modification_time"]
        seconds = at.replace(tzinfo=at.tzinfo or dt.UTC).timestamp() if isinstance(at, dt.datetime) else at / 1000
        revision = action[f"partition.{REVISION}"]
        changed[revision] = max(changed.get(revision, 0.0), seconds)
    return changed


def _remove_vectors(settings: Settings, revision: str) -> None:
    predicate = f"{REVISION} = {lake.literal(revision)}"
    lake.replace(
        settings.lake, text_vectors.TABLE, text_vectors.SCHEMA.empty_table(), schema=text_vectors.SCHEMA, predicate=predicate
    )


def _live_vectors(settings: Settings) -> int:
    has_vectors = lake.exists(settings.lake, text_vectors.TABLE)
    return lake.size(settings.lake, text_vectors.TABLE) if has_vectors else 0


RUNS = Kind("models", "runs without a version", lambda s: size_of(s.home / "mlflow") + artifacts.size_away(s), _runs)
COPIES = Kind(
    "copies",
    "of models kept elsewhere",
    lambda s: size_of(artifacts.folder(s)) if artifacts.store(s) else 0,
    _copies,
)
TRAINING = Kind("training", "of models out of service", lambda s: size_of(s.home / "training"), _training)
VECTORS = Kind("vectors", "of towers out of service", _live_vectors, _vectors)
