"""Where the records and the lake of a home lie: moving them, and where MLflow's own server reads them."""

from typing import TYPE_CHECKING

from found_platform.app.context import Context
from found_platform.app.use_case import Effect, use_case
from found_platform.settings import Settings

if TYPE_CHECKING:
    from found_platform.housekeeping.moving import Moved
    from found_platform.housekeeping.moving_lake import MovedLake


@use_case(Effect.CHANGES, "move database")
def move(context: Context) -> "Moved":
    """Moves the records of a home from its files to `FOUND_DATABASE_URL`; once, however often it is asked."""
    from dagster_defs import moving as dagster_records
    from found_platform import database
    from found_platform.housekeeping import moving
    from found_platform.privacy import audit

    settings = Settings.load(context.existing, moving=True)
    moved = moving.move(settings, {database.DAGSTER: dagster_records.copy, **moving.COPIES})
    audit.record(settings, "move database", question={"rows": sum(sum(t.values()) for t in moved.rows.values())})
    return moved


@use_case(Effect.CHANGES, "move lake")
def move_lake(context: Context) -> "MovedLake":
    """Moves the lake of a home and the files of MLflow from its folder to `FOUND_LAKE_URI`; once, however often it is asked."""
    from found_platform.housekeeping import moving_lake
    from found_platform.privacy import audit

    settings = Settings.load(context.existing, moving=True)
    moved = moving_lake.move(settings)
    audit.record(settings, "move lake", question={"files": moved.files, "bytes": moved.bytes, "place": moved.place})
    return moved


def mlflow_files(context: Context) -> str:
    """Where the files of MLflow lie, as its own server is told."""
    from found_platform.registry import artifacts

    return artifacts.destination(context.settings)


def mlflow_store(context: Context) -> str:
    """The address of the database in which MLflow keeps what the home has logged, with its password."""
    from found_platform.registry import tracking

    return tracking.address(context.settings)
