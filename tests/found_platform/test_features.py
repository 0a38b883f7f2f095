"""Features: by hand, against a slow transcription, and blind to the future."""

import datetime as dt
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from conftest import at, lake_of, write_source

from found_platform import contract, lake
from found_platform.contract import CHANNELS, WINDOWS
from found_platform.features import checks, write
from found_platform.privacy import keys
from found_platform.settings import Settings

DAY = dt.timedelta(days=1)


def table(settings: Settings, name: str) -> dict[tuple[str, dt.date], dict]:
    """Rows of a snapshot table by raw user and day."""
    rows = lake.read(settings.lake, name).to_pylist()
    names = keys.user_ids(settings, [r["user_key"] for r in rows])
    return {(names[r["user_key"]], r["event_date"]): r for r in rows}


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
    made = lake_of(tmp_path / "home", write_source(tmp_path, events), sequence_length=2)
    sequences, texts = table(made, "behavior_sequence"), text_of(made)
    assert set(sequences) == {("u", dt.date(2024, 1, d)) for d in (1, 2, 3)} | {("v", dt.date(2024, 1, 4))}
    last = sequences["u", dt.date(2024, 1, 3)]
    assert [texts[i] for i in last["text_ids"]] == ["shoes page", "shoes"]
    assert last["times"] == [int(e["event_time"].timestamp() * 1e6) for e in (events[1], events[3])]
    assert last["channels"] == [CHANNELS.index("spm"), CHANNELS.index("pay_bill")]
    assert last["amount_buckets"] == [-1, math.floor(math.log2(61))]
    assert last["event_timestamp"] == at("2024-01-04", "00:00:00")
    searches = table(made, "search_text")
    assert [texts[i] for i in searches["u", dt.date(2024, 1, 2)]["search_text_ids"]] == ["shoes"]
    assert len(searches) == 1


def test_the_tabular_snapshot_has_the_silent_too_and_forgets_after_the_lookback(tmp_path: Path) -> None:
    events = [
        {"user_id": "u", "event_time": at("2024-01-01"), "text": "tea", "amount": 3.0},
        {"user_id": "u", "event_time": at("2024-01-01"), "text": "mailing", "channel": "spm", "exposure": True},
        {"user_id": "w", "event_time": at("2024-01-12"), "text": "tea", "amount": 1.0},
    ]
    made = lake_of(tmp_path / "home", write_source(tmp_path, events), lookback_days=9)
    rows = table(made, "user_tabular")
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


def random_events(seed: int, users: int = 6, days: int = 25, count: int = 160) -> list[dict]:
    rng = np.random.default_rng(seed)
    start = at("2024-01-01", "00:00:00")
    return [
        {
            "user_id": f"u{rng.integers(users)}",
            # whole hours, so that many events share a moment
            "event_time": start + dt.timedelta(hours=int(rng.integers(24 * days))),
            "channel": str(rng.choice(CHANNELS)),
            "text": f"text {rng.integers(9)}",
            "amount": float(np.round(rng.normal(0, 50), 2)) if rng.random() < 0.6 else None,
            "exposure": bool(rng.random() < 0.1),
        }
        for _ in range(count)
    ]


@pytest.mark.parametrize("seed", [0, 1])
def test_snapshots_equal_a_slow_transcription(tmp_path: Path, seed: int) -> None:
    events = random_events(seed)
    lookback, length = 12, 5
    made = lake_of(
        tmp_path / "home", write_source(tmp_path, events), lookback_days=lookback, sequence_length=length, search_length=length
    )
    ids = {text: i for i, text in text_of(made).items()}
    sequences, searches, tabular = (table(made, t) for t in ("behavior_sequence", "search_text", "user_tabular"))

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
    counted = 0
    for user in {e["user_id"] for e in events}:
        mine = [e for e in events if e["user_id"] == user]
        for day in contract.days_between(first, last + DAY):
            known = [e for e in mine if day - lookback * DAY < e["event_time"].date() <= day]
            today = [e for e in known if e["event_time"].date() == day]
            behaviour = [e for e in known if e["channel"] != "search"]
            row = sequences.get((user, day))
            assert (row is not None) == any(e["channel"] != "search" for e in today)
            if row is not None:
                columns = (row[c] for c in ("times", "text_ids", "channels", "amount_buckets", "exposures"))
                assert list(zip(*columns, strict=True)) == lists(behaviour)
                assert row["created_timestamp"] == max(e["event_time"] for e in behaviour)
            asked = searches.get((user, day))
            assert (asked is not None) == any(e["channel"] == "search" for e in today)
            if asked is not None:
                wanted = [e[:2] for e in lists([e for e in known if e["channel"] == "search"])]
                assert list(zip(asked["search_times"], asked["search_text_ids"], strict=True)) == wanted
            if not any(e["event_time"].date() <= day for e in mine):
                assert (user, day) not in tabular
                continue
            snapshot = tabular[user, day]
            own = [e for e in known if not e["exposure"]]
            for w in WINDOWS:
                inside = [e for e in own if (day - e["event_time"].date()).days < w]
                assert snapshot[f"events_{w}d"] == len(inside)
                assert snapshot[f"amount_{w}d"] == pytest.approx(sum(e["amount"] or 0 for e in inside), abs=0.006)
                assert snapshot[f"active_days_{w}d"] == len({e["event_time"].date() for e in inside})
                for channel in CHANNELS:
                    assert snapshot[f"{channel}_{w}d"] == sum(e["channel"] == channel for e in inside)
            ages = [(day - e["event_time"].date()).days for e in own]
            assert snapshot["days_since_last"] == (min(ages) if ages else None)
            assert snapshot["days_since_first"] == max((day - e["event_time"].date()).days for e in mine)
            counted += 1
    assert counted > 80


def test_one_day_alone_equals_the_same_day_in_a_range(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = lake_of(tmp_path / "home", write_source(tmp_path, random_events(3)))
    before = {t: lake.row_hashes(made.lake, t, "event_date") for t in write.TABLES}
    monkeypatch.setattr(write, "CHUNK_DAYS", 2)
    for name in write.TABLES:
        for start, end in ((10, 11), (3, 8)):
            write.feature(made, name, dt.date(2024, 1, start), dt.date(2024, 1, end))
        assert lake.row_hashes(made.lake, name, "event_date") == before[name]


def test_changing_the_future_changes_no_snapshot_of_the_past(tmp_path: Path) -> None:
    events = random_events(4)
    cut = at("2024-01-15", "00:00:00")
    changed = [e if e["event_time"] < cut else {**e, "text": "other", "amount": 9999.0, "channel": "spm"} for e in events]
    changed += [{"user_id": "new", "event_time": cut, "text": "brand new", "channel": "search"}]
    hashes = []
    for name, rows in {"a": events, "b": changed}.items():
        made = lake_of(tmp_path / name / "home", write_source(tmp_path / name, rows), secret="aa")
        hashes.append(
            {t: lake.row_hashes(made.lake, t, "event_date", lake.days_where(dt.date.min, cut.date())) for t in write.TABLES}
        )
        assert len(hashes[-1]["user_tabular"]) == 14
    assert hashes[0] == hashes[1]
    later = [lake.row_hashes(tmp_path / n / "home" / "lake", "user_tabular", "event_date")["2024-01-16"] for n in "ab"]
    assert later[0] != later[1]


def test_a_late_event_is_known_by_its_arrival(tmp_path: Path) -> None:
    events = [
        {"user_id": "u", "event_time": at("2024-01-01"), "text": "tea"},
        {"user_id": "u", "event_time": at("2024-01-02"), "text": "late", "arrived_at": at("2024-01-09")},
        {"user_id": "u", "event_time": at("2024-01-03"), "text": "milk", "arrived_at": at("2024-01-01")},
    ]
    rows = table(lake_of(tmp_path / "home", write_source(tmp_path, events)), "behavior_sequence")
    created = [rows["u", dt.date(2024, 1, d)]["created_timestamp"] for d in (1, 2, 3)]
    assert created == [at("2024-01-01"), at("2024-01-09"), at("2024-01-09")]


def test_what_arrives_later_does_not_reach_an_earlier_snapshot(tmp_path: Path) -> None:
    """A user known by exposures alone: the day's row is the same computed alone and in a range."""
    events = [
        {"user_id": "u", "event_time": at("2024-01-01"), "text": "mailing", "exposure": True, "arrived_at": at("2024-01-09")},
        {"user_id": "u", "event_time": at("2024-01-03"), "text": "mailing", "exposure": True},
    ]
    made = lake_of(tmp_path / "home", write_source(tmp_path, events), lookback_days=2)
    rows = table(made, "user_tabular")
    assert rows["u", dt.date(2024, 1, 1)]["created_timestamp"] == at("2024-01-09")
    assert rows["u", dt.date(2024, 1, 1)]["days_since_last"] is None
    before = lake.row_hashes(made.lake, "user_tabular", "event_date")
    for day in (1, 2, 3):
        write.feature(made, "user_tabular", dt.date(2024, 1, day), dt.date(2024, 1, day + 1))
    assert lake.row_hashes(made.lake, "user_tabular", "event_date") == before


def test_the_feature_checks_see_what_is_wrong(tmp_path: Path) -> None:
    made = lake_of(tmp_path / "home", write_source(tmp_path, random_events(5)))
    span = (dt.date(2024, 1, 5), dt.date(2024, 1, 20))
    assert checks.no_event_after_snapshot(made, *span)[0]
    assert checks.one_row_for_every_user(made, *span)[0]
    day = (dt.date(2024, 1, 8), dt.date(2024, 1, 9))
    for name, check in (("behavior_sequence", checks.no_event_after_snapshot), ("user_tabular", checks.one_row_for_every_user)):
        rows = lake.read(made.lake, name, lake.days_where(*day))
        if name == "behavior_sequence":
            future = [[*times[:-1], times[-1] + 86_400_000_000] for times in rows["times"].to_pylist()]
            wrong = rows.set_column(rows.column_names.index("times"), "times", pa.array(future))
        else:
            wrong = pa.concat_tables([rows, rows.slice(0, 1)])
        lake.replace_days(made.lake, name, wrong, *day, schema=rows.schema)
        passed, why = check(made, *span)
        assert not passed
        assert why[0] != "0"
