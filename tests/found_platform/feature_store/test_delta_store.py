"""The offline store against Feast's bundled DuckDB store over Parquet, on random tables; order, batches, statistics, refusals."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import at
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from found_platform import lake
from found_platform.contract import TIMESTAMP
from found_platform.errors import BadInput

HOUR = dt.timedelta(hours=1)
START = at("2024-01-02", "00:00:00")
SCHEMA = pa.schema(
    [
        ("event_date", pa.date32()),
        ("user_key", pa.string()),
        ("event_timestamp", TIMESTAMP),
        ("created_timestamp", TIMESTAMP),
        ("number", pa.int64()),
        ("items", pa.list_(pa.int64())),
    ]
)


def moment(hour: int) -> dt.datetime:
    return START + hour * HOUR


def feature_row(draw: tuple) -> dict:
    user, hour, lag, number, items = draw
    time = moment(hour)
    return {
        "event_date": time.date(),
        "user_key": user,
        "event_timestamp": time,
        "created_timestamp": None if lag is None else time + lag * HOUR,
        "number": number,
        "items": items,
    }


numbers = st.none() | st.integers(-5, 5)
rows = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", None]),
        st.integers(0, 60),
        st.none() | st.integers(-3, 30),
        numbers,
        st.none() | st.lists(st.integers(0, 9), max_size=4),
    ),
    max_size=25,
    # full ties are left out: the bundled store's choice among them is arbitrary
    unique_by=lambda r: r[:3],
).map(lambda drawn: [feature_row(r) for r in drawn])
users = st.sampled_from(["a", "b", "c", "nobody", None])
spines = st.lists(st.tuples(users, st.none() | st.integers(-5, 100)), min_size=1, max_size=15)
ttls = st.sampled_from([None, dt.timedelta(0), 5 * HOUR, dt.timedelta(days=1)])


def write(folder: Path, name: str, table: list[dict]) -> None:
    """The same rows as a Delta table of the lake and as the Parquet file of the bundled store."""
    data = pa.Table.from_pylist(table, schema=SCHEMA)
    lake.replace(folder / "lake", name, data, schema=SCHEMA, partition_by=("event_date",))
    PARQUET[name] = folder / f"{name}-{len(list(folder.glob('*.parquet')))}.parquet"
    pq.write_table(data.drop(["event_date"]), PARQUET[name])


PARQUET: dict[str, Path] = {}
"""The newest file of each table, under a new name each time: DuckDB remembers what a file of some name and second looked like."""


def views(folder: Path | None, ttl: dict[str, dt.timedelta | None]) -> list[Any]:
    """The views over the lake, or over the Parquet files of `folder`."""
    from feast import Entity, FeatureView, Field, FileSource, ValueType
    from feast.data_format import DeltaFormat, ParquetFormat
    from feast.types import Array, Int64, String

    user = Entity(name="user", join_keys=["user_key"], value_type=ValueType.STRING)
    feature_views = []
    for name, lives in ttl.items():
        source = FileSource(
            name=f"{name}_source",
            path=str(PARQUET[name]) if folder else name,
            file_format=ParquetFormat() if folder else DeltaFormat(),
            timestamp_field="event_timestamp",
            created_timestamp_column="created_timestamp",
        )
        schema = [Field(name="user_key", dtype=String), Field(name="number", dtype=Int64), Field(name="items", dtype=Array(Int64))]
        feature_views.append(FeatureView(name=name, entities=[user], ttl=lives, schema=schema, source=source))
    return feature_views


class Stores:
    """Both stores, called as Feast calls them."""

    def __init__(self, folder: Path):
        from feast import RepoConfig
        from feast.infra.offline_stores.duckdb import DuckDBOfflineStore
        from feast.infra.registry.registry import Registry

        from found_platform.feature_store.delta_store import DeltaOfflineStore

        self.folder = folder
        common: dict[str, Any] = {"project": "p", "provider": "local", "registry": str(folder / "registry.db")}
        common |= {"online_store": None, "entity_key_serialization_version": 3}
        ours = {"type": f"{DeltaOfflineStore.__module__}.DeltaOfflineStore", "lake": str(folder / "lake")}
        self.ours = (DeltaOfflineStore, RepoConfig(**common, offline_store=ours, repo_path=folder))
        self.bundled = (DuckDBOfflineStore, RepoConfig(**common, offline_store={"type": "duckdb"}, repo_path=folder))
        self.registry = Registry("p", self.bundled[1].registry, folder)

    def job(self, which: Any, found: list[Any], spine: pd.DataFrame, **options: bool) -> Any:
        refs = [f"{v.name}:{f}" for v in found for f in ("number", "items")]
        store, config = which
        return store.get_historical_features(config, found, refs, spine, self.registry, "p", full_feature_names=True, **options)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Stores:
    return Stores(tmp_path_factory.mktemp("stores"))


def frame(spine: Sequence[tuple[str | None, int | None]]) -> pd.DataFrame:
    times = pd.to_datetime([None if hour is None else moment(hour) for _, hour in spine], utc=True).astype("datetime64[us, UTC]")
    return pd.DataFrame({"user_key": [user for user, _ in spine], "event_timestamp": times, "position": range(len(spine))})


def by_position(table: pa.Table) -> dict[int, tuple]:
    names = sorted(set(table.column_names) - {"position"})
    return {row["position"]: tuple(row[n] for n in names) for row in table.to_pylist()}


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=rows, second=rows, spine=spines, first_ttl=ttls, second_ttl=ttls, filtered=st.booleans())
def test_it_equals_the_bundled_store_and_keeps_the_order(
    stores: Stores,
    first: list[dict],
    second: list[dict],
    spine: list[tuple[str | None, int | None]],
    first_ttl: dt.timedelta | None,
    second_ttl: dt.timedelta | None,
    filtered: bool,
) -> None:
    write(stores.folder, "first", first)
    write(stores.folder, "second", second)
    ttl = {"first": first_ttl, "second": second_ttl}
    entities = frame(spine)
    expected = stores.job(
        stores.bundled, views(stores.folder, ttl), entities.copy(), filter_by_created_timestamp=filtered
    ).to_arrow()
    job = stores.job(stores.ours, views(None, ttl), entities, filter_by_created_timestamp=filtered)
    got = job.to_arrow()
    assert got["position"].to_pylist() == list(range(len(spine)))
    assert by_position(got) == by_position(expected)
    in_batches = pa.Table.from_batches(list(job.to_batches(rows=4)), schema=got.schema)
    assert in_batches.equals(got)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=rows, since=st.integers(-5, 60), hours=st.integers(0, 60))
def test_the_latest_and_all_rows_equal_the_bundled_stores(stores: Stores, table: list[dict], since: int, hours: int) -> None:
    write(stores.folder, "latest", table)
    ends = {"start_date": moment(since), "end_date": moment(since + hours)}
    columns = (["user_key"], ["number", "items"], "event_timestamp", "created_timestamp")
    for method in ("pull_latest_from_table_or_query", "pull_all_from_table_or_query"):
        results = []
        for (store, config), folder in ((stores.ours, None), (stores.bundled, stores.folder)):
            (view,) = views(folder, {"latest": None})
            rows = getattr(store, method)(config, view.batch_source, *columns, **ends).to_arrow().to_pylist()
            keyed = [{k: v.replace(tzinfo=dt.UTC) if isinstance(v, dt.datetime) else v for k, v in r.items()} for r in rows]
            results.append(sorted(keyed, key=str))
        assert results[0] == results[1]


def test_both_ends_of_a_ttl_are_closed_and_creation_counts_when_asked(stores: Stores) -> None:
    a_day = dt.timedelta(days=1)
    write(
        stores.folder,
        "edges",
        [feature_row(("a", 0, 0, 1, [1])), feature_row(("a", 10, 30, 2, [2])), feature_row(("a", 20, 1, 3, [3]))],
    )
    entities = frame([("a", -1), ("a", 0), ("a", 10), ("a", 20), ("a", 21), ("a", 44), ("a", 45)])
    numbers = {}
    for filtered in (False, True):
        job = stores.job(stores.ours, views(None, {"edges": a_day}), entities, filter_by_created_timestamp=filtered)
        numbers[filtered] = job.to_arrow()["edges__number"].to_pylist()
    # the row of hour 10 is created at hour 40, that of hour 20 at hour 21
    assert numbers == {False: [None, 1, 2, 3, 3, 3, None], True: [None, 1, 1, 1, 3, 3, None]}


def test_only_files_of_the_time_asked_for_are_opened(stores: Stores) -> None:
    """A file that is gone is not missed while no moment can see into its day."""
    write(stores.folder, "pruned", [feature_row(("a", 24 * day, 0, day, [day])) for day in range(5)])
    for file in (stores.folder / "lake" / "pruned" / "event_date=2024-01-02").glob("*.parquet"):
        file.unlink()
    feature_views = views(None, {"pruned": dt.timedelta(days=1)})
    rows = stores.job(stores.ours, feature_views, frame([("a", 24 * 3 + 5), ("a", 24 * 4)])).to_arrow()
    assert rows["pruned__number"].to_pylist() == [3, 4]
    with pytest.raises(Exception, match="2024-01-02"):
        stores.job(stores.ours, feature_views, frame([("a", 5)])).to_arrow()


def test_one_key_of_several_may_be_renamed_and_columns_too(stores: Stores) -> None:
    from feast import Entity, FeatureView, Field, FileSource, ValueType
    from feast.types import Int64, String

    write(stores.folder, "renamed", [feature_row((user, 0, 0, number, [])) for user, number in (("a", 1), ("b", 2))])
    people = [Entity(name=name, join_keys=[name], value_type=ValueType.STRING) for name in ("person", "user_key")]
    view = FeatureView(
        name="renamed",
        entities=people,
        schema=[Field(name="person", dtype=String), Field(name="user_key", dtype=String), Field(name="count", dtype=Int64)],
        source=FileSource(
            path="renamed", timestamp_field="at", field_mapping={"event_timestamp": "at", "number": "count", "event_date": "person"}
        ),
    ).with_join_key_map({"user_key": "payer"})
    entities = frame([("a", 1), ("b", 1)]).rename(columns={"user_key": "payer"}).assign(person=[START.date()] * 2)
    store, config = stores.ours
    features = store.get_historical_features(config, [view], ["renamed:count"], entities, stores.registry, "p").to_arrow()
    assert features["count"].to_pylist() == [1, 2]


def test_a_retrieval_that_fails_closes_its_connection(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    import duckdb

    opened = []
    connect = lake.connect
    monkeypatch.setattr(lake, "connect", lambda *a, **k: opened.append(connect(*a, **k)) or opened[-1])
    with pytest.raises(BadInput):
        stores.job(stores.ours, views(None, {"nowhere": None}), frame([("a", 1)])).to_batches()
    with pytest.raises(duckdb.ConnectionException, match="closed"):
        opened[0].execute("SELECT 1")


def test_what_it_cannot_do_is_named(stores: Stores) -> None:
    (view,) = views(None, {"nowhere": None})
    with pytest.raises(BadInput, match="'nowhere' does not exist"):
        stores.job(stores.ours, [view], frame([("a", 1)])).to_arrow()
    with pytest.raises(TypeError, match="pandas DataFrame"):
        stores.ours[0].get_historical_features(stores.ours[1], [view], ["nowhere:number"], "SELECT 1", stores.registry, "p")
    with pytest.raises(TypeError, match="written by the feature assets"):
        stores.ours[0].offline_write_batch(stores.ours[1], view, SCHEMA.empty_table(), None)
    write(stores.folder, "there", [feature_row(("a", 0, 0, 1, [1]))])
    with pytest.raises(NotImplementedError, match="to_batches"):
        stores.job(stores.ours, views(None, {"there": None}), frame([("a", 1)])).persist(None)
    nothing = frame([("a", 1)]).iloc[:0]
    assert stores.job(stores.ours, views(None, {"there": None}), nothing).to_arrow().num_rows == 0
