"""MLflow in a home: the one client of the platform, its runs, and the files of a registered version.

What belongs here: whatever has to know how MLflow stores things. What does not: what is stored (`model_versions`, `prompts`), and
where files lie (`artifacts`).

Addresses of files in MLflow's database are relative (`mlflow-artifacts:/…`, MLflow's own scheme for files that a server keeps), so
a home can be copied, moved and restored. The platform reads and writes the files itself; so does MLflow's own server, started as
`mlflow server --backend-store-uri sqlite:///HOME/mlflow/mlflow.db --artifacts-destination HOME/mlflow/artifacts`. With
`FOUND_DATABASE_URL` the database is a schema of PostgreSQL, with `FOUND_LAKE_URI` the files lie beside the lake. Nothing here sets
MLflow's process-wide tracking address, so one process can serve several homes.
"""

import contextlib
import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from found_platform import database
from found_platform.errors import JobFailed
from found_platform.home import lock
from found_platform.home_format import ARTIFACTS
from found_platform.registry import artifacts
from found_platform.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run

BATCH = 500
"""Metrics and parameters that one call of MLflow takes, and some room."""


def exists(settings: Settings) -> bool:
    """Whether anything was ever logged in a home."""
    if (store := settings.postgres) is None:
        return _file(settings).exists()
    with store.opened(database.MLFLOW) as con:
        return con.exec_driver_sql("SELECT to_regclass('experiments')").scalar() is not None


def address(settings: Settings) -> str:
    """Of the database in which MLflow keeps what a home has logged."""
    store = settings.postgres
    return f"sqlite:///{_file(settings)}" if store is None else store.address(database.MLFLOW)


def client(settings: Settings) -> "MlflowClient":
    """A client of the home's database, which is made at the first call."""
    uri = address(settings)
    if exists(settings):
        return _client(uri)
    with lock(settings.home, "mlflow"):  # two processes that make the same tables would stop each other
        if settings.postgres is None:
            _make_file(_file(settings))
        else:
            make_tables(uri)
    return _client(uri)


def _make_file(file: Path) -> None:
    """Makes a database with its tables, or none: what a process leaves that is killed among them is of no use."""
    partial = file.with_name(f"{uuid.uuid4().hex}.partial")  # another name each time: in a process MLflow makes each but once
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        for left in file.parent.glob("*.partial*"):
            left.unlink()
        make_tables(f"sqlite:///{partial}")
        partial.rename(file)


def make_tables(uri: str) -> None:
    """Makes the tables of MLflow in a database that has none."""
    _client(uri).search_experiments(max_results=1)


def _client(uri: str) -> "MlflowClient":
    from mlflow import MlflowClient

    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return MlflowClient(uri, registry_uri=uri)


def _file(settings: Settings) -> Path:
    return settings.home / "mlflow" / "mlflow.db"


@contextlib.contextmanager
def run(settings: Settings, experiment: str, name: str, folder: str = "") -> Iterator[tuple["MlflowClient", "Run"]]:
    """A run of an experiment, finished or failed at the end. A new experiment keeps its files in `folder` of the artifacts."""
    mlflow = client(settings)
    started = mlflow.create_run(_experiment(settings, mlflow, experiment, folder), run_name=name)
    status = "FAILED"
    try:
        yield mlflow, started
        status = "FINISHED"
    finally:
        mlflow.set_terminated(started.info.run_id, status)


def _experiment(settings: Settings, mlflow: "MlflowClient", name: str, folder: str) -> str:
    with lock(settings.home, "mlflow"):
        experiment = mlflow.get_experiment_by_name(name)
        return experiment.experiment_id if experiment else mlflow.create_experiment(name, artifact_location=ARTIFACTS + folder)


def log_figures(
    mlflow: "MlflowClient",
    run: "Run",
    parameters: Mapping[str, Any],
    curves: Mapping[str, list[tuple[int, float]]],
) -> None:
    """Logs a run's parameters, and its figures over the steps (step, value)."""
    from mlflow.entities import Metric, Param

    moment = int(time.time() * 1000)
    mlflow.log_batch(run.info.run_id, params=[Param(key, str(value)) for key, value in parameters.items()])
    metrics = [Metric(key, value, moment, step) for key, points in curves.items() for step, value in points]
    for start in range(0, len(metrics), BATCH):
        mlflow.log_batch(run.info.run_id, metrics=metrics[start : start + BATCH])


def register(
    settings: Settings, mlflow: "MlflowClient", name: str, address: str, run: "Run", tags: Mapping[str, str], description: str = ""
) -> str:
    """Registers the files at an address as a new version of a registered model. Returns the version."""
    from mlflow.exceptions import MlflowException

    with lock(settings.home, "mlflow"):  # MLflow counts the versions, then adds one
        try:
            mlflow.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        version = mlflow.create_model_version(name, address, run.info.run_id, tags=dict(tags), description=description)
    return str(version.version)


def files(settings: Settings, mlflow: "MlflowClient", name: str, version: str) -> Path:
    """The folder of a registered version, on this machine. Raises JobFailed where it is gone."""
    address = mlflow.get_model_version_download_uri(name, version)
    return artifacts.fetched(settings, address) or _missing(settings, name, version, address)


def check_files(settings: Settings, mlflow: "MlflowClient", name: str, version: str) -> None:
    """Raises JobFailed where the files of a registered version are gone. Fetches none."""
    address = mlflow.get_model_version_download_uri(name, version)
    if not artifacts.are_there(settings, address):
        _missing(settings, name, version, address)


def _missing(settings: Settings, name: str, version: str, address: str) -> NoReturn:
    elsewhere = f" and at {away}" if (away := artifacts.store(settings)) else ""
    raise JobFailed(
        f"The files of version {version} of {name!r} are missing in {artifacts.place(settings, address)}{elsewhere}: copy the home "
        "again with everything below `mlflow/`, or run `found demo --force` in it."
    )


@dataclass(frozen=True)
class Registered:
    """What the versions of every registered model rest on: their runs, and the addresses of their files."""

    runs: set[str]
    addresses: set[str]


def registered(mlflow: "MlflowClient") -> Registered:
    """What may not go while the versions stay."""
    versions = _all(mlflow.search_model_versions)
    addresses = {str(v.source) for v in versions}
    runs = {str(v.run_id) for v in versions} | {
        str(m.source_run_id) for m in every_model(mlflow) if m.artifact_location in addresses
    }
    return Registered(runs, addresses)


def every_run(mlflow: "MlflowClient") -> list["Run"]:
    """Every run of a home, finished or not, also those that were deleted by hand."""
    from mlflow.entities import ViewType

    experiments = [e.experiment_id for e in mlflow.search_experiments(view_type=ViewType.ALL)]
    return _all(lambda **page: mlflow.search_runs(experiments, run_view_type=ViewType.ALL, **page))


def every_model(mlflow: "MlflowClient") -> list["LoggedModel"]:
    """Every model that was logged, registered or not."""
    experiments = [e.experiment_id for e in mlflow.search_experiments()]
    return _all(lambda **page: mlflow.search_logged_models(experiments, **page))


def _all(search: Callable[..., Any]) -> list[Any]:
    """Every page of a search."""
    rows, page = [], search()
    while True:
        rows += page
        if not page.token:
            return rows
        page = search(page_token=page.token)


def forget_run(mlflow: "MlflowClient", run: "Run") -> None:
    """Removes a run from the database for good, as `mlflow gc` does."""
    if run.info.lifecycle_stage == "active":
        mlflow.delete_run(run.info.run_id)
    mlflow._tracking_client.store._hard_delete_run(run.info.run_id)


def forget_model(mlflow: "MlflowClient", model: "LoggedModel") -> None:
    """Removes a model that was logged from the database for good, as `mlflow gc` does."""
    mlflow.delete_logged_model(model.model_id)
    mlflow._tracking_client.store._hard_delete_logged_model(model.model_id)
