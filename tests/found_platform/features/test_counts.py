"""What a write of daily tables costs, counted: queries, commits and files, which are the same on every machine."""

import datetime as dt

import pytest
from conftest import at, lake_of, write_source

from found_platform import daily, lake
from found_platform.engine import interface
from found_platform.features import write
from found_platform.features.inputs import Inputs
from found_platform.settings import Settings

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
