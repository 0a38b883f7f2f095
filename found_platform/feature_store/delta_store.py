"""Feast's offline store over the lake: pinned Delta versions read through delta-rs, joined in time by DuckDB's ASOF JOIN.

What belongs here: what Feast asks of an offline store. What does not: how the rows of a moment are found (`point_in_time`).
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from feast import FeatureView
from feast.data_source import DataSource
from feast.infra.offline_stores import offline_utils
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalJob, RetrievalMetadata
from feast.infra.registry.base_registry import BaseRegistry
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.repo_config import FeastConfigBaseModel, RepoConfig

from found_platform import lake, lake_place
from found_platform.feature_store.point_in_time import Files, Latest, Resolve, Source, Spine, Step, located, utc
from found_platform.lake import quote

BATCH_ROWS = 8_192
"""Rows handed over at once: with lists of full length some 60 MB."""


class DeltaOfflineStoreConfig(FeastConfigBaseModel):
    """Where the tables are.

    `lake` is the folder of the Delta tables, or its address on object storage; a source's path is the name of one. `versions` pins
    tables to a version, the newest where it says nothing. `sparse` names those of which some rows are made when they are read
    (`silence`). With `known_only`, the latest rows of a span are of those created by its
    end, as history has them where it is asked with `filter_by_created_timestamp`. DuckDB works within `memory` and spills to `temp`
    beyond it.
    """

    type: str = "found_platform.feature_store.delta_store.DeltaOfflineStore"
    lake: str
    versions: dict[str, int] = {}  # noqa: RUF012 (a pydantic field)
    sparse: list[str] = []  # noqa: RUF012
    known_only: bool = False
    memory: str = "4GB"
    temp: str | None = None


class DeltaRetrievalJob(RetrievalJob):
    """A retrieval that runs when its result is asked for: as a whole, or in batches with bounded memory."""

    def __init__(
        self,
        store: DeltaOfflineStoreConfig,
        steps: Sequence[Step],
        result: str,
        metadata: RetrievalMetadata | None = None,
        on_demand: Sequence[OnDemandFeatureView] = (),
        full_feature_names: bool = False,
    ):
        super().__init__()
        self._store, self._steps, self._result = store, steps, result
        self._metadata, self._on_demand, self._full = metadata, list(on_demand), full_feature_names

    def to_batches(self, rows: int = BATCH_ROWS) -> pa.RecordBatchReader:
        """The result, at most `rows` rows at a time, in the spine's order. On-demand views are not applied.

        The tables are opened by this call, so that a Delta writer, which must not open another, can read from what it returns.
        """
        con = lake.connect(self._store.memory, Path(self._store.temp) if self._store.temp else None)
        try:
            con.execute("SET asof_loop_join_threshold=0")  # the loop join compares every pair of rows
            for step in self._steps:
                step(con)
            return con.execute(self._result).to_arrow_reader(rows)
        except BaseException:
            con.close()  # and with it goes what was spilled, however long somebody looks at the error
            raise

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return self.to_batches().read_all()

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        return self._to_arrow_internal().to_pandas()

    @property
    def full_feature_names(self) -> bool:
        return self._full

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        return self._on_demand

    @property
    def metadata(self) -> RetrievalMetadata | None:
        return self._metadata

    def persist(self, storage: Any, allow_overwrite: bool = False, timeout: int | None = None) -> None:
        # Feast's own word for a job that cannot persist; its saved datasets have no place in the lake
        raise NotImplementedError("Write what `to_batches` gives with `found_platform.lake` instead of persisting through Feast.")


class DeltaOfflineStore(OfflineStore):
    """History and materialisation over Delta. Writing is refused: feature tables are written by the feature assets."""

    supports_filter_by_created_timestamp = True

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
    ) -> RetrievalJob:
        """The features of each spine row at its moment, one output row a spine row, in the spine's order.

        `entity_df` has the join keys and one column of moments (naive ones are UTC); its columns come first in the result.
        """
        if not isinstance(entity_df, pd.DataFrame):
            raise TypeError("The spine (entity_df) must be a pandas DataFrame of join keys and moments.")
        store: Any = config.offline_store
        moment = offline_utils.infer_event_timestamp_from_entity_df(dict(entity_df.dtypes))  # pyright: ignore[reportArgumentType]
        spine = entity_df.assign(**{moment: pd.to_datetime(entity_df[moment], utc=True).astype("datetime64[us, UTC]")})
        moments: Any = spine[moment].dropna()
        steps: list[Step] = [Spine(pa.Table.from_pandas(spine, preserve_index=False)).run]
        columns = [f"spine.{quote(c)}" for c in spine.columns]
        joins = []
        for i, view in enumerate(feature_views):
            assert view.batch_source is not None
            batch = view.batch_source
            source = _source(batch, store, batch.timestamp_field, batch.created_timestamp_column, batch.field_mapping)
            prefix = view.projection.name_to_use()
            features = [ref.split(":")[1] for ref in feature_refs if ref.split(":")[0] == prefix]
            # a projection may rename some of the keys
            keys = {e.name: e.name for e in view.entity_columns} | (view.projection.join_key_map or {})
            since, until = _visible(moments, view.ttl)
            files = Files(f"source{i}", source, source.since(since), until)
            steps += [files.run, Resolve(f"found{i}", files, keys, moment, view.ttl, filter_by_created_timestamp).run]
            named = {f: f"{view.projection.name_alias or view.name}__{f}" if full_feature_names else f for f in features}
            fetched = ", ".join(f"{source.value(f, 'p', 'f')} AS {quote(name)}" for f, name in named.items())
            joins.append(
                f"LEFT JOIN (SELECT p.__row, {fetched or 'NULL AS nothing'} FROM found{i} p JOIN source{i} f "
                f"ON {located('p', 'f')}) AS view{i} USING (__row)"
            )
            columns += [f"view{i}.{quote(name)}" for name in named.values()]
        metadata = RetrievalMetadata(
            features=feature_refs,
            keys=[c for c in spine.columns if c != moment],
            min_event_timestamp=None if moments.empty else moments.min().to_pydatetime(),
            max_event_timestamp=None if moments.empty else moments.max().to_pydatetime(),
        )
        on_demand = OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry)
        result = f"SELECT {', '.join(columns)} FROM spine {' '.join(joins)} ORDER BY spine.__row"
        return DeltaRetrievalJob(store, steps, result, metadata, on_demand, full_feature_names)

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
        """The latest row of each key with an event time in `[start_date, end_date]`: found by times, fetched last."""
        store: Any = config.offline_store
        source = _source(data_source, store, timestamp_field, created_timestamp_column)
        since = utc(start_date)
        files = Files("source", source, source.since(since), utc(end_date))
        columns = [*join_key_columns, *feature_name_columns, timestamp_field, *filter(None, [created_timestamp_column])]
        latest = Latest("found", files, join_key_columns, since, utc(end_date) if store.known_only else None)
        fetched = ", ".join(f"{source.value(c, 'p', 'f')} AS {quote(c)}" for c in columns)
        result = f"SELECT {fetched} FROM found p JOIN source f ON {located('p', 'f')}"
        return DeltaRetrievalJob(store, [files.run, latest.run], result)

    @staticmethod
    def pull_all_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """All rows with an event time in `[start_date, end_date]`; an end that is None is open."""
        store: Any = config.offline_store
        source = _source(data_source, store, timestamp_field, created_timestamp_column)
        files = Files("source", source, utc(start_date), utc(end_date))
        columns = [*join_key_columns, *feature_name_columns, timestamp_field, *filter(None, [created_timestamp_column])]
        result = f"SELECT {', '.join(map(quote, columns))} FROM source WHERE {files.within}"
        return DeltaRetrievalJob(store, [files.run], result)

    @staticmethod
    def offline_write_batch(*_: Any, **__: Any) -> None:
        raise TypeError("Feature tables are written by the feature assets, not through Feast.")


def _visible(moments: Any, ttl: timedelta | None) -> tuple[datetime | None, datetime]:
    """Between which times the rows lie that can be seen from any of these moments; an end that is None is open."""
    if moments.empty:
        return None, datetime.min.replace(tzinfo=UTC)
    return (moments.min().to_pydatetime() - ttl if ttl else None), moments.max().to_pydatetime()


def _source(
    source: Any, store: DeltaOfflineStoreConfig, timestamp: str, created: str | None, renamed: Mapping[str, str] | None = None
) -> Source:
    """A file source's path names a table of the lake. `renamed`: column -> the name that Feast uses."""
    columns = {new: old for old, new in (renamed or {}).items()}
    place, version = lake_place.parse(store.lake), store.versions.get(source.path)
    return Source(place, source.path, version, timestamp, created or None, columns, source.path in store.sparse)
