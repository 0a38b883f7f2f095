"""Events of a range: written together, and read once."""

import contextlib
import sqlite3
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from dagster_defs import event_batches, records

DAYS = 40
PARTITIONS = dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-02-10")


def materialized(instance: dg.DagsterInstance, mark: str) -> None:
    """One run of an asset over all days; each says who it is."""

    @dg.asset(
        name="a",
        partitions_def=PARTITIONS,
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[dg.AssetCheckSpec("sound", asset="a")],
    )
    def asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        for key in context.partition_keys:
            context.add_asset_metadata({"rows_hash": f"{mark} {key}", "fingerprint": mark}, partition_key=key)
        return dg.MaterializeResult(check_results=[dg.AssetCheckResult(check_name="sound", passed=True)])

    keys = PARTITIONS.get_partition_keys()
    tags = {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]}
    assert dg.materialize([asset], instance=instance, tags=tags).success


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each connection to Dagster's event log that is opened."""
    opened: list[str] = []
    connect = SqliteEventLogStorage._connect
    monkeypatch.setattr(SqliteEventLogStorage, "_connect", lambda self, shard: opened.append(shard) or connect(self, shard))
    return opened


@pytest.mark.slow
def test_a_range_of_days_is_written_with_few_connections_and_says_the_same(tmp_path: Path, connections: list[str]) -> None:
    events, opened = {}, {}
    for name in ("single", "together"):
        (tmp_path / name).mkdir()
        with dg.DagsterInstance.local_temp(str(tmp_path / name)) as instance:
            if name == "together":
                event_batches.install(instance)
            connections.clear()
            materialized(instance, "x")
            opened[name] = len(connections)
            rows = instance.fetch_materializations(dg.AssetKey("a"), limit=100).records
            events[name] = [(r.partition_key, r.asset_materialization and r.asset_materialization.metadata) for r in rows]
            planned = instance.event_log_storage.get_latest_storage_id_by_partition(
                dg.AssetKey("a"), dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
            )
            assert len(planned) == DAYS
            newest = instance.get_latest_materialization_event(dg.AssetKey("a"))
            assert newest is not None
            assert newest.asset_materialization is not None
            assert newest.asset_materialization.partition == "2024-02-09"
    assert len(events["single"]) == DAYS
    assert events["together"] == events["single"]
    assert opened["single"] > 4 * DAYS
    assert opened["together"] < 2 * DAYS


def test_what_an_event_says_is_read_once_and_never_taken_from_another_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[int] = []
    events = records._events
    monkeypatch.setattr(records, "_events", lambda i, k, numbers: fetched.append(len(numbers)) or events(i, k, numbers))
    for mark in ("first", "second"):  # the second log counts from 1 again
        (tmp_path / mark).mkdir()
        with dg.DagsterInstance.local_temp(str(tmp_path / mark)) as instance:
            event_batches.install(instance)
            assert records.newest(tmp_path, instance, "never made") == {}
            materialized(instance, mark)
            fetched.clear()
            for _ in range(2):
                newest = records.newest(tmp_path, instance, "a")
                assert len(newest) == DAYS
                assert newest["2024-01-07"] == {"fingerprint": mark, "rows_hash": f"{mark} 2024-01-07"}
            assert sorted(fetched)[-2:] == [1, DAYS]


def test_the_file_of_a_new_run_is_copied_and_is_what_dagster_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    initialise = SqliteEventLogStorage._initdb
    tables: dict[str, list[str]] = {}
    for name in ("theirs", "ours"):
        (tmp_path / name).mkdir()
        with dg.DagsterInstance.local_temp(str(tmp_path / name)) as instance:
            storage = instance.event_log_storage
            assert isinstance(storage, SqliteEventLogStorage)
            if name == "ours":
                event_batches.install(instance)
                with storage.run_connection("first"):
                    pass
                monkeypatch.setattr(
                    SqliteEventLogStorage, "_initdb", lambda *about, **more: calls.append(about) or initialise(*about)
                )
            with storage.run_connection("second"):
                pass
            with contextlib.closing(sqlite3.connect(storage.path_for_shard("second"))) as con:
                tables[name] = [*con.iterdump(), str(con.execute("PRAGMA journal_mode").fetchone())]
    assert tables["ours"] == tables["theirs"]
    assert calls == []
