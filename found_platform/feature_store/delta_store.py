"""Feast's offline store over the lake: pinned Delta versions read through delta-rs, joined in time by DuckDB's ASOF JOIN.

Which row a moment sees, for each view (F: a feature row, t: the spine's moment):

- F belongs to the spine row's key, and `F.event_timestamp <= t`; with a TTL also `t <= F.event_timestamp + TTL` (both ends closed);
  with `filter_by_created_timestamp` also `F.created_timestamp <= t`.
- Of those, the latest by event time, then by creation. Where both are equal, the row written last in the table's file order.

ASOF JOIN takes one inequality. A row can be seen from `visible_from` on: its event time, or the later of its two times where
creation counts. Over a key's rows in the order of `visible_from`, a running maximum of (event time, creation) says which row is the
best by then, so the latest row of that order is all the join has to find; where no row was created after its event time, every row
is its own best. The TTL is applied to the best row afterwards: an earlier one would have expired earlier.

Rows are first found by times and keys alone, as (file, row in the file); features, among them long lists, are fetched last, once,
from the files that hold a row that is wanted. Only files whose statistics overlap the time asked for are opened at all. Results
stream in the order of the spine.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
from feast import FeatureView
from feast.data_source import DataSource
from feast.infra.offline_stores import offline_utils
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalJob, RetrievalMetadata
from feast.infra.registry.base_registry import BaseRegistry
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.repo_config import FeastConfigBaseModel, RepoConfig

from found_platform import lake

BATCH_ROWS = 65_536
STATISTICS = timedelta(milliseconds=1)
"""Delta's statistics hold times to the millisecond."""


Step = Callable[[duckdb.DuckDBPyConnection], None]
"""Leaves a relation of the connection behind for the next ones."""


class DeltaOfflineStoreConfig(FeastConfigBaseModel):
    """Where the tables are.

    `lake` is the folder of the Delta tables; a source's path is the name of one. `versions` pins tables to a version, the newest
    where it says nothing. DuckDB works within `memory` and spills to `temp` beyond it.
    """

    type: str = "found_platform.feature_store.delta_store.DeltaOfflineStore"
    lake: str
    versions: dict[str, int] = {}  # noqa: RUF012 (a pydantic field)
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
        con.execute("SET asof_loop_join_threshold=0")  # the loop join compares every pair of rows
        for step in self._steps:
            step(con)
        return con.execute(self._result).to_arrow_reader(rows)

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
        steps: list[Step] = [_Spine(pa.Table.from_pandas(spine, preserve_index=False)).run]
        columns = [f"spine.{_q(c)}" for c in spine.columns]
        joins = []
        for i, view in enumerate(feature_views):
            assert view.batch_source is not None
            source = _Source.of(view.batch_source, store)
            prefix = view.projection.name_to_use()
            wanted = [ref.split(":")[1] for ref in feature_refs if ref.split(":")[0] == prefix]
            keys: Mapping[str, str] = view.projection.join_key_map or {e.name: e.name for e in view.entity_columns}
            if spine.empty:
                since, until = None, None
            else:
                until = spine[moment].max().to_pydatetime()
                since = spine[moment].min().to_pydatetime() - view.ttl if view.ttl else None
            files = _Files(f"source{i}", source, since, until)
            steps += [files.run, _Resolve(f"found{i}", files, keys, moment, view.ttl, filter_by_created_timestamp).run]
            named = {f: f"{view.projection.name_alias or view.name}__{f}" if full_feature_names else f for f in wanted}
            fetched = ", ".join(f"f.{_q(source.column(f))} AS {_q(name)}" for f, name in named.items())
            joins.append(
                f"LEFT JOIN (SELECT p.__row, {fetched or 'NULL AS nothing'} FROM found{i} p JOIN source{i} f "
                f"ON {_located('p', 'f')}) AS view{i} USING (__row)"
            )
            columns += [f"view{i}.{_q(name)}" for name in named.values()]
        metadata = RetrievalMetadata(
            features=feature_refs,
            keys=[c for c in spine.columns if c != moment],
            min_event_timestamp=None if spine.empty else spine[moment].min().to_pydatetime(),
            max_event_timestamp=None if spine.empty else spine[moment].max().to_pydatetime(),
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
        source = _Source(_table(data_source), store, timestamp_field, created_timestamp_column)
        files = _Files("source", source, _utc(start_date), _utc(end_date))
        columns = [*join_key_columns, *feature_name_columns, timestamp_field, *filter(None, [created_timestamp_column])]
        latest = _Latest("found", files, join_key_columns)
        result = f"SELECT {', '.join(f'f.{_q(c)}' for c in columns)} FROM found p JOIN source f ON {_located('p', 'f')}"
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
        source = _Source(_table(data_source), store, timestamp_field, created_timestamp_column)
        files = _Files("source", source, _utc(start_date), _utc(end_date))
        columns = [*join_key_columns, *feature_name_columns, timestamp_field, *filter(None, [created_timestamp_column])]
        result = f"SELECT {', '.join(map(_q, columns))} FROM source WHERE {files.within}"
        return DeltaRetrievalJob(store, [files.run], result)

    @staticmethod
    def offline_write_batch(*_: Any, **__: Any) -> None:
        raise TypeError("Feature tables are written by the feature assets, not through Feast.")


@dataclass(frozen=True)
class _Source:
    """A lake table as a Feast source: its columns by the names that Feast uses."""

    table: str
    store: DeltaOfflineStoreConfig
    timestamp: str
    created: str | None
    renamed: Mapping[str, str] = field(default_factory=dict)  # Feast's name -> column

    @staticmethod
    def of(source: DataSource, store: DeltaOfflineStoreConfig) -> "_Source":
        renamed = {new: old for old, new in (source.field_mapping or {}).items()}
        return _Source(_table(source), store, source.timestamp_field, source.created_timestamp_column or None, renamed)

    def column(self, name: str) -> str:
        return self.renamed.get(name, name)


def _table(source: Any) -> str:
    """A file source's path names a table of the lake."""
    return source.path


@dataclass(frozen=True)
class _Spine:
    """`spine`: the rows asked for, with their position."""

    rows: pa.Table

    def run(self, con: duckdb.DuckDBPyConnection) -> None:
        # an empty column of objects has no type of its own, and keys are strings
        typed = [f.with_type(pa.string()) if pa.types.is_null(f.type) else f for f in self.rows.schema]
        con.register("given", self.rows.cast(pa.schema(typed)))
        # a table, not a view on Arrow: the planner has to know how many rows there are
        con.execute("CREATE TEMP TABLE spine AS SELECT row_number() OVER () AS __row, * FROM given")
        con.unregister("given")


@dataclass(frozen=True)
class _Files:
    """A view on the files of a table that may hold rows of `[since, until]`, with the virtual columns that locate a row."""

    name: str
    source: _Source
    since: datetime | None
    until: datetime | None

    @property
    def time(self) -> str:
        return f"CAST({_q(self.source.column(self.source.timestamp))} AS TIMESTAMPTZ)"

    @property
    def created(self) -> str:
        return f"CAST({_q(self.source.column(self.source.created))} AS TIMESTAMPTZ)" if self.source.created else "NULL::TIMESTAMPTZ"

    @property
    def within(self) -> str:
        ends = ((">=", self.since), ("<=", self.until))
        return " AND ".join(["true", *(f"{self.time} {sign} TIMESTAMPTZ '{end.isoformat()}'" for sign, end in ends if end)])

    def _overlaps(self, first: datetime | None, last: datetime | None) -> bool:
        """Whether a file with these statistics may hold rows of the time asked for."""
        first, last = _utc(first), _utc(last)
        early = self.since is not None and last is not None and last + STATISTICS < self.since
        return not early and not (self.until is not None and first is not None and first - STATISTICS > self.until)

    def run(self, con: duckdb.DuckDBPyConnection) -> None:
        version = self.source.store.versions.get(self.source.table)
        column = self.source.column(self.source.timestamp)
        live = lake.files(Path(self.source.store.lake), self.source.table, version)
        paths = [f["path"] for f in live if self._overlaps(f.get(f"min.{column}"), f.get(f"max.{column}"))]
        self._view(con, paths)
        con.register(
            "listed", pa.table({"position": pa.array(range(len(paths)), pa.int64()), "path": pa.array(paths, pa.string())})
        )
        con.execute(f"CREATE TEMP TABLE {self.name}_files AS FROM listed")
        con.unregister("listed")

    def keep(self, con: duckdb.DuckDBPyConnection, found: str) -> None:
        """Leaves out the files without any of the rows that a step has found; lists are read from those that are left."""
        wanted = f"SELECT position, path FROM {self.name}_files WHERE position IN (SELECT location >> 32 FROM {found}) ORDER BY 1"
        kept = con.execute(wanted).to_arrow_table()
        con.register("moved", pa.table({"old": kept["position"], "new": pa.array(range(kept.num_rows), pa.int64())}))
        location = f"(new << 32) | (location & {2**32 - 1})"
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE {found} AS SELECT p.* REPLACE ({location} AS location) "
            f"FROM {found} p LEFT JOIN moved ON old = location >> 32"
        )
        con.unregister("moved")
        self._view(con, kept["path"].to_pylist())

    def _view(self, con: duckdb.DuckDBPyConnection, paths: Sequence[str]) -> None:
        folder, table = Path(self.source.store.lake), self.source.table
        if paths:
            query = f"SELECT *, file_index, file_row_number FROM {lake.scan(folder, table, paths)}"
        else:
            version = self.source.store.versions.get(table)
            con.register(f"{self.name}_schema", lake.dataset(folder, table, version).schema.empty_table())
            query = f"SELECT *, 0::UBIGINT AS file_index, 0::BIGINT AS file_row_number FROM {self.name}_schema"
        con.execute(f"CREATE OR REPLACE TEMP VIEW {self.name} AS {query}")


LOCATION = "(CAST(file_index AS BIGINT) << 32 | file_row_number)"
"""Which row of which file, in 64 bits: files in the order of their paths."""
ORDER = f"CAST(epoch_us({{time}}) AS HUGEINT) * {2**60} + coalesce(epoch_us({{created}}), {-(2**59)})"
"""Event time, then creation, as one number; a row without a creation time comes first."""


def _located(found: str, row: str) -> str:
    file, position = f"CAST({found}.location >> 32 AS UBIGINT)", f"({found}.location & {2**32 - 1})"
    return f"{row}.file_index = {file} AND {row}.file_row_number = {position}"


@dataclass(frozen=True)
class _Resolve:
    """`name`: for each spine row the location of the feature row that its moment sees, null where there is none."""

    name: str
    files: _Files
    keys: Mapping[str, str]  # column of the source by Feast's name -> column of the spine
    moment: str
    ttl: timedelta | None
    filter_by_created: bool

    def run(self, con: duckdb.DuckDBPyConnection) -> None:
        f = self.files
        filtered = self.filter_by_created and f.source.created is not None
        keys = {f"key{i}": (f.source.column(source), spine) for i, (source, spine) in enumerate(self.keys.items())}
        selected = ", ".join(f"{_q(source)} AS {k}" for k, (source, _) in keys.items())
        visible = "greatest(time, created)" if filtered else "time"
        known = f"AND {f.created} IS NOT NULL" if filtered else ""
        matched = " AND ".join(f"s.{_q(spine)} = best.{k}" for k, (_, spine) in keys.items())
        by = ", ".join(keys)
        fresh = (
            f"best.time + to_microseconds({self.ttl // timedelta(microseconds=1)}) >= s.{_q(self.moment)}" if self.ttl else "true"
        )
        con.execute(f"""
            CREATE TEMP TABLE {self.name}_rows AS
            SELECT {by}, time, {visible} AS visible_from, rank, max(location) AS location FROM (
                SELECT {selected}, {f.time} AS time, {f.created} AS created, {LOCATION} AS location,
                    {ORDER.format(time=f.time, created=f.created)} AS rank
                FROM {f.name} WHERE {f.within} {known})
            GROUP BY ALL""")
        out_of_order = con.execute(f"SELECT count(*) FROM {self.name}_rows WHERE visible_from > time").fetchone()
        if out_of_order and out_of_order[0]:
            best = f"""
                SELECT DISTINCT ON ({by}, visible_from) {by}, visible_from,
                    max(time) OVER earlier AS time, arg_max(location, rank) OVER earlier AS location
                FROM {self.name}_rows WINDOW earlier AS (PARTITION BY {by} ORDER BY visible_from RANGE UNBOUNDED PRECEDING)"""
        else:  # every row can be seen from its own time on, so the latest by then is the best by then
            best = f"""
                SELECT {by}, time AS visible_from, time, arg_max(location, rank) AS location
                FROM {self.name}_rows GROUP BY {by}, time"""
        con.execute(f"""
            CREATE TEMP TABLE {self.name} AS
            WITH best AS ({best})
            SELECT s.__row, CASE WHEN {fresh} THEN best.location END AS location
            FROM spine s ASOF LEFT JOIN best ON {matched} AND s.{_q(self.moment)} >= best.visible_from""")
        con.execute(f"DROP TABLE {self.name}_rows")
        f.keep(con, self.name)


@dataclass(frozen=True)
class _Latest:
    """`name`: the location of each key's latest row."""

    name: str
    files: _Files
    keys: Sequence[str]

    def run(self, con: duckdb.DuckDBPyConnection) -> None:
        f = self.files
        keys = ", ".join(_q(f.source.column(k)) for k in self.keys)
        con.execute(f"""
            CREATE TEMP TABLE {self.name} AS
            WITH rows AS (
                SELECT {keys}, {LOCATION} AS location, {ORDER.format(time=f.time, created=f.created)} AS rank
                FROM {f.name} WHERE {f.within}),
            one AS (SELECT {keys}, rank, max(location) AS location FROM rows GROUP BY {keys}, rank)
            SELECT arg_max(location, rank) AS location FROM one GROUP BY {keys}""")
        f.keep(con, self.name)


def _q(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _utc(moment: datetime | None) -> datetime | None:
    """Feast hands naive times over in UTC."""
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
