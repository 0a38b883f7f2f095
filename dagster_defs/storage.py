"""Dagster's records of a home in PostgreSQL, as `HOME/dagster/dagster.yaml` names them.

What belongs here: the class that the file names, and the lines themselves. They hold the name of the home's schema and no password:
that stays in `FOUND_DATABASE_URL`, which every process of Dagster needs. Imported where that is set alone: it needs the extra
`postgres`.
"""

from typing import Any, Self

from dagster import StringSource
from dagster._config.config_schema import UserConfigSchema
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage

from found_platform import database


class HomeStorage(DagsterPostgresStorage):
    """Runs, events and ticks in the schema of one home."""

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return {"url": StringSource, "schema": str}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> Self:  # pyright: ignore[reportIncompatibleMethodOverride]
        return cls(database.address(config_value["url"], config_value["schema"]), inst_data=inst_data)
