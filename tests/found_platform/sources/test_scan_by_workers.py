"""The workers of an engine scan files as this process does: the same rows, the same quarantine, the same counts."""

import datetime as dt
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from deltalake import WriterProperties, write_deltalake
from reading import write
from spark_cluster import Cluster, Waiting

from found_platform import lake
from found_platform.engine.spark_connect import SparkConnect
from found_platform.errors import BadInput, JobFailed
from found_platform.home import write_once
from found_platform.settings import Settings
from found_platform.sources import (
    config,
    counts,
    discovery,
    entries,
    files,
    folders,
    growth,
    review,
    scan,
    spread,
    staging,
    stretches,
    survey,
    totals,
    workers,
)
from found_platform.sources.growth import Removed
from found_platform.sources.profile import ProfileReport

END = dt.date(2024, 1, 20)
SECONDS = 300
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
    titles = [entry.path for entries in source.channels.values() for entry in entries]
    return {
        "totals": {name: con.execute(f"FROM {name} ORDER BY ALL").fetchall() for name in totals.TOTALS},
        "rhythm": rhythm,
        "review": review.notes(con, source, counts.report(con), ProfileReport(), titles),
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
    looks = workers.look(settings, lake.connect(), config.load(source))
    assert discovery.discover(lake.connect(), config.load(source), looks) == discovery.discover(lake.connect(), config.load(source))
    assert len(expected["quarantine"]) > 20
    assert {row.repeats for row in expected["counts"]} > {0}
    for con in scans:
        scan.leave_aside(con, ["u1", "f"])
    expected, answers = (about(con, settings) for con in scans)
    assert answers == expected
    assert sum(row.erased for row in expected["counts"]) > 0


def large(folder: Path) -> Path:
    """A source of a Parquet file and a partitioned Delta table of several row groups each, with faults and repeated rows."""
    (folder / "table").mkdir(parents=True)
    count = 16
    rows = {
        "id": [f"u{i % 7}" if i % 5 else None for i in range(count)],
        "at": [START + dt.timedelta(hours=i) for i in range(count)],
        "what": [*["tea"] * (count - 1), ""],
        "event": [f"{i % 9}" for i in range(count)],
        "side": ["left" if i % 3 else "right" for i in range(count)],
    }
    pq.write_table(pa.table(rows), folder / "one.parquet", row_group_size=3)
    for _ in range(2):
        of_groups = WriterProperties(max_row_group_size=4)
        write_deltalake(folder / "table", pa.table(rows), mode="append", partition_by="side", writer_properties=of_groups)
    columns = {"user_id": "id", "event_time": "at", "text": "what", "event_id": "event"}
    entries = [
        {"path": "one.parquet", "columns": columns},
        {"path": "table", "columns": {**columns, "category": "side"}, "where": "side <> 'none'"},
    ]
    (folder / "source.yaml").write_text(yaml.safe_dump({"name": "large", "channels": {"search": entries}}))
    return folder / "source.yaml"


@pytest.mark.parametrize("most", [1, 2000])
def test_workers_that_read_stretches_of_a_file_number_its_rows_as_one_process_does(
    place: str, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = large(tmp_path / "source")
    monkeypatch.setattr(workers, "BYTES", most)
    cut = [stretch for _, entry in entries.entries_of(config.load(source)) for _, some in workers.groups(entry) for stretch in some]
    assert len(cut) > 6
    assert None not in cut
    settings, con = of_engine(tmp_path, place), by_workers(tmp_path, source, place)
    answers, expected = about(con, settings), about(in_one_process(source), settings)
    assert answers == expected
    numbers = {(row["file"][-7:], row["row_number"]) for row in expected["quarantine"]}
    assert ("parquet", 16) in numbers
    assert max(number for _, number in numbers) > 16  # in the second file of the table or later


def test_a_stretch_reads_no_other_row_group(tmp_path: Path) -> None:
    """Of the others every page is broken."""
    con, source, file = duckdb.connect(), large(tmp_path / "source"), tmp_path / "source" / "one.parquet"
    (entry,) = config.load(source).channels["search"][:1]
    (part,) = files.parts(con, entry, "here")
    whole, about = con.execute(f"SELECT id, event FROM {part.relation}").fetchall(), pq.read_metadata(file)
    for number, stretch in enumerate(stretches.of_parquet(file, 1) or []):
        content = bytearray(file.read_bytes())
        for group in set(range(about.num_row_groups)) - {number}:
            for chunk in map(about.row_group(group).column, range(about.num_columns)):
                begin = chunk.dictionary_page_offset or chunk.data_page_offset
                content[begin : begin + chunk.total_compressed_size] = bytes(chunk.total_compressed_size)
        broken = tmp_path / f"{number}.parquet"
        broken.write_bytes(content)
        of_broken = replace(part, relation=part.relation.replace(str(file), str(broken)))
        rows = con.execute(f"SELECT id, event FROM {stretches.cut(con, of_broken, stretch).relation}").fetchall()
        assert rows == whole[stretch.first : stretch.end]


def test_a_file_that_a_worker_cannot_read_is_named(place: str, tmp_path: Path) -> None:
    source = kinds(tmp_path / "source")
    pq.write_table(pa.table({"id": ["a"], "what": ["tea"]}), tmp_path / "source" / "days" / "4.parquet")
    with pytest.raises(BadInput) as alone:
        in_one_process(source)
    with pytest.raises(BadInput) as of_workers:
        by_workers(tmp_path, source, place)
    assert str(of_workers.value) == str(alone.value)
    assert "4.parquet" in str(alone.value)


def test_workers_that_can_read_no_time_say_it_as_one_process_does(place: str, tmp_path: Path) -> None:
    write(tmp_path, "a.csv", ["id,at,what", "a,,tea", "b,,tea"])
    write(tmp_path, "b.csv", ["id,at,what", "a,,tea", "b,next week,tea"])
    columns = {"user_id": "id", "event_time": "at", "text": "what"}
    content = {"name": "timeless", "channels": {"search": [{"path": "[ab].csv", "columns": columns}]}}
    (tmp_path / "source.yaml").write_text(yaml.safe_dump(content))
    source, settings = config.load(tmp_path / "source.yaml"), of_engine(tmp_path, place)
    with pytest.raises(BadInput) as alone:
        discovery.discover(lake.connect(), source)
    with pytest.raises(BadInput) as of_workers:
        discovery.discover(lake.connect(), source, workers.look(settings, lake.connect(), source))
    assert str(of_workers.value) == str(alone.value)


def test_a_worker_that_does_not_see_a_file_says_so(tmp_path: Path) -> None:
    read = config.load(kinds(tmp_path / "source"))
    scanner = workers.Scanner(tuple(entries.entries_of(read)), (None,) * 6, tuple(scan.bounds_of(read)), "1GB", tmp_path)
    task = {"task": 3, "part": 0, "entry": 0, "files": '["/nowhere/1.parquet"]', "stretch": None}
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


def held(signs: Path, function: Callable[[pa.Table], pa.Table]) -> Callable[[pa.Table], pa.Table]:
    """What a worker runs: it says in which process it is, and goes on when it may."""

    def run(task: pa.Table) -> pa.Table:
        (signs / str(os.getpid())).touch()
        while not (signs / "go").exists():
            time.sleep(0.1)
        return function(task)

    return run


class Held(Waiting):
    """Something that an engine scans, whose workers wait for a sign."""

    def __init__(self, signs: Path, work: Callable[[], Any], monkeypatch: pytest.MonkeyPatch):
        super().__init__(signs)
        self.work, self.answer = work, None
        each = SparkConnect.each
        monkeypatch.setattr(
            SparkConnect,
            "each",
            lambda engine, name, rows, function, schema: each(engine, name, rows, held(signs, function), schema),
        )

    def run(self) -> None:
        try:
            self.answer = self.work()
        except Exception as error:
            self.failure = error


@pytest.mark.long
def test_a_worker_that_is_killed_in_a_scan_is_replaced_and_every_row_is_there_once(
    spark: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "FILES", 2)
    source = kinds(tmp_path / "source")
    scanning = Held(tmp_path / "signs", lambda: by_workers(tmp_path, source, spark.address), monkeypatch)
    scanning.start()
    parents = {process.pid for process in scanning.begun().parents()}
    (executor,) = (process for process in spark.executors() if process.pid in parents)
    executor.send_signal(signal.SIGKILL)
    executor.wait(SECONDS)
    (scanning.signs / "go").touch()
    scanning.join(SECONDS)
    assert not scanning.is_alive()
    assert scanning.answer is not None, scanning.failure
    assert len(list(scanning.signs.iterdir())) > 2  # another process has taken its files
    settings = of_engine(tmp_path, spark.address)
    assert about(scanning.answer, settings) == about(in_one_process(source), settings)


@pytest.mark.long
def test_a_server_that_is_killed_in_a_scan_leaves_what_was_staged(
    spark: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, home = kinds(tmp_path / "source"), tmp_path / "home"
    before = staged(home, source, "duckdb")
    settings = Settings.load(home, quarantine_threshold=0.9).model_copy(update={"engine": spark.address})
    (tmp_path / "source" / "days" / "5.parquet").write_bytes((tmp_path / "source" / "days" / "1.parquet").read_bytes())
    with monkeypatch.context() as held_workers:
        scanning = Held(tmp_path / "signs", lambda: staging.renew(settings), held_workers)
        scanning.start()
        scanning.begun()
        spark.kill_server()
        (scanning.signs / "go").touch()
        scanning.join(SECONDS)
    assert isinstance(scanning.failure, JobFailed), scanning.failure
    assert f"The engine {spark.address} could not finish" in str(scanning.failure)
    assert {**folders.manifest(settings), "fingerprint": ""} == before["manifest"]
    assert sorted(path.name for path in settings.staging.iterdir()) == before["names"]
    assert not folders.work(settings).exists()
    spark.serve()
    after = staged(home, source, spark.address)
    assert sum(row.rows for row in after["counts"]) == sum(row.rows for row in before["counts"]) + 6
