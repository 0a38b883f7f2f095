"""The workers of an engine scan files as this process does: the same rows, the same quarantine, the same counts."""

import datetime as dt
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from deltalake import write_deltalake
from reading import write

from found_platform import lake
from found_platform.errors import BadInput
from found_platform.home import write_once
from found_platform.settings import Settings
from found_platform.sources import config, counts, entries, folders, growth, review, scan, spread, staging, survey, totals, workers
from found_platform.sources.growth import Removed
from found_platform.sources.profile import ProfileReport

END = dt.date(2024, 1, 20)
START = dt.datetime(2024, 1, 5, 23, 59, 59, 999_999, tzinfo=dt.UTC)


def kinds(folder: Path) -> Path:
    """A source of Parquet, CSV, JSON Lines and Delta files with every kind of fault, a lookup table, and rows that repeat."""
    (folder / "days").mkdir(parents=True)
    for number in range(5):
        rows = {
            "id": [f"u{number}", None, " ", "u1", "u2", "u3"],
            "at": [START + dt.timedelta(days=number + i) for i in range(5)] + [None],
            "what": ["tea", "x", "y", "ä\u0301  tea ", "", "tea"],
            "price": [1.5, 2.0, 3.0, float("nan") if number % 2 else -0.0, 1e12, 1.0],
            "event": [f"{number}", None, None, "again", "again", "again"],
        }
        pq.write_table(pa.table(rows), folder / "days" / f"{number}.parquet")
    columns = {"user_id": "id", "event_time": "at", "text": "what"}
    lines = ["id,at,what,n", "a,2024-01-05 10:00:00,tea,1", "", "b,2024-01-06,cake,2", "c,2024-01-07,pie", "d,never,pie,3"]
    write(folder, "a.csv", [*lines, 'e,2024-01-08,"two\nlines",4', ",2024-01-09,nobody,5", '"",2024-01-09,empty,6'])
    write(folder, "b.csv", ["n;id;at;what", "7;f;2024-01-05;NULL", "8;g;2024-01-05;tea;too many", "", "x;g;2024-01-06;tea"])
    write(folder, "c.jsonl", ['{"id": 1, "at": "2024-01-05", "what": {"name": "a"}}', "no json", '{"id": 2, "at": "2024-01-06"}'])
    write(folder, "texts.csv", ["code,name", "1,one", "2,two", "2,deux"])
    entries = [
        {"path": "days/*.parquet", "columns": {**columns, "amount": "price", "event_id": "event"}},
        {"path": "days/3.parquet", "columns": {**columns, "event_id": "event"}, "where": "price > 1"},
        {"path": "[ab].csv", "columns": {**columns, "category": "upper(what)"}, "where": "n <> '1'"},
        {"path": "a.csv", "columns": {**columns, "text": {"from": "texts.csv", "key": "code", "column": "name", "on": "n"}}},
    ]
    searches = [{"path": "c.jsonl", "columns": {**columns, "text": "what.name"}}, {"path": "table", "columns": columns}]
    for name in ("x", "y"):
        rows = pa.table({"id": [name, None], "at": [START, START], "what": ["tea", "cake"]})
        write_deltalake(folder / "table", rows, mode="append")
    (folder / "source.yaml").write_text(yaml.safe_dump({"name": "kinds", "channels": {"pay_bill": entries, "search": searches}}))
    return folder / "source.yaml"


def about(con: duckdb.DuckDBPyConnection, settings: Settings) -> dict[str, Any]:
    """All that is asked of a scan, of its engine where it has one."""
    notes = con.execute("SELECT DISTINCT * FROM scan_notes ORDER BY ALL").fetchall()
    rows = con.execute(f"FROM {scan.numbered('true')} ORDER BY part, row_number").fetchall()
    quarantine = counts.quarantined(con).to_pylist()
    users = sorted(scan.user_ids(con))
    with spread.asked(settings, con, settings.home / "rows") as asked:
        totals.make_all(asked)
        rhythm = survey.rhythms(asked, [START.date(), END], None, (1, 2, 3))
    source = config.load(settings.home.parent / "source" / "source.yaml")
    return {
        "totals": {name: con.execute(f"FROM {name} ORDER BY ALL").fetchall() for name in totals.TOTALS},
        "rhythm": rhythm,
        "review": review.notes(con, source, counts.report(con), ProfileReport()),
        "rows": rows,
        "quarantine": quarantine,
        "counts": counts.report(con),
        "equal": counts.equal_rows(con),
        "notes": notes,
        "users": users,
    }


def by_workers(folder: Path, source: Path, address: str) -> duckdb.DuckDBPyConnection:
    """A scan by an engine."""
    settings, con = of_engine(folder, address), lake.connect()
    settings.home.mkdir(exist_ok=True)
    workers.read(settings, con, config.load(source), settings.home / "rows")
    return con


def of_engine(folder: Path, address: str) -> Settings:
    return Settings.load(folder / "home").model_copy(update={"engine": address})


def in_one_process(source: Path) -> duckdb.DuckDBPyConnection:
    con = lake.connect()
    scan.scan(con, config.load(source))
    return con


@pytest.fixture(params=["duckdb", pytest.param("sail", marks=pytest.mark.slow), pytest.param("spark", marks=pytest.mark.long)])
def place(request: pytest.FixtureRequest) -> str:
    """An engine: also this process, which takes the tasks one after another."""
    engine = "duckdb" if request.param == "duckdb" else request.getfixturevalue(request.param)
    return engine if isinstance(engine, str) else engine.address


def test_workers_find_the_rows_and_the_faults_that_one_process_finds(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the files are; and those of erased users are left aside alike."""
    monkeypatch.setattr(workers, "FILES", 2)
    source = kinds(tmp_path / "source")
    scans, settings = (in_one_process(source), by_workers(tmp_path, source, place)), of_engine(tmp_path, place)
    expected, answers = (about(con, settings) for con in scans)
    assert answers == expected
    assert len(expected["quarantine"]) > 20
    assert {row.repeats for row in expected["counts"]} > {0}
    for con in scans:
        scan.leave_aside(con, ["u1", "f"])
    expected, answers = (about(con, settings) for con in scans)
    assert answers == expected
    assert sum(row.erased for row in expected["counts"]) > 0


def test_a_file_that_a_worker_cannot_read_is_named(place: str, tmp_path: Path) -> None:
    source = kinds(tmp_path / "source")
    pq.write_table(pa.table({"id": ["a"], "what": ["tea"]}), tmp_path / "source" / "days" / "4.parquet")
    with pytest.raises(BadInput) as alone:
        in_one_process(source)
    with pytest.raises(BadInput) as of_workers:
        by_workers(tmp_path, source, place)
    assert str(of_workers.value) == str(alone.value)
    assert "4.parquet" in str(alone.value)


def test_a_worker_that_does_not_see_a_file_says_so(tmp_path: Path) -> None:
    read = config.load(kinds(tmp_path / "source"))
    scanner = workers.Scanner(tuple(entries.entries_of(read)), (None,) * 6, tuple(scan.bounds_of(read)), tmp_path, "1GB")
    task = {"task": 3, "part": 0, "entry": 0, "files": '["/nowhere/1.parquet"]'}
    ((number, _, error),) = (row.values() for row in scanner(pa.Table.from_pylist([task], workers.TASKS)).to_pylist())
    assert (number, error[:67]) == (3, "/nowhere/1.parquet is not there for a worker of the engine: every m")


def staged(home: Path, source: Path, address: str, removed: Removed | None = None) -> dict[str, Any]:
    """What a home has of a source: its staged events, its quarantine, the manifest."""
    settings = Settings.load(home, quarantine_threshold=0.9).model_copy(update={"engine": address})
    prepared = staging.prepare(settings, staging.discover(settings, config.load(source)), removed=removed)
    staging.open_home(settings, prepared.source)
    report = staging.stage(settings)
    con = lake.connect()
    rows = con.execute(f"SELECT {folders.STAGED} FROM {growth.staged(settings.staging)} ORDER BY ALL").fetchall()
    quarantine = lake.read(settings.lake, "quarantine").sort_by([("file", "ascending"), ("row_number", "ascending")]).to_pylist()
    content = {**folders.manifest(settings), "fingerprint": ""}
    names = sorted(path.name for path in settings.staging.iterdir())
    return {
        "rows": rows,
        "quarantine": quarantine,
        "manifest": content,
        "counts": report.channels,
        "notes": prepared.notes,
        "names": names,
    }


@pytest.mark.slow
def test_the_engine_stages_the_days_that_one_process_stages(address: str, tmp_path: Path) -> None:
    """With their row hashes; and what a source has lost stays, where that is said."""
    source = kinds(tmp_path / "source")
    for name in ("alone", "engine"):
        (tmp_path / name).mkdir()
        write_once(tmp_path / name, tmp_path / name / "secret", "00" * 32)
    expected, answers = staged(tmp_path / "alone", source, "duckdb"), staged(tmp_path / "engine", source, address)
    assert answers == expected
    assert len(expected["manifest"]["days"]) > 3
    (tmp_path / "source" / "days" / "4.parquet").unlink()
    expected = staged(tmp_path / "alone", source, "duckdb", "keep")
    assert staged(tmp_path / "engine", source, address, "keep") == expected
    assert expected["manifest"]["kept"]
