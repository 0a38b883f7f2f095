"""Bad input at volume: a CSV source broken in eleven ways is staged, and every broken row is counted, named and found again."""

import datetime as dt
import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from found_platform import lake
from found_platform.errors import BadInput
from found_platform.settings import Settings
from found_platform.sources import config, counts, examination, scan, staging
from found_platform.sources.rows import ASIDE, OUTSIDE, REPEATED

START, DAYS = dt.datetime(2024, 1, 1), 60
HEADER = b"id,when,what,paid,eid"
WAYS: dict[str, dict[int, bytes]] = {  # reason: what stands in which column instead
    "no user_id": {0: b""},
    "empty user_id": {0: b'""'},
    "no event_time": {1: b""},
    "unparsable event_time": {1: b"soon"},
    "event_time outside the span": {1: b"1999-01-05 10:00:00"},
    "empty text": {2: b'"  "'},
    "text over 4096 characters": {2: b"x" * 4097},
    "amount is not a number": {3: b"cheap"},
    "amount is not finite": {3: b"inf"},
    "wrong number of columns": {3: b"1,2,3"},
    "not UTF-8": {2: b"caf\xe9"},
}
PER_2000 = {reason: 4 + i for i, reason in enumerate(WAYS)} | {
    "repeated event_id": 13,
    "equal": 6,
}  # the eleven are 99: just under 5 %


@dataclass
class Planted:
    """What a source of two files should give: reasons by (file, row number), rows left aside by reason, good rows, equal rows,
    repeats of another file."""

    source: Path
    refused: dict[tuple[str, int], str]
    aside: Counter[str]
    good: int
    equal: int
    across: int


def plant(folder: Path, rows: int) -> Planted:
    """Writes `rows` rows into two CSV files, broken as `PER_2000` says; the same for every call with the same number."""
    rng = np.random.default_rng(rows)
    kinds = np.zeros(rows, int)  # 0 is an ordinary row
    names = ["", *PER_2000]
    broken = np.repeat(np.arange(1, len(names)), [n * rows // 2000 for n in PER_2000.values()])
    kinds[rng.permutation(np.arange(10, rows))[: len(broken)]] = broken
    users, texts, draws = rng.integers(rows // 20, size=rows), rng.integers(5000, size=rows), rng.random(rows)
    ordinary = np.flatnonzero(kinds == 0)
    with_id, without_id = ordinary[ordinary % 2 == 0], ordinary[ordinary % 2 == 1]
    step, half = dt.timedelta(days=DAYS) / rows, rows // 2
    refused: dict[tuple[str, int], str] = {}
    aside: Counter[str] = Counter()
    across = 0

    def row(i: int) -> list[bytes]:
        # a quoted line break and a doubled quote now and then: a record is not a line
        text = b'"two\nlines of ""%d"""' % texts[i] if i % 100 == 1 else b"caf\xc3\xa9 number %d" % texts[i]
        event_id = b"e%d" % i if i % 2 == 0 else b""
        when = (START + i * step).isoformat(" ").encode()
        return [b"user%d" % users[i], when, text, b"%d.50" % (i % 90), event_id]

    for part, numbers in enumerate((range(half), range(half, rows))):
        path = folder / f"part{part}.csv"
        with path.open("wb") as file:
            file.write(HEADER + b"\n")
            for n, i in enumerate(numbers, 1):
                reason, values = names[kinds[i]], row(i)
                if reason in ("repeated event_id", "equal"):
                    pool = with_id if reason == "repeated event_id" else without_id
                    other = int(pool[int(draws[i] * np.searchsorted(pool, i))])  # an ordinary row before this one
                    values = row(other) if reason == "equal" else [*values[:4], b"e%d" % other]
                    across += reason != "equal" and other < half <= i
                for column, value in WAYS.get(reason, {}).items():
                    values[column] = value
                if reason in ASIDE:
                    aside[reason] += 1
                elif reason not in ("", "equal"):
                    refused[str(path), n] = reason
                file.write(b",".join(values) + b"\n")
    columns = {"user_id": "id", "event_time": "when", "text": "what", "amount": "paid", "event_id": "eid"}
    source = folder / "source.yaml"
    span = {"start": START.date(), "end": START.date() + dt.timedelta(days=DAYS)}
    entry = {"path": "part*.csv", "columns": columns}
    source.write_text(yaml.safe_dump({"name": "bad", "channels": {"pay_bill": entry}, "span": span}))
    return Planted(source, refused, aside, rows - len(refused) - aside.total(), int((kinds == len(names) - 1).sum()), across)


STAGE = """
import json, sys
from pathlib import Path
from found_platform.settings import Settings
from dataclasses import asdict
from found_platform.sources import config, staging
made = Settings.load(Path(sys.argv[2]), profile="tiny", duckdb_memory="1GB", quarantine_threshold=0.1)
staging.open_home(made, staging.discover(made, config.load(Path(sys.argv[1]))))
report = staging.stage(made)
channels = [{**asdict(channel), "first_day": None, "last_day": None} for channel in report.channels]
report = {"channels": channels, "equal_rows": report.equal_rows, "staged": report.staged}
# not ru_maxrss: that one begins with what the parent process held
peak = next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(json.dumps({**report, "peak_mb": peak // 1024}))
"""


def staged(planted: Planted, home: Path) -> dict:
    """Stages in a process of its own, compares everything with what was planted, and returns the report with `peak_mb`."""
    completed = subprocess.run([sys.executable, "-c", STAGE, str(planted.source), str(home)], capture_output=True, text=True)
    assert completed.returncode == 0, completed.stderr
    report = json.loads(completed.stdout.splitlines()[-1])
    (channel,) = report["channels"]
    assert channel["bad"] == Counter(planted.refused.values())
    assert (channel["repeats"], channel["outside"]) == (planted.aside[REPEATED], planted.aside[OUTSIDE])
    assert (channel["good"], channel["rows"]) == (planted.good, planted.good + len(planted.refused) + planted.aside.total())
    assert report["equal_rows"] == planted.equal
    assert report["staged"]
    quarantined = lake.read(home / "lake", "quarantine").to_pylist()
    assert len(quarantined) == len(planted.refused)
    assert {(r["file"], r["row_number"]): r["reason"] for r in quarantined} == planted.refused
    days = json.loads((home / "staging" / "manifest.json").read_text())["days"]
    assert sum(n for n, _ in days.values()) == planted.good
    return report


def test_every_broken_row_is_quarantined_with_its_reason_and_its_place(tmp_path: Path) -> None:
    planted = plant(tmp_path, 2000)
    assert 0 < planted.across < PER_2000["repeated event_id"]
    assert sum(n for reason, n in PER_2000.items() if reason in WAYS) == 99
    staged(planted, tmp_path / "home")


@pytest.mark.slow
def test_a_million_rows_lose_none_and_memory_stays_bounded(tmp_path: Path) -> None:
    report = staged(plant(tmp_path, 1_000_000), tmp_path / "home")
    assert report["peak_mb"] < 2500


def source_of(folder: Path, content: bytes, *channels: str) -> config.SourceConfig:
    """One CSV file that feeds channels by its column `kind`."""
    (folder / "events.csv").write_bytes(content)
    columns = {"user_id": "id", "event_time": "when", "text": "what", "category": "kind"}
    entries = {
        channel: {"path": str(folder / "events.csv"), "columns": columns, "where": f"kind = '{channel}'"} for channel in channels
    }
    span = {"start": START.date(), "end": START.date() + dt.timedelta(days=DAYS)}
    return config.parse({"name": "s", "channels": entries, "span": span}, "here")


def test_broken_bytes_just_below_the_header_spoil_nothing_but_their_row(tmp_path: Path) -> None:
    content = b"id,when,what,kind\nu1,2024-01-05,caf\xe9,spm\nu1,2024-01-05,tea,spm\n"
    _, (report,), _, _ = examination.check(source_of(tmp_path, content, "spm"))
    assert (report.good, report.bad) == (1, {"not UTF-8": 1})
    with pytest.raises(BadInput, match="no header line in UTF-8"):
        examination.check(source_of(tmp_path, content.replace(b"kind", b"k\xeend"), "spm"))


def test_a_row_without_its_columns_is_counted_once_where_channels_share_a_file(tmp_path: Path) -> None:
    content = b"id,when,what,kind\nu1,2024-01-05,tea,spm\nu1\nu2,2024-01-05,milk,search\n,2024-01-05,milk,search\n\xff,x\n"
    _, reports, _, _ = examination.check(source_of(tmp_path, content, "spm", "search"))
    assert {r.channel: (r.rows, r.good, r.bad) for r in reports} == {
        "spm": (3, 1, {"wrong number of columns": 2}),
        "search": (2, 1, {"no user_id": 1}),
    }
    con = lake.connect()
    scan.scan(con, source_of(tmp_path, content, "spm", "search"))
    assert [(r["channel"], r["row_number"]) for r in counts.quarantined(con).to_pylist()] == [("search", 4), ("spm", 2), ("spm", 5)]


def test_a_quote_is_refused_with_its_row_or_by_name_where_it_would_swallow_others(tmp_path: Path) -> None:
    good, stray = b"u1,2024-01-05,tea,spm\n", b'u1,2024-01-05,"19" rack",spm\n'
    head = b"id,when,what,kind\n"
    _, (report,), _, _ = examination.check(source_of(tmp_path, head + good + stray + good, "spm"))
    assert (report.good, report.bad) == (2, {"a quote that does not close": 1})
    for rows_after in (1, 500_000):
        broken = source_of(tmp_path, head + good + b'u1,2024-01-05,"tea,spm\n' + good * rows_after, "spm")
        with pytest.raises(BadInput, match=r"channel 'spm': .*events.csv, row 2: a double quote opens and does not close"):
            examination.check(broken)


def test_an_empty_line_counts_where_a_row_is_named(tmp_path: Path) -> None:
    lines = [
        b"id,when,what,kind",
        b"",
        b",2024-01-05,tea,spm",
        b'u1,2024-01-05,"a\n\nb",spm',
        b"",
        b"",
        b"u1",
        b"u1,soon,tea,spm",
        b"",
    ]
    for eol in (b"\n", b"\r\n"):
        con = lake.connect()
        scan.scan(con, source_of(tmp_path, eol.join(lines), "spm"))
        assert [(r["row_number"], r["reason"]) for r in counts.quarantined(con).to_pylist()] == [
            (2, "no user_id"),
            (6, "wrong number of columns"),
            (7, "unparsable event_time"),
        ]
        con.close()


PROFILE = b"""who,age,spend,vip,zip,since
u1,30,1.5,true,0123,2024-01-01
,31,2,true,N1,2024-01-01
"",32,2,true,N1,2024-01-01
u2,33,2
caf\xe9,34,2,true,N1,2024-01-01

u3,35,,FALSE,,2024-01-01
u3,36,3,false,,2024-01-01
u4,37,nan,,"N1, old",soon
"""


def with_profile(folder: Path, content: bytes) -> config.SourceConfig:
    (folder / "people.csv").write_bytes(content)
    source = source_of(folder, b"id,when,what,kind\nu1,2024-01-05,tea,spm\n", "spm")
    profile = {"path": str(folder / "people.csv"), "key": "who", "as_of": "since"}
    return config.parse({**source.model_dump(mode="json", exclude_none=True), "profile": profile}, "here")


def test_a_profile_in_csv_loses_no_row_without_a_reason_and_none_of_the_others(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path / "home", quarantine_threshold=1)
    source = staging.open_home(settings, staging.discover(settings, with_profile(tmp_path, PROFILE)))
    assert source.profile_schema == {"age": "int", "spend": "float", "vip": "bool", "zip": "string"}

    def refused() -> dict[int, str]:
        assert staging.stage(settings).staged
        return {r["row_number"]: r["reason"] for r in lake.read(settings.lake, "quarantine").to_pylist()}

    faults = {
        2: "no user_id",
        3: "empty user_id",
        4: "wrong number of columns",
        5: "not UTF-8",
        8: "repeated profile row",
        9: "no readable as_of",
    }
    assert refused() == faults
    kept = pq.read_table(settings.staging / "profile.parquet").sort_by("age").to_pylist()
    assert [(r["age"], r["spend"], r["vip"], r["zip"]) for r in kept] == [(30, 1.5, True, "0123"), (35, None, False, None)]
    # a home knows its types: what does not fit them later is an empty cell, and the row with its other cells stays
    with_profile(tmp_path, PROFILE + b"u5,1.5,1,true,,2024-01-01\nu6,1,much,true,,2024-01-01\nu7,1,1,yes,,2024-01-01\n")
    assert refused() == faults
    report = staging.stage(settings).profile
    assert report.lost == {"age is not a whole number": 1, "spend is not a number": 1, "vip is not true or false": 1}
    kept = pq.read_table(settings.staging / "profile.parquet").to_pylist()
    assert sorted(((r["age"], r["spend"], r["vip"]) for r in kept), key=str) == [
        (1, 1.0, None),
        (1, None, True),
        (30, 1.5, True),
        (35, None, False),
        (None, 1.0, True),
    ]
