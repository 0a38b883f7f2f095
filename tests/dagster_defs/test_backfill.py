"""Backfills: any order, any grouping, several processes, late events; what is stale is said."""

import datetime as dt
import multiprocessing
import re
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import at, call_found, write_source

from dagster_defs import runs, staleness
from dagster_defs.execution import open_instance
from found_platform import lake, row_hash
from found_platform.errors import BadInput
from found_platform.features import write
from found_platform.settings import Settings
from found_platform.sources import config, staging
from found_platform.sources.durations import Durations

FIRST, LAST = dt.date(2024, 1, 1), dt.date(2024, 1, 10)


def events() -> list[dict]:
    return [
        {"user_id": f"u{i % 4}", "event_time": at(f"2024-01-{1 + i % 10:02d}", f"{i % 23:02d}:00:00"), "text": f"text {i % 5}"}
        for i in range(60)
    ]


def opened(folder: Path, rows: list[dict] | None = None, *, lookback_days: int = 5) -> Settings:
    """A home tied to a source whose files are all that the glob finds, and in which nothing has run."""
    settings = Settings.load(folder / "home", profile="tiny", secret="aa" * 16, lookback_days=lookback_days)
    source = write_source(folder, rows or events(), path="events*.parquet")
    staging.open_home(settings, staging.discover(settings, config.load(source)))
    return settings


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home with all days of `events`. Tests must leave it as it is."""
    settings = opened(tmp_path_factory.mktemp("filled"))
    list(runs.backfill(settings, FIRST, LAST))
    return settings


def hashes(settings: Settings) -> dict[str, dict]:
    return {table: row_hash.by_key(settings.lake, table, "event_date") for table in runs.BACKFILLED}


def stale(settings: Settings) -> dict[str, list[str]]:
    return {s.asset: s.stale for s in staleness.of_home(settings) if s.stale}


@pytest.mark.slow
def test_one_run_and_a_run_a_day_in_any_order_give_the_same_rows(tmp_path: Path) -> None:
    whole, parts = (opened(tmp_path / name, lookback_days=2) for name in ("whole", "parts"))
    last_day = dt.date(2024, 1, 4)  # which no longer looks back on the first
    reports = list(runs.backfill(whole, FIRST, last_day))
    assert [(f.asset, f.total, len(f.keys)) for f in reports] == [(a, 4, days) for a in runs.BACKFILLED for days in (0, 4)]
    assert stale(whole) == {}
    list(runs.backfill(parts, FIRST, last_day, assets=["raw_events"], each_day=True))
    for first, last in ((last_day, last_day), (dt.date(2024, 1, 2), dt.date(2024, 1, 3)), (FIRST, FIRST)):
        for asset in reversed(runs.BACKFILLED[1:]):
            filled = list(runs.backfill(parts, first, last, assets=[asset], each_day=True))
            assert [len(f.keys) for f in filled] == [0] + [1] * ((last - first).days + 1)
    assert hashes(parts) == hashes(whole)
    again = list(runs.backfill(whole, FIRST, last_day))
    assert [(f.keys, f.up_to_date) for f in again] == [([], 4)] * len(runs.BACKFILLED)


def write_days(home: Path, table: str, first: dt.date, last: dt.date) -> None:
    write.feature(Settings.load(home), table, first, last + dt.timedelta(days=1))


@pytest.mark.slow
def test_processes_at_the_same_table_give_the_same_rows(filled: Settings, tmp_path: Path) -> None:
    """Four processes write different days of one table at once, as a backfill started from the UI may."""
    parts = opened(tmp_path / "parts")
    list(runs.backfill(parts, FIRST, LAST, assets=["raw_events"]))
    days = [(FIRST + dt.timedelta(days=i), FIRST + dt.timedelta(days=min(i + 2, 9))) for i in (9, 0, 6, 3)]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([write.__name__])  # once, not in each of the four
    with ProcessPoolExecutor(4, mp_context=context) as pool:
        for table in runs.BACKFILLED[1:]:
            for job in [pool.submit(write_days, parts.home, table, *span) for span in days]:
                job.result()
    assert hashes(parts) == hashes(filled)


@pytest.mark.slow
def test_late_events_are_taken_up_by_their_day_and_what_follows_is_stale(tmp_path: Path) -> None:
    settings = opened(tmp_path / "home")
    list(runs.backfill(settings, FIRST, LAST))
    late = {"user_id": "u1", "event_time": at("2024-01-04"), "text": "late", "arrived_at": at("2024-01-07")}
    before = row_hash.by_key(settings.lake, "raw_events", "event_date")
    written = pq.read_table(tmp_path / "home" / "events.parquet")
    pq.write_table(
        pa.Table.from_pylist(
            [{**dict.fromkeys(written.schema.names), "channel": "pay_bill", "exposure": False, **late}], schema=written.schema
        ),
        tmp_path / "home" / "events-late.parquet",
    )
    day = dt.date(2024, 1, 4)
    _, filled = runs.backfill(settings, day, day, assets=["raw_events"])
    assert filled.keys == ["2024-01-04"]
    after = row_hash.by_key(settings.lake, "raw_events", "event_date")
    assert {k for k in after if after[k] != before[k]} == {"2024-01-04"}
    from_then_on = [f"2024-01-{d:02d}" for d in range(4, 11)]
    assert (
        stale(settings)
        == {
            "behavior_text": ["2024-01-04"],
            "behavior_sequence": from_then_on[:5],  # the lookback of five days
            "search_text": from_then_on[:5],
            "user_tabular": from_then_on,  # who was seen first when
        }
    )
    list(runs.backfill(settings, FIRST, LAST))
    assert stale(settings) == {}
    fresh = opened(tmp_path / "fresh", [*events(), late])
    list(runs.backfill(fresh, FIRST, LAST))
    assert hashes(settings) == hashes(fresh)


@pytest.mark.slow
def test_the_command_says_what_it_made_and_what_is_stale(tmp_path: Path) -> None:
    settings = opened(tmp_path / "home")
    home = ("--home", settings.home)
    outcome = call_found("backfill", "--from", "2024-01-01", "--to", "2024-01-10", *home)
    assert outcome.status == 0, outcome.err
    assert "Nothing is stale." in outcome.out
    assert "user_tabular" in outcome.out
    message = " ".join(outcome.err.split())
    assert re.search(
        r"Expect [\d,]+ to [\d,]+ seconds for the days to make: at most 10 of raw_events, 10 of behavior_text", message
    ), message
    day_durations = Durations.of_home(settings).days
    assert {asset: days for asset, (days, _) in day_durations.items()} == dict.fromkeys(runs.BACKFILLED, 10)
    again = call_found("backfill", "--from", "2024-01-01", "--to", "2024-01-10", *home)
    assert "No day is to be made." in " ".join(again.err.split())
    shown = call_found("status", *home)
    assert "10 of 10" in shown.out
    user = call_found("user", "show", "u1", "--as-of", "2024-01-06", *home)
    assert user.status == 0, user.err
    assert "from the history" in user.out
    texts: Any = lake.read(settings.lake, "behavior_text")
    lake.replace(settings.lake, "behavior_text", texts[:0], schema=texts.schema)
    nameless = call_found("user", "show", "u1", "--as-of", "2024-01-06", *home)
    assert (nameless.status, any(f"text {i}" in nameless.out for i in texts["text_id"].to_pylist())) == (0, True), nameless.err
    for arguments, words in (
        (("--from", "2024-01-05", "--to", "2024-01-04"), "before --from"),
        (("--from", "2024-02-01", "--to", "2024-02-04"), "from 2024-01-01 to 2024-01-10"),
        (("--from", "2024-01-05", "--to", "2024-01-05", "--asset", "user_index"), "no daily asset 'user_index'"),
        (("--from", "yesterday", "--to", "2024-01-05"), "--from"),
    ):
        refused = call_found("backfill", *arguments, *home)
        assert (refused.status, words in refused.err) == (2, True), refused.err
    for arguments, words in (
        (("nobody",), "'nobody'"),
        (("u1", "--online"), "online store"),
        (("u1", "--as-of", "2024-01-01"), "as of"),
    ):
        refused = call_found("user", "show", *arguments, *home)
        assert (refused.status, words in refused.err) == (2, True), refused.err
    with pytest.raises(BadInput, match="no days from"):
        list(runs.backfill(settings, dt.date(2023, 1, 1), dt.date(2023, 2, 1)))


@pytest.mark.slow
def test_a_forced_backfill_that_was_killed_is_taken_up_again_where_it_was(tmp_path: Path) -> None:
    settings = opened(tmp_path)
    assets = ["raw_events", "behavior_text"]
    list(runs.backfill(settings, FIRST, LAST, assets=assets))
    killed = runs.backfill(settings, FIRST, LAST, assets=assets, force=True)
    assert [(next(killed).asset, len(next(killed).keys))] == [("raw_events", 10)]
    killed.close()
    other = list(runs.backfill(settings, FIRST, dt.date(2024, 1, 2), assets=assets))
    assert [(f.asset, f.total) for f in other] == [("raw_events", 0), ("behavior_text", 0)]  # another command is another matter
    again = list(runs.backfill(settings, FIRST, LAST, assets=assets))
    assert [(f.asset, f.total, len(f.keys)) for f in again] == [
        ("raw_events", 0, 0),
        ("behavior_text", 10, 0),
        ("behavior_text", 10, 10),
    ]
    last = list(runs.backfill(settings, FIRST, LAST, assets=assets))
    assert [(f.asset, f.total) for f in last] == [("raw_events", 0), ("behavior_text", 0)]


@pytest.mark.slow
def test_a_backfill_beyond_the_data_makes_the_days_that_are_there_and_says_the_rest(tmp_path: Path) -> None:
    settings = opened(tmp_path / "home")
    home = ("--home", settings.home, "--asset", "raw_events")
    outcome = call_found("backfill", "--from", "2024-01-09", "--to", "2024-01-14", *home)
    assert outcome.status == 0, outcome.err
    assert "4 of the days from 2024-01-09 to 2024-01-14 are not in this home" in " ".join(outcome.out.split())
    assert row_hash.by_key(settings.lake, "raw_events", "event_date").keys() == {"2024-01-09", "2024-01-10"}


@pytest.mark.slow
def test_a_backfill_takes_up_new_days_and_stops_at_a_source_that_shrinks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOUND_SECRET", "aa" * 16)  # the home's, for the commands
    settings = opened(tmp_path / "home")
    list(runs.backfill(settings, FIRST, LAST, assets=["raw_events"]))
    write_source(tmp_path / "home", [*events(), {"user_id": "u1", "event_time": at("2024-01-12"), "text": "new"}])
    filled = list(runs.backfill(settings, LAST, dt.date(2024, 1, 12), assets=["raw_events"]))
    assert [f.keys for f in filled if f.keys] == [["2024-01-11", "2024-01-12"]]
    write_source(tmp_path / "home", [e for e in events() if e["event_time"] >= at("2024-01-02", "00:00:00")])
    command = ("backfill", "--from", "2024-01-01", "--to", "2024-01-12", "--asset", "raw_events", "--home", settings.home)
    refused = call_found(*command)
    assert refused.status == 2
    assert "2 days with 7 events have none now (2024-01-01 to 2024-01-12)" in refused.err
    before = row_hash.by_key(settings.lake, "raw_events", "event_date")
    assert call_found(*command, "--removed", "keep").status == 0
    assert row_hash.by_key(settings.lake, "raw_events", "event_date") == before
    assert call_found(*command, "--removed", "drop").status == 0
    assert "2024-01-01" not in row_hash.by_key(settings.lake, "raw_events", "event_date")


@pytest.mark.slow
def test_a_backfill_leaves_a_history_of_the_days_and_a_check_that_tells_of_gaps(tmp_path: Path) -> None:
    settings = opened(tmp_path / "home")

    def history() -> tuple[bool, str, dict[str, Any]]:
        with open_instance(settings) as instance:
            event = instance.get_latest_materialization_event(dg.AssetKey("history"))
            key = dg.AssetCheckKey(dg.AssetKey("history"), "no_day_is_missing")
            (record,) = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
        assert event is not None
        assert event.asset_materialization is not None
        assert record.event is not None
        assert record.event.dagster_event is not None
        check = record.event.dagster_event.asset_check_evaluation_data
        assert check.severity == dg.AssetCheckSeverity.WARN
        about = {name: value.value for name, value in event.asset_materialization.metadata.items()}
        return check.passed, str(check.metadata["why"].value), about

    list(runs.backfill(settings, FIRST, LAST, assets=["raw_events"]))
    for day in (2, 5, 6, 9):
        list(runs.backfill(settings, dt.date(2024, 1, day), dt.date(2024, 1, day), assets=["behavior_text"]))
    passed, why, about = history()
    assert not passed
    sentence = "behavior_text lacks 4 days between its first and its last one: 2024-01-03 to 2024-01-04, 2024-01-07 to 2024-01-08"
    assert why == sentence
    assert (about["first_day"], about["last_day"], about["number_of_days"], about["missing_days"]) == (str(FIRST), str(LAST), 10, 4)
    rows = {record.data["table"]: record.data for record in about["days"].records}
    assert rows["raw_events"] == {
        "table": "raw_events",
        "first_day": str(FIRST),
        "last_day": str(LAST),
        "days": 10,
        "missing_days": 0,
        "rows": lake.dataset(settings.lake, "raw_events").count_rows(),
    }
    assert (rows["behavior_text"]["days"], rows["user_tabular"]["first_day"]) == (4, "none")
    list(runs.backfill(settings, FIRST, LAST))
    passed, why, about = history()
    assert (passed, about["missing_days"]) == (True, 0)
    assert stale(settings) == {}
