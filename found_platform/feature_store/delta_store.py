"""A Feast offline store that reads the lake's Delta tables through delta-rs.

Feast's bundled DuckDB store reads Delta through a DuckDB extension that has to be downloaded. This one registers the table as an
Arrow dataset and leaves the point-in-time join to Feast. A source's path is the name of a lake table.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import ibis
import pandas as pd
from feast import FeatureView
from feast.data_source import DataSource
from feast.infra.offline_stores.duckdb import DuckDBOfflineStore, DuckDBOfflineStoreConfig
from feast.infra.offline_stores.ibis import get_historical_features_ibis, pull_latest_from_table_or_query_ibis
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import RepoConfig
from ibis.expr.types import Table

from found_platform import lake


class DeltaOfflineStoreConfig(DuckDBOfflineStoreConfig):
    """`lake` is the folder of the Delta tables; `versions` pins tables to a version, the newest where it says nothing."""

    type: str = "found_platform.feature_store.delta_store.DeltaOfflineStore"  # pyright: ignore[reportIncompatibleVariableOverride]
    lake: str
    versions: dict[str, int] = {}  # noqa: RUF012 (a pydantic field)


def _reader(config: RepoConfig) -> Callable[[DataSource, str], Table]:
    """Reads sources over one connection of its own, so that the tables of a retrieval can be joined."""
    store: Any = config.offline_store
    con = lake.connect()
    backend = ibis.duckdb.from_connection(con)

    def read(source: DataSource, _repo_path: str) -> Table:
        name = source.path  # pyright: ignore[reportAttributeAccessIssue]
        registered = ibis.util.gen_name(name)
        con.register(registered, lake.dataset(Path(store.lake), name, store.versions.get(name)))
        return backend.table(registered)

    return read


def _refuse(*_: Any) -> None:
    raise TypeError("Feature tables are written by the feature assets, not through Feast.")


class DeltaOfflineStore(DuckDBOfflineStore):
    """History and materialisation over Delta. TTL, `created_timestamp` and joins behave as Feast's DuckDB store does."""

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
    ) -> RetrievalJob:
        return get_historical_features_ibis(
            config=config,
            feature_views=feature_views,
            feature_refs=feature_refs,
            entity_df=entity_df,
            registry=registry,
            project=project,
            full_feature_names=full_feature_names,
            data_source_reader=_reader(config),
            data_source_writer=_refuse,
            filter_by_created_timestamp=filter_by_created_timestamp,
        )

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> RetrievalJob:
        return pull_latest_from_table_or_query_ibis(
            config=config,
            data_source=data_source,
            join_key_columns=join_key_columns,
            feature_name_columns=feature_name_columns,
            timestamp_field=timestamp_field,
            created_timestamp_column=created_timestamp_column,
            start_date=start_date,
            end_date=end_date,
            data_source_reader=_reader(config),
            data_source_writer=_refuse,
        )
