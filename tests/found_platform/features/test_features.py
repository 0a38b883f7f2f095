"""Features: by hand, against a slow transcription, and blind to the future."""

import datetime as dt
import math
from collections.abc import Iterator
from pathlib import Path

import duckdb
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from conftest import at, lake_of, write_source
from random_events import random_events

from found_platform import contract, daily, feature_store, lake, row_hash
from found_platform.contract import CHANNELS, WINDOWS
from found_platform.engine import Query
from found_platform.engine.duck import DuckDB
from found_platform.errors import JobFailed
from found_platform.features import checks, write
from found_platform.features.inputs import Inputs
from found_platform.privacy import keys
from found_platform.settings import Settings

DAY = dt.timedelta(days=1)


def versions(settings: Settings, name: str) -> dict[tuple[str, dt.date, dt.date], dict]:
    """Rows of a snapshot table by raw user, day, and the day that the version knows."""
    rows = lake.read(settings.lake, name).to_pylist()
    names = keys.user_ids(settings, [r["user_key"] for r in rows])
    by_version = {(names[r["user_key"]], r["event_date"], (r["created_timestamp"] - DAY).date()): r for r in rows}
    assert len(by_version) == len(rows)
    return by_version


def table(settings: Settings, name: str) -> dict[tuple[str, dt.date], dict]:
    """Rows of a snapshot table by raw user and day, as known when the day was over."""
    return {(user, day): row for (user, day, known_by), row in versions(settings, name).items() if known_by == day}


def text_of(settings: Settings) -> dict[int, str]:
    return {r["text_id"]: r["text"] for r in lake.read(settings.lake, "behavior_text").to_pylist()}


def test_a_sequence_holds_the_last_events_oldest_first_and_no_search(tmp_path: Path) -> None:
    events = [
        {"user_id": "u", "event_time": at("2024-01-01", "08:00:00"), "text": "tea", "amount": 3.0},
        {"user_id": "u", "event_time": at("2024-01-02", "09:00:00"), "text": "shoes page", "channel": "spm"},
        {"user_id": "u", "event_time": at("2024-01-02", "10:00:00"), "text": "shoes", "channel": "search"},
        {"user_id": "u", "event_time": at("2024-01-03", "23:59:59.999999"), "text": "shoes", "amount": 60.0},
        {"user_id": "v", "event_time": at("2024-01-04", "00:00:00"), "text": "milk"},
    ]
    settings = lake_of(tmp_path / "home", write_source(tmp_path, events), sequence_length=2)
    sequences, texts = table(settings, "behavior_sequence"), text_of(settings)
    assert set(sequences) == {("u", dt.date(2024, 1, d)) for d in (1, 2, 3)} | {("v", dt.date(2024, 1, 4))}
    last = sequences["u", dt.date(2024, 1, 3)]
    assert [texts[i] for i in last["text_ids"]] == ["shoes page", "shoes"]
    assert last["times"] == [int(e["event_time"].timestamp() * 1e6) for e in (events[1], events[3])]
    assert last["channels"] == [CHANNELS.index("spm"), CHANNELS.index("pay_bill")]
    assert last["amount_buckets"] == [-1, math.floor(math.log2(61))]
    assert last["event_timestamp"] == at("2024-01-04", "00:00:00")
    searches = table(settings, "search_text")
    assert [texts[i] for i in searches["u", dt.date(2024, 1, 2)]["search_text_ids"]] == ["shoes"]
    assert len(searches) == 1


def test_the_tabular_snapshot_has_the_silent_too_and_forgets_after_the_lookback(tmp_path: Path) -> None:
    events = [
        {"user_id": "u", "event_time": at("2024-01-01"), "text": "tea", "amount": 3.0},
        {"user_id": "u", "event_time": at("2024-01-01"), "text": "mailing", "channel": "spm", "exposure": True},
        {"user_id": "w", "event_time": at("2024-01-12"), "text": "tea", "amount": 1.0},
    ]
    settings = lake_of(tmp_path / "home", write_source(tmp_path, events), lookback_days=9)
    rows = table(settings, "user_tabular")
    assert len([k for k in rows if k[0] == "u"]) == 12
    assert len([k for k in rows if k[0] == "w"]) == 1
    first, eighth, ninth, tenth = (rows["u", dt.date(2024, 1, d)] for d in (1, 8, 9, 10))
    assert (first["events_7d"], first["amount_7d"], first["spm_7d"], first["days_since_last"]) == (1, 3.0, 0, 0)
    assert (eighth["events_7d"], eighth["events_28d"], eighth["days_since_last"]) == (0, 1, 7)
    assert (ninth["events_lookback"], ninth["days_since_last"]) == (1, 8)
    assert (tenth["events_lookback"], tenth["days_since_last"], tenth["days_since_first"]) == (0, None, 9)


def test_a_profile_row_is_known_from_its_as_of_on(tmp_path: Path) -> None:
    events = [{"user_id": "u", "event_time": at(f"2024-01-0{d}"), "text": "tea"} for d in range(1, 6)]
    profile = [
        {"user_id": "u", "as_of": at("2024-01-02", "06:00:00"), "city": "Ulm"},
        {"user_id": "u", "as_of": at("2024-01-05", "00:00:00"), "city": "Bonn"},
    ]
    rows = table(lake_of(tmp_path / "home", write_source(tmp_path, events, profile)), "user_tabular")
    cities = [rows["u", dt.date(2024, 1, d)]["city"] for d in range(1, 6)]
    # 00:00 of the 5th is not before the snapshot of the 4th, which is dated 00:00 of the 5th
    assert cities == [None, "Ulm", "Ulm", "Ulm", "Bonn"]


def known_day(event: dict) -> dt.date:
    arrived = event.get("arrived_at") or event["event_time"]
    return max(event["event_time"].date(), (arrived - dt.timedelta(microseconds=1)).date())


def brought_back(event: dict) -> bool:
    """A negative amount in `pay_bill`: no feature counts it."""
    return event["channel"] == "pay_bill" and not event["exposure"] and (event["amount"] or 0) < 0


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "late"), [(0, 0.0), (1, 0.15), (2, 0.6)])
def test_snapshots_equal_a_slow_transcription(tmp_path: Path, seed: int, late: float) -> None:
    """Every user, day and version, computed in plain Python from the events that had arrived by then."""
    events = random_events(seed, late=late)
    lookback, length = 12, 5
    settings = lake_of(
        tmp_path / "home", write_source(tmp_path, events), lookback_days=lookback, sequence_length=length, search_length=length
    )
    ids = {text: i for i, text in text_of(settings).items()}
    sequences, searches, tabular = (versions(settings, t) for t in ("behavior_sequence", "search_text", "user_tabular"))

    def lists(rows: list[dict]) -> list[tuple]:
        ordered = sorted(
            (
                int(e["event_time"].timestamp()) * 1_000_000,
                ids[e["text"]],
                CHANNELS.index(e["channel"]),
                -1 if e["amount"] is None else math.floor(math.log2(abs(e["amount"]) + 1)),
                int(e["exposure"]),
            )
            for e in rows
        )
        return ordered[-length:]

    first, last = (f(e["event_time"].date() for e in events) for f in (min, max))
    expected: dict[str, set] = {"sequence": set(), "search": set(), "tabular": set()}
    for user in {e["user_id"] for e in events}:
        mine = [e for e in events if e["user_id"] == user]
        for day in contract.days_between(first, last + DAY):
            past = [e for e in mine if e["event_time"].date() <= day]
            inside = [e for e in past if e["event_time"].date() > day - lookback * DAY]
            for known_by in {day, *(known_day(e) for e in past if known_day(e) > day)}:
                key = (user, day, known_by)
                seen = [e for e in past if known_day(e) <= known_by]
                then = [e for e in inside if known_day(e) <= known_by]
                today = [e for e in then if e["event_time"].date() == day]
                for name, rows, search in (("sequence", sequences, False), ("search", searches, True)):
                    of_kind = [e for e in then if (e["channel"] == "search") == search and not brought_back(e)]
                    counted = [e for e in inside if (e["channel"] == "search") == search and not brought_back(e)]
                    versioned = {day, *map(known_day, counted)}
                    if known_by not in versioned or not any(e in of_kind for e in today):
                        continue
                    expected[name].add(key)
                    columns = ("search_times", "search_text_ids") if search else SEQUENCE_COLUMNS
                    got = list(zip(*(rows[key][c] for c in columns), strict=True))
                    assert got == [e[: len(columns)] for e in lists(of_kind)]
                if seen:
                    expected["tabular"].add(key)
                    check_activity(tabular[key], day, seen, [e for e in then if not e["exposure"] and not brought_back(e)])
    assert set(sequences) == expected["sequence"]
    assert set(searches) == expected["search"]
    assert set(tabular) == expected["tabular"]
    assert len(tabular) > 80
    assert any(known_by != day for _, day, known_by in tabular) == (late > 0)


SEQUENCE_COLUMNS = ("times", "text_ids", "channels", "amount_buckets", "exposures")


def check_activity(row: dict, day: dt.date, seen: list[dict], own: list[dict]) -> None:
    """`seen`: all events known; `own`: those of the lookback that the user did."""

    def age(event: dict) -> int:
        return (day - event["event_time"].date()).days

    for w in WINDOWS:
        inside = [e for e in own if age(e) < w]
        assert row[f"events_{w}d"] == len(inside)
        assert row[f"amount_{w}d"] == pytest.approx(sum(e["amount"] or 0 for e in inside), abs=0.006)
        assert row[f"active_days_{w}d"] == len({e["event_time"].date() for e in inside})
        for channel in CHANNELS:
            assert row[f"{channel}_{w}d"] == sum(e["channel"] == channel for e in inside)
    ages = sorted({age(e) for e in own})
    assert row["days_since_last"] == (ages[0] if ages else None)
    assert row["mean_gap_lookback"] == (pytest.approx((ages[-1] - ages[0]) / (len(ages) - 1)) if len(ages) > 1 else None)
    for channel in CHANNELS:
        assert row[f"days_since_last_{channel}"] == min((age(e) for e in own if e["channel"] == channel), default=None)
    assert row["categories_28d"] == len({e["category"] for e in own if e["category"] and age(e) < 28})
    assert row["days_since_first"] == max(age(e) for e in seen)


@pytest.mark.slow
def test_one_day_alone_equals_the_same_day_in_a_range(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = lake_of(tmp_path / "home", write_source(tmp_path, random_events(3, late=0.2)))
    before = {t: row_hash.by_key(settings.lake, t, "event_date") for t in write.TABLES}
    monkeypatch.setattr(write, "SHARE", 0.0)  # a query a day
    for name in write.TABLES:
        for start, end in ((10, 11), (3, 8)):
            write.feature(settings, name, dt.date(2024, 1, start), dt.date(2024, 1, end))
        assert row_hash.by_key(settings.lake, name, "event_date") == before[name]


@pytest.mark.slow
def test_days_that_do_not_fit_in_memory_are_computed_fewer_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = lake_of(tmp_path / "home", write_source(tmp_path, random_events(3)))
    before = {t: row_hash.by_key(settings.lake, t, "event_date") for t in write.TABLES}
    query, read, day_counts = Inputs.query, DuckDB.read, []

    def counted(inputs: Inputs, days: list[dt.date]) -> ir.Table:
        day_counts.append(len(days))
        return query(inputs, days)

    def small(engine: DuckDB, what: Query) -> pa.RecordBatchReader:
        """A machine whose memory holds two days: that is found out at once, or only after some rows."""
        if isinstance(what, str):  # how many rows there are
            return read(engine, what)
        if day_counts[-1] > 4:
            raise duckdb.OutOfMemoryException(write.OUT_OF_MEMORY)
        rows = read(engine, what)
        return rows if day_counts[-1] <= 2 else pa.RecordBatchReader.from_batches(rows.schema, some(rows.schema))

    def some(schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pylist([], schema)
        raise duckdb.OutOfMemoryException(write.OUT_OF_MEMORY)

    monkeypatch.setattr(Inputs, "query", counted)
    monkeypatch.setattr(DuckDB, "read", small)
    for name in write.TABLES:
        day_counts.clear()
        write.feature(settings, name, dt.date(2024, 1, 3), dt.date(2024, 1, 12))
        assert day_counts[0] == max(day_counts) > 4  # days with rows
        assert day_counts.count(day_counts[0]) == 1  # what did not fit is not tried again
        assert sum(n for n in day_counts if n <= 2) == day_counts[0]
        assert row_hash.by_key(settings.lake, name, "event_date") == before[name]


def test_a_day_that_does_not_fit_in_memory_says_what_to_set(tmp_path: Path) -> None:
    settings = lake_of(tmp_path / "home", write_source(tmp_path, random_events(3)))
    before = row_hash.by_key(settings.lake, "behavior_sequence", "event_date")
    small = settings.model_copy(update={"duckdb_memory": "1MB"})
    with pytest.raises(JobFailed, match=r"behavior_sequence of 2024-01-03 does not fit in 1MB: set FOUND_DUCKDB_MEMORY to more"):
        write.feature(small, "behavior_sequence", dt.date(2024, 1, 3), dt.date(2024, 1, 12))
    assert row_hash.by_key(settings.lake, "behavior_sequence", "event_date") == before


@pytest.mark.slow
def test_changing_the_future_changes_no_snapshot_of_the_past(tmp_path: Path) -> None:
    events = random_events(4)
    cut = at("2024-01-15", "00:00:00")
    changed = [e if e["event_time"] < cut else {**e, "text": "other", "amount": 9999.0, "channel": "spm"} for e in events]
    changed += [{"user_id": "new", "event_time": cut, "text": "brand new", "channel": "search"}]
    hashes = []
    for name, rows in {"a": events, "b": changed}.items():
        settings = lake_of(tmp_path / name / "home", write_source(tmp_path / name, rows), secret="aa" * 16)
        hashes.append(
            {t: row_hash.by_key(settings.lake, t, "event_date", lake.days_where(dt.date.min, cut.date())) for t in write.TABLES}
        )
        assert len(hashes[-1]["user_tabular"]) == 14
    assert hashes[0] == hashes[1]
    later = [row_hash.by_key(tmp_path / n / "home" / "lake", "user_tabular", "event_date")["2024-01-16"] for n in "ab"]
    assert later[0] != later[1]


def test_a_late_event_is_known_from_its_arrival_on(tmp_path: Path) -> None:
    """It leaves what was known before as it was, and adds a version of each snapshot that it belongs to."""
    events = [
        {"user_id": "u", "event_time": at("2024-01-01"), "text": "tea"},
        {"user_id": "u", "event_time": at("2024-01-02"), "text": "late", "arrived_at": at("2024-01-09")},
        {"user_id": "u", "event_time": at("2024-01-03"), "text": "milk", "arrived_at": at("2024-01-01")},
        {"user_id": "u", "event_time": at("2024-01-12"), "text": "tea"},
    ]
    settings = lake_of(tmp_path / "home", write_source(tmp_path, events))
    names = text_of(settings)
    rows = {(day.day, known_by.day): row for (_, day, known_by), row in versions(settings, "behavior_sequence").items()}
    assert {key: [names[i] for i in row["text_ids"]] for key, row in rows.items()} == {
        (1, 1): ["tea"],
        (2, 9): ["tea", "late"],
        (3, 3): ["tea", "milk"],
        (3, 9): ["tea", "late", "milk"],
        (12, 12): ["tea", "late", "milk", "tea"],
    }
    spine = [at(f"2024-01-{d:02d}", "00:00:00") for d in (4, 9, 10, 13)]
    history = feature_store.history(settings, [keys.user_key(keys.home_secret(settings), "u")] * 4, spine)
    seen = [[names[i] for i in ids] for ids in history["text_ids"].to_pylist()]
    assert seen == [["tea", "milk"], ["tea", "milk"], ["tea", "late", "milk"], ["tea", "late", "milk", "tea"]]
    assert history["events_28d"].to_pylist() == [2, 2, 3, 4]


def histories(settings: Settings, users: list[str], moments: list[dt.datetime]) -> list[pa.Table]:
    """The history of all users at each moment, asked at once."""
    rows = feature_store.history(settings, users * len(moments), [moment for moment in moments for _ in users])
    return [rows.slice(i * len(users), len(users)) for i in range(len(moments))]


@pytest.mark.slow
def test_what_arrives_after_a_moment_changes_nothing_it_sees(tmp_path: Path) -> None:
    """Events added with a later arrival leave the history of every earlier moment bit for bit as it was."""
    before = random_events(11, late=0.2)
    cut = at("2024-01-16", "00:00:00")
    # whole days late, so that the arrival is a known day of its own
    extra = [{**e, "text": "added", "arrived_at": cut + dt.timedelta(hours=1)} for e in random_events(12) if e["event_time"] < cut]
    assert len(extra) > 30
    seen = []
    for name, rows in {"a": before, "b": before + extra}.items():
        settings = lake_of(tmp_path / name / "home", write_source(tmp_path / name, rows), secret="aa" * 16)
        users = [keys.user_key(keys.home_secret(settings), f"u{i}") for i in range(6)]
        moments = [cut - i * DAY for i in range(8)] + [cut + DAY]
        seen.append(histories(settings, users, moments))
    assert all(a.equals(b) for a, b in zip(seen[0][:-1], seen[1][:-1], strict=True))
    assert not seen[0][-1].equals(seen[1][-1])


@pytest.mark.slow
def test_what_is_created_after_a_moment_is_never_read(tmp_path: Path) -> None:
    """Every snapshot row created after the cutoff is turned into nonsense: the history of no moment up to it changes a bit."""
    settings = lake_of(tmp_path / "home", write_source(tmp_path, random_events(13, late=0.4)))
    cut = at("2024-01-16", "00:00:00")
    users = [keys.user_key(keys.home_secret(settings), f"u{i}") for i in range(6)]
    moments = [cut - i * DAY for i in range(10)] + [cut + DAY]
    before = histories(settings, users, moments)
    for view in feature_store.VIEWS:
        rows = lake.read(settings.lake, view)
        later = pc.greater(rows["created_timestamp"], pa.scalar(cut))
        assert 10 < pc.sum(later).as_py() < rows.num_rows
        for i, field in enumerate(rows.schema):
            if pa.types.is_list(field.type):
                nonsense = pa.array([[-1]] * rows.num_rows, field.type)
            elif pa.types.is_integer(field.type) or pa.types.is_floating(field.type):
                nonsense = pa.array([-1] * rows.num_rows, field.type)
            else:
                continue
            changed = [
                n if late else v
                for n, v, late in zip(nonsense.to_pylist(), rows[field.name].to_pylist(), later.to_pylist(), strict=True)
            ]
            rows = rows.set_column(i, field, pa.array(changed, field.type))
        lake.replace(settings.lake, view, rows, schema=rows.schema)
    after = histories(settings, users, moments)
    assert all(a.equals(b) for a, b in zip(before[:-1], after[:-1], strict=True))
    assert not before[-1].equals(after[-1])


@pytest.mark.slow
def test_days_are_utc_whatever_the_zone_and_the_daylight_saving(tmp_path: Path) -> None:
    """The same moments, told in Berlin's wall-clock time around both changes of 2024, give the same features."""
    days, times = ("2024-03-30", "2024-03-31", "2024-10-27"), ("00:30:00", "01:30:00", "22:59:59", "23:30:00")
    moments = [at(day, time) for day in days for time in times]
    events = [{"user_id": "u", "event_time": m, "text": f"text {i}"} for i, m in enumerate(moments)]
    hashes = []
    for name in ("utc", "berlin"):
        path = write_source(tmp_path / name, events)
        if name == "berlin":
            data = pq.read_table(tmp_path / name / "events.parquet")
            local_times = data["event_time"].cast(pa.timestamp("us", tz="Europe/Berlin"))
            data = data.set_column(data.column_names.index("event_time"), "event_time", local_times)
            pq.write_table(data, tmp_path / name / "events.parquet")
        settings = lake_of(tmp_path / name / "home", path, secret="aa" * 16)
        hashes.append({t: row_hash.by_key(settings.lake, t, "event_date") for t in write.TABLES})
    assert hashes[0] == hashes[1]
    assert {"2024-03-30", "2024-03-31", "2024-10-27"} <= set(hashes[0]["behavior_sequence"])


@pytest.mark.slow
def test_a_user_known_by_a_late_exposure_alone(tmp_path: Path) -> None:
    """The day's rows are the same computed alone and in a range."""
    events = [
        {"user_id": "u", "event_time": at("2024-01-01"), "text": "mailing", "exposure": True, "arrived_at": at("2024-01-09")},
        {"user_id": "u", "event_time": at("2024-01-03"), "text": "mailing", "exposure": True},
    ]
    settings = lake_of(tmp_path / "home", write_source(tmp_path, events), lookback_days=2)
    rows = {(day.day, known_by.day): row for (_, day, known_by), row in versions(settings, "user_tabular").items()}
    assert set(rows) == {(1, 9), (2, 9), (3, 3), (3, 9)}
    assert [rows[3, known_by]["days_since_first"] for known_by in (3, 9)] == [0, 2]
    assert rows[1, 9]["days_since_last"] is None
    before = row_hash.by_key(settings.lake, "user_tabular", "event_date")
    for day in (1, 2, 3):
        write.feature(settings, "user_tabular", dt.date(2024, 1, day), dt.date(2024, 1, day + 1))
    assert row_hash.by_key(settings.lake, "user_tabular", "event_date") == before
    assert checks.one_row_for_every_user(settings, dt.date(2024, 1, 1), dt.date(2024, 1, 4))[0]


def test_the_feature_checks_see_what_is_wrong(tmp_path: Path) -> None:
    settings = lake_of(tmp_path / "home", write_source(tmp_path, random_events(5, late=0.2)))
    span = (dt.date(2024, 1, 5), dt.date(2024, 1, 20))
    assert checks.no_event_after_snapshot(settings, *span)[0]
    assert checks.one_row_for_every_user(settings, *span)[0]
    day = (dt.date(2024, 1, 8), dt.date(2024, 1, 9))
    for name, check in (("behavior_sequence", checks.no_event_after_snapshot), ("user_tabular", checks.one_row_for_every_user)):
        rows = lake.read(settings.lake, name, lake.days_where(*day))
        if name == "behavior_sequence":
            future = [[*times[:-1], times[-1] + 86_400_000_000] for times in rows["times"].to_pylist()]
            wrong = rows.set_column(rows.column_names.index("times"), "times", pa.array(future))
        else:
            wrong = pa.concat_tables([rows, rows.slice(0, 1)])
        daily.replace_days(settings.lake, name, wrong, *day, schema=rows.schema)
        passed, why = check(settings, *span)
        assert not passed
        assert why[0] != "0"
