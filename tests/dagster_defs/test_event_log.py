"""Dagster's log, read without Dagster, says what Dagster says; and the keys of the graph are those of its partitions."""

import contextlib
import datetime as dt
import sqlite3
from pathlib import Path

import dagster as dg
import pytest

from dagster_defs import event_log, partitions, records
from dagster_defs.graph import CUTOFF, DAILY, AssetGraph
from found_platform.settings import Settings
from found_platform.sources.config import Span


def materialize(instance: dg.DagsterInstance, asset: str, partition: str | None, mark: str) -> None:
    metadata = {"fingerprint": mark, "rows_hash": f"hash {mark}"}
    instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=partition, metadata=metadata))


def through_dagster(instance: dg.DagsterInstance, asset: str) -> dict[str, int]:
    return records._numbers(instance, asset)


def numbers(folder: Path, asset: str) -> dict[str, int] | None:
    newest = event_log.newest(folder, asset)
    return newest and {partition: number for partition, (number, _) in newest.items()}


def test_the_newest_events_are_those_that_dagster_names_also_after_a_wipe(tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        for mark in ("first", "second"):
            for day in ("2024-01-01", "2024-01-02"):
                materialize(instance, "daily", day, mark)
            materialize(instance, "whole", None, mark)
            materialize(instance, "wiped", "2024-01-01", mark)
        for asset in ("daily", "whole", "wiped"):
            assert numbers(tmp_path, asset) == through_dagster(instance, asset)
        assert set(numbers(tmp_path, "daily") or ()) == {"2024-01-01", "2024-01-02"}
        assert set(numbers(tmp_path, "whole") or ()) == {""}
        instance.wipe_assets([dg.AssetKey("wiped")])
        assert numbers(tmp_path, "wiped") == through_dagster(instance, "wiped") == {}
        materialize(instance, "wiped", "2024-01-02", "third")
        assert set(numbers(tmp_path, "wiped") or ()) == set(through_dagster(instance, "wiped")) == {"2024-01-02"}
        assert numbers(tmp_path, "never made") == {}


def test_events_that_were_read_once_need_no_dagster(tmp_path: Path) -> None:
    def closed() -> dg.DagsterInstance:
        raise AssertionError("Dagster was asked")

    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        materialize(instance, "whole", None, "first")
        expected = {"": {"fingerprint": "first", "rows_hash": "hash first"}}
        assert records.newest(tmp_path, instance, "whole") == expected
        assert records.newest(tmp_path, closed, "whole") == expected
        materialize(instance, "whole", None, "second")
        with pytest.raises(AssertionError, match="Dagster was asked"):
            records.newest(tmp_path, closed, "whole")
        assert records.newest(tmp_path, lambda: instance, "whole")[""]["fingerprint"] == "second"


def test_a_log_that_is_no_file_of_the_home_is_asked_through_dagster(tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        materialize(instance, "whole", None, "first")
        (tmp_path / "dagster.yaml").write_text("storage: {postgres: {}}\n")
        assert event_log.newest(tmp_path, "whole") is None
        assert records.newest(tmp_path, instance, "whole")[""]["fingerprint"] == "first"
    assert event_log.newest(tmp_path / "nowhere", "whole") is None


@pytest.mark.parametrize(("start", "end"), [(-9, None), (-9, 0), (-9, -3), (-9, 5), (0, None), (0, 1), (3, None)])
def test_the_keys_of_the_graph_are_those_of_dagsters_partitions(tmp_path: Path, start: int, end: int | None) -> None:
    today = dt.datetime.now(dt.UTC).date()
    graph = AssetGraph(Settings.load(tmp_path, profile="tiny"))
    span = Span(start=today + dt.timedelta(days=start), end=None if end is None else today + dt.timedelta(days=end))
    vars(graph)["span"] = span
    definition = partitions.definition(graph, DAILY)
    assert definition is not None
    assert graph.days(DAILY) == list(definition.get_partition_keys())
    day = dt.timedelta(days=1)
    after = [str(dt.date.fromisoformat(key) + day) for key in graph.days(DAILY)]  # a cutoff is the day after the last one seen
    assert graph.days(CUTOFF) == [key for key in after if key < str(today)]


def test_what_an_earlier_version_has_read_of_the_log_is_read_again_with_the_rows(tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        metadata = {"fingerprint": "f", "rows_hash": "h", "dagster/partition_row_count": 12}
        instance.report_runless_asset_event(dg.AssetMaterialization("daily", partition="2024-01-01", metadata=metadata))
        with contextlib.closing(sqlite3.connect(tmp_path / records.DATABASE)) as con, con:
            con.execute(
                "CREATE TABLE records (asset TEXT, number INTEGER, at REAL, fingerprint TEXT, rows_hash TEXT, "
                "PRIMARY KEY (asset, number)) WITHOUT ROWID"
            )
            numbers_of = records._numbers(instance, "daily")
            con.execute("INSERT INTO records VALUES ('daily', ?, 0, 'f', 'h')", [numbers_of["2024-01-01"]])
        for _ in range(2):
            assert records.newest(tmp_path, instance, "daily") == {
                "2024-01-01": {"fingerprint": "f", "rows_hash": "h", "rows": "12"}
            }
