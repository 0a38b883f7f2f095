"""What work costs, counted: queries, commits, files, rows decoded and texts encoded, which are the same on every machine."""

import contextlib
import datetime as dt

import pyarrow.parquet as pq
import pytest
from conftest import at, lake_of, write_source

from found_platform import daily, lake
from found_platform.engine import interface
from found_platform.engine.duck import DuckDB
from found_platform.features import write
from found_platform.features.inputs import Inputs
from found_platform.settings import Settings
from found_platform.training_data import text_vectors

DAYS = 60
FIRST = dt.date(2024, 1, 1)
END = FIRST + dt.timedelta(days=DAYS)
TABLES = ("raw_events", "user_days", *write.TABLES)


@pytest.fixture(scope="module")
def sparse(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Sixty days of purchases, none of which anybody searched for. Tests replace days by the same ones."""
    folder = tmp_path_factory.mktemp("sparse")
    events = [
        {"user_id": f"u{i % 5}", "event_time": at(str(FIRST + dt.timedelta(days=i))), "text": f"text {i % 7}"} for i in range(DAYS)
    ]
    return lake_of(folder / "home", write_source(folder, events))


@pytest.fixture
def queries(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Each query of a feature table: its name and for how many days it is."""
    statements: list[tuple[str, int]] = []
    query = Inputs.query

    def counted(self: Inputs, days: list[dt.date]) -> object:
        statements.append((self.table, len(days)))
        return query(self, days)

    monkeypatch.setattr(Inputs, "query", counted)
    return statements


def test_sixty_days_are_one_file_and_one_commit_a_table(sparse: Settings) -> None:
    files = {table: len(lake.files(sparse.lake, table)) for table in TABLES}
    assert files == {**dict.fromkeys(TABLES, 1), "search_text": 0}
    assert {table: lake.version(sparse.lake, table) for table in TABLES} == {**dict.fromkeys(TABLES, 1), "search_text": 0}


def test_days_without_rows_run_no_query_and_write_no_file(sparse: Settings, queries: list) -> None:
    before = lake.version(sparse.lake, "search_text")
    written = write.feature(sparse, "search_text", FIRST, END)
    assert (written.rows, len(written.partitions), queries) == (0, DAYS, [])
    assert lake.version(sparse.lake, "search_text") == before


def test_a_range_is_one_query_and_one_commit(sparse: Settings, queries: list) -> None:
    for table in write.TABLES[:2]:
        before = lake.version(sparse.lake, table)
        write.feature(sparse, table, FIRST, END)
        assert lake.version(sparse.lake, table) == before + 1
    assert queries == [("behavior_text", DAYS), ("behavior_sequence", DAYS)]


def test_a_day_costs_the_same_whatever_came_before_it(sparse: Settings, queries: list) -> None:
    for table in ("behavior_text", "behavior_sequence", "user_tabular"):
        commits = []
        for day in (FIRST + dt.timedelta(days=5), END - dt.timedelta(days=1)):
            before = lake.version(sparse.lake, table)
            write.feature(sparse, table, day, day + dt.timedelta(days=1))
            commits.append(lake.version(sparse.lake, table) - before)
        assert commits == [1, 1]
        assert queries[-2:] == [(table, 1), (table, 1)]


def test_rows_that_no_event_asks_for_any_more_go_without_a_query(sparse: Settings, queries: list) -> None:
    day = FIRST + dt.timedelta(days=30)
    schema = write.schema(sparse, "search_text")
    stale = lake.read(sparse.lake, "behavior_sequence", lake.days_where(day, day + dt.timedelta(days=1)))
    rows = stale.select(["event_date", "user_key", "event_timestamp", "created_timestamp", "text_ids", "times"])
    daily.replace_days(
        sparse.lake, "search_text", rows.rename_columns(schema.names).cast(schema), day, day + dt.timedelta(days=1), schema=schema
    )
    assert write.feature(sparse, "search_text", day, day + dt.timedelta(days=1)).rows == 0
    assert lake.read(sparse.lake, "search_text").num_rows == 0
    assert queries == []


def test_a_query_is_compiled_once_for_all_days_and_homes(sparse: Settings) -> None:
    write.feature(sparse, "behavior_sequence", FIRST, END)
    before = interface._compiled.cache_info()
    for i in (3, 9, 27):
        day = FIRST + dt.timedelta(days=i)
        write.feature(sparse, "behavior_sequence", day, day + dt.timedelta(days=1))
    after = interface._compiled.cache_info()
    assert (after.misses, after.hits) == (before.misses, before.hits + 3)


LONG, LOOKBACK, A_DAY, GROUP = 240, 30, 20, 500


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Two hundred and forty days of twenty events, in row groups of five hundred."""
    folder = tmp_path_factory.mktemp("long")
    events = [
        {"user_id": f"u{i % 7}", "event_time": at(str(FIRST + dt.timedelta(days=i // A_DAY))), "text": f"text {i % 11}"}
        for i in range(LONG * A_DAY)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lake, "SHORT_ROWS", GROUP)
        return lake_of(folder / "home", write_source(folder, events), lookback_days=LOOKBACK)


def decoded(settings: Settings, table: str, first: dt.date, last: dt.date) -> int:
    """Rows of the row groups that a filter on these days, both included, cannot leave out: what a reader has to decode."""
    rows = 0
    for file in lake.files(settings.lake, table):
        about = pq.read_metadata(lake.path(settings.lake, table) / file["path"])
        column = about.schema.names.index("event_date")
        for group in map(about.row_group, range(about.num_row_groups)):
            days = group.column(column).statistics
            rows += group.num_rows if days.min <= last and days.max >= first else 0
    return rows


@pytest.mark.slow
def test_a_day_decodes_the_events_of_its_lookback_alone_however_long_the_log_is(long: Settings) -> None:
    for days in (1, LOOKBACK):
        least, groups = days * A_DAY, []
        for place in (100, LONG - 1):
            day = FIRST + dt.timedelta(days=place)
            groups.append(decoded(long, "raw_events", day - dt.timedelta(days=days - 1), day))
        assert max(groups) <= least + 2 * GROUP  # a group may begin before the days and end after them
    assert decoded(long, "raw_events", FIRST, FIRST + dt.timedelta(days=LONG)) == LONG * A_DAY


def test_a_day_of_features_asks_for_the_days_of_its_lookback_alone(long: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    views: dict[str, str] = {}
    monkeypatch.setattr(DuckDB, "view", lambda self, name, query: views.update({name: query}))
    day = FIRST + dt.timedelta(days=LONG - 1)
    with contextlib.closing(Inputs(long, "behavior_sequence", day, day + dt.timedelta(days=1))) as inputs:
        inputs.query([day])
    since = day - dt.timedelta(days=LOOKBACK - 1)
    assert views["events"].endswith(f"WHERE event_date BETWEEN DATE '{since}' AND DATE '{day}'")


@pytest.mark.parametrize("table", ["behavior_sequence", "search_text"])
def test_lists_of_a_lone_day_keep_no_row_of_the_lookback_but_of_active_users(long: Settings, table: str) -> None:
    """They are the ends of sorted lists: nothing is summed up day by day, and nothing is set aside to be read twice."""
    day = FIRST + dt.timedelta(days=LONG - 1)
    plans = {}
    for name, days in (("lone", [day]), ("range", [day - dt.timedelta(days=1), day])):
        with contextlib.closing(Inputs(long, table, days[0], day + dt.timedelta(days=1))) as inputs:
            query = interface.sql_of(inputs.query(days), "duckdb")
            plans[name] = "".join(inputs.engine.read(f"EXPLAIN {query}").read_all()["explain_value"].to_pylist())
    costly = {name: {step for step in ("WINDOW", "CTE_SCAN") if step in plan} for name, plan in plans.items()}
    assert costly == {"lone": set(), "range": {"WINDOW", "CTE_SCAN"}}


def test_a_text_is_encoded_once_however_many_events_and_days_have_it(long: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, encoded = text_vectors.encoder(long.text_encoder), []
    encode = encoder.encode
    monkeypatch.setattr(encoder, "encode", lambda texts, *rest: encoded.extend(texts) or encode(texts, *rest))
    half, end = FIRST + dt.timedelta(days=LONG // 2), FIRST + dt.timedelta(days=LONG)
    commits = []
    for cutoff in (half, end, end):
        text_vectors.encode(long, cutoff, encoder)
        commits.append(lake.version(long.lake, text_vectors.TABLE))
    assert sorted(encoded) == sorted(f"text {i}" for i in range(11))
    assert commits == [commits[0]] * 3  # nothing new is nothing written
    assert len(lake.files(long.lake, text_vectors.TABLE)) == 1
