"""What an engine writes: a day whole or not at all, nobody's key in the log, and the same hashes as DuckDB's."""

import contextlib
import datetime as dt
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from dagster_defs import fingerprints
from dagster_defs.graph import AssetGraph
from found_platform import daily, engine, lake
from found_platform.engine import Engine
from found_platform.errors import JobFailed
from found_platform.features import write
from found_platform.settings import Settings

pytestmark = pytest.mark.slow

DAY = dt.timedelta(days=1)
START, MIDDLE, END = dt.date(2023, 12, 31), dt.date(2024, 1, 12), dt.date(2024, 4, 1)
TABLE = "behavior_sequence"


@pytest.fixture
def home(edge_home: Settings, tmp_path: Path) -> Settings:
    """A copy of the home that DuckDB has made."""
    shutil.copytree(edge_home.home, tmp_path / "home")
    return edge_home.model_copy(update={"home": tmp_path / "home"})


@pytest.fixture
def remote(home: Settings, address: str) -> Iterator[tuple[Settings, Engine]]:
    """The same with an engine, and a session of it."""
    settings = home.model_copy(update={"engine": address})
    with contextlib.closing(engine.of(settings)) as opened:
        yield settings, opened


def address_of(name: str, request: pytest.FixtureRequest) -> str:
    address = "duckdb" if name == "duckdb" else request.getfixturevalue(name)
    return address if isinstance(address, str) else address.address


def hashes(settings: Settings, table: str = TABLE) -> dict[str, tuple[int, str]]:
    return daily.day_hashes(settings.lake, table, START, END)


def users_in_the_log(settings: Settings, table: str) -> list[str]:
    """User keys in the statistics of what an engine has written."""
    log = "".join(path.read_text() for path in lake.path(settings.lake, table).glob("_delta_log/*.json"))
    assert "Spark Connect" in log
    return [key for key in set(lake.read(settings.lake, "user_days")["user_key"].to_pylist()) if key in log]


@pytest.mark.long
def test_a_home_may_change_engines_and_nothing_is_stale_nor_is_a_user_in_the_log(
    edge_home: Settings, remote: tuple[Settings, Engine]
) -> None:
    """Twenty days computed by an engine: every day has the hash that it had, and what it is made from the same fingerprint."""
    settings, _ = remote
    for table in write.TABLES:
        written = write.feature(settings, table, MIDDLE, MIDDLE + 20 * DAY)
        assert hashes(settings, table) == hashes(edge_home, table)
        expected = daily.day_hashes(edge_home.lake, table, MIDDLE, MIDDLE + 20 * DAY)
        assert {day: content for day, content in written.partitions.items() if content[0]} == expected
        assert not users_in_the_log(settings, table)
    graphs = [AssetGraph(s.model_copy(update={"home": edge_home.home})) for s in (edge_home, settings)]
    with dg.DagsterInstance.ephemeral() as instance:
        first, second = (fingerprints.of(g, instance, "user_tabular", [str(MIDDLE)]) for g in graphs)
    assert first == second


def test_rows_outside_the_days_that_are_replaced_are_never_written(remote: tuple[Settings, Engine]) -> None:
    settings, opened = remote
    before, version = hashes(settings), lake.version(settings.lake, TABLE)
    opened.table(TABLE)
    schema = write.schema(settings, TABLE)
    daily.replace_days(settings.lake, TABLE, f"SELECT * FROM {TABLE}", MIDDLE, MIDDLE + DAY, schema=schema, replace=opened.replace)
    assert lake.version(settings.lake, TABLE) == version + 1
    assert hashes(settings) == before


def test_files_that_change_other_days_are_not_committed(remote: tuple[Settings, Engine], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an engine that does not filter: other days would be there twice."""
    settings, opened = remote
    before, version = hashes(settings), lake.version(settings.lake, TABLE)

    class Unfiltered:
        def __init__(self, rows: Any):
            self._rows = rows

        def where(self, _: str) -> Any:
            return self._rows

    rows = opened._rows  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setattr(opened, "_rows", lambda *query: Unfiltered(rows(*query)))
    opened.table(TABLE)
    days = f"event_date >= '{MIDDLE}' AND event_date < '{MIDDLE + DAY}'"
    with pytest.raises(JobFailed, match=r"changed rows of behavior_sequence that it was not asked for: the table is as it was"):
        opened.replace(settings.lake, TABLE, f"SELECT * FROM {TABLE}", schema=write.schema(settings, TABLE), predicate=days)
    assert (hashes(settings), lake.version(settings.lake, TABLE)) == (before, version)
    assert not list(lake.path(settings.lake, TABLE).glob("written-*"))


def test_a_query_that_fails_in_the_middle_leaves_the_old_days(remote: tuple[Settings, Engine]) -> None:
    settings, opened = remote
    before, version = hashes(settings), lake.version(settings.lake, TABLE)
    opened.table(TABLE)

    def dies(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield next(batches)
        raise RuntimeError("the worker is gone")

    schema = write.schema(settings, TABLE)
    opened.map(f"SELECT * FROM {TABLE}", dies, schema, "dying")
    with pytest.raises(JobFailed, match=r"The engine sc://.* could not finish: .*the worker is gone"):
        daily.replace_days(settings.lake, TABLE, "SELECT * FROM dying", START, END, schema=schema, replace=opened.replace)
    assert (hashes(settings), lake.version(settings.lake, TABLE)) == (before, version)


@pytest.mark.parametrize("name", ["duckdb", "sail", pytest.param("spark", marks=pytest.mark.long)])
def test_both_engines_map_and_hash_alike(name: str, edge_home: Settings, request: pytest.FixtureRequest) -> None:
    where = address_of(name, request)
    with contextlib.closing(engine.of(edge_home.model_copy(update={"engine": where}))) as opened:
        for table in write.TABLES:
            assert opened.row_hashes(table, START, MIDDLE) == daily.day_hashes(edge_home.lake, table, START, MIDDLE)

        def lengths(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                yield pa.record_batch([pa.array([batch.num_rows], pa.int64())], names=["rows"])

        opened.table(TABLE)
        opened.map(f"SELECT * FROM {TABLE}", lengths, pa.schema([("rows", pa.int64())]), "lengths")
        (count,) = opened.read("SELECT sum(rows) AS n FROM lengths").read_all()["n"].to_pylist()
        assert count == lake.read(edge_home.lake, TABLE).num_rows


@pytest.mark.parametrize("name", ["duckdb", "sail", pytest.param("spark", marks=pytest.mark.long)])
def test_both_engines_append_alike(name: str, home: Settings, request: pytest.FixtureRequest) -> None:
    where = address_of(name, request)
    before, schema = lake.read(home.lake, TABLE), write.schema(home, TABLE)
    with contextlib.closing(engine.of(home.model_copy(update={"engine": where}))) as opened:
        opened.table(TABLE)
        opened.view("busy", f"SELECT * FROM {TABLE} WHERE event_date < DATE '{MIDDLE}'")
        version = opened.append(home.lake, TABLE, "SELECT * FROM busy", schema=schema)
        (again,) = opened.read("SELECT count(*) AS n FROM busy").read_all()["n"].to_pylist()
    after = lake.read(home.lake, TABLE)
    assert version == lake.version(home.lake, TABLE)
    assert after.num_rows == before.num_rows + again > before.num_rows
    counts, twice = hashes(home), daily.day_hashes(home.lake, TABLE, START, MIDDLE)
    assert sum(n for n, _ in twice.values()) == 2 * again
    assert counts[str(MIDDLE)] == daily.day_hashes(home.lake, TABLE, MIDDLE, END)[str(MIDDLE)]
