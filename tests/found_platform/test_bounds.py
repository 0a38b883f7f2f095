"""Files of data that a person brings: none unpacks without end, has a line without end, or is a pipe or a link elsewhere."""

import contextlib
import gzip
import os
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from found_platform import bounds
from found_platform.errors import BadInput
from found_platform.privacy import user_files
from found_platform.settings import Settings
from found_platform.sources import config, examination, init

HEAD = b"user_id,event_time,text\n"
ROWS = HEAD + b"".join(b"u%d,2026-01-%02d 10:00:00,tea\n" % (i % 7, 1 + i % 20) for i in range(50))
COLUMNS = {"user_id": "user_id", "event_time": "event_time", "text": "text"}
A_LOT = 300 << 20


def _many_rows(path: Path) -> None:
    """A gzip file of equal rows: three hundred members of a megabyte each."""
    member = gzip.compress((HEAD + b"u1,2026-01-01 10:00:00,tea\n" * 50_000)[: 1 << 20], 9)
    path.write_bytes(member * 300)


def _long_packed_line(path: Path) -> None:
    path.write_bytes(gzip.compress(ROWS) + gzip.compress(b"a" * (1 << 20), 1) * 300)


def _long_line(path: Path) -> None:
    """A line of zeros that takes no room on the disk."""
    with path.open("wb") as file:
        file.write(ROWS)
        file.truncate(A_LOT)


def _rows_without_bytes(path: Path) -> None:
    cells = pa.array(["x"] * 1_000_000).dictionary_encode()
    rows = pa.table(dict.fromkeys(COLUMNS, cells))
    with pq.ParquetWriter(path, rows.schema) as writer:
        for _ in range(25):
            writer.write_table(rows)


HOSTILE: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "rows packed to nothing": ("log.csv.gz", _many_rows, "unpacks to more than"),
    "a packed line without end": ("log.csv.gz", _long_packed_line, "has a line of more than"),
    "a packed line of JSON": ("log.jsonl.gz", _long_packed_line, "has a line of more than"),
    "a line without end": ("log.csv", _long_line, "has a line of more than"),
    "a line of JSON without end": ("log.jsonl", _long_line, "has a line of more than"),
    "rows without bytes": ("log.parquet", _rows_without_bytes, "says that it holds 25,000,000 rows"),
    "a pipe": ("log.csv", os.mkfifo, "is a pipe or a device"),
    "a device": ("log.csv", lambda path: path.symlink_to("/dev/zero"), "is a pipe or a device"),
    "half a gzip file": ("log.csv.gz", lambda path: path.write_bytes(gzip.compress(ROWS * 500)[:-200]), "cannot be read"),
    "broken gzip": ("log.csv.gz", lambda path: path.write_bytes(gzip.compress(ROWS)[:12] + b"\xff" * 90), "cannot be read"),
    "columns without end": ("log.csv", lambda path: path.write_bytes(b"a," * 60_000 + b"b\n1\n"), "at most 5,000"),
    "a name without end": ("log.csv", lambda path: path.write_bytes(b"a" * 2_000_000 + b"\n1\n"), "no header line"),
}


def _source(folder: Path, path: str, **entry: object) -> config.SourceConfig:
    file = folder / "source.yaml"
    file.write_text(yaml.safe_dump({"name": "x", "channels": {"pay_bill": {"path": path, "columns": COLUMNS, **entry}}}))
    return config.load(file)


@pytest.mark.parametrize("case", HOSTILE)
def test_no_file_of_a_source_hangs_or_fills_the_process(case: str, tmp_path: Path) -> None:
    name, write, reason = HOSTILE[case]
    write(tmp_path / name)
    begun = time.process_time()
    with pytest.raises(BadInput, match=reason) as refused:
        examination.examine(Settings.load(tmp_path / "home"), _source(tmp_path, name))
    assert str(tmp_path / name) in str(refused.value)
    assert len(str(refused.value)) < 2_000
    assert time.process_time() - begun < 10
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("case", HOSTILE)
def test_no_file_of_users_hangs_or_fills_the_process(case: str, tmp_path: Path) -> None:
    name, write, _ = HOSTILE[case]
    write(tmp_path / name)
    with pytest.raises(BadInput, match=r"log\."):
        list(user_files.read(tmp_path / name, required="it has a user_id"))


@pytest.mark.parametrize("case", HOSTILE)
def test_a_source_file_is_written_from_a_sample_or_not_at_all(case: str, tmp_path: Path) -> None:
    """`found source init` reads no more than a sample, so that it may take what `source check` refuses."""
    name, write, _ = HOSTILE[case]
    (tmp_path / "data").mkdir()
    write(tmp_path / "data" / name)
    with contextlib.suppress(BadInput):
        init.write([tmp_path / "data" / name], out=tmp_path / "source.yaml")


def test_a_log_that_shrinks_well_is_read(tmp_path: Path) -> None:
    (tmp_path / "log.csv.gz").write_bytes(gzip.compress(ROWS * 2_000, 9))
    bounds.check_text(tmp_path / "log.csv.gz")


def test_a_link_out_of_the_folder_of_a_pattern_is_refused(tmp_path: Path) -> None:
    """Whoever may write into the folder could have any file read; a path that the author names himself is theirs to choose."""
    (tmp_path / "elsewhere.csv").write_bytes(ROWS)
    folder = tmp_path / "drop" / "data"
    folder.mkdir(parents=True)
    (folder / "a.csv").write_bytes(ROWS)
    (folder / "b.csv").symlink_to(folder / "a.csv")
    settings = Settings.load(tmp_path / "home")
    assert examination.examine(settings, _source(tmp_path / "drop", "data/*.csv")).channels[0].good == 100
    (folder / "c.csv").symlink_to(tmp_path / "elsewhere.csv")
    with pytest.raises(BadInput, match=r"c\.csv, a link out of .*data: copy the file into the folder"):
        examination.examine(settings, _source(tmp_path / "drop", "data/*.csv"))
    with pytest.raises(BadInput, match=r"c\.csv, a link out of .*data: copy the file into the folder"):
        init.write([folder], out=tmp_path / "source.yaml")
    assert examination.examine(settings, _source(tmp_path / "drop", "data/c.csv")).channels[0].good == 50


def test_a_table_whose_log_names_a_file_elsewhere_is_refused(tmp_path: Path) -> None:
    from deltalake import write_deltalake

    write_deltalake(tmp_path / "log", pa.table({name: ["x"] for name in COLUMNS}))
    (data,) = (tmp_path / "log").glob("*.parquet")
    data.rename(tmp_path / "other.parquet")
    data.symlink_to(tmp_path / "other.parquet")
    with pytest.raises(BadInput, match="a link out of"):
        examination.examine(Settings.load(tmp_path / "home"), _source(tmp_path, "log"))


@pytest.mark.parametrize(
    "condition",
    [
        "(" * 20_000 + "true" + ")" * 20_000,
        "NOT " * 2_400 + "true",
        "1+" * 4_000 + "1 > 0",
        "abs(" * 300 + "1" + ")" * 300 + " > 0",
    ],
    ids=["parentheses", "negations", "sums", "functions"],
)
def test_an_expression_without_end_is_refused_in_a_short_message(condition: str, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_bytes(ROWS)
    with pytest.raises(BadInput, match=r"nested too deeply|at most 10,000 are read") as refused:
        examination.examine(Settings.load(tmp_path / "home"), _source(tmp_path, "log.csv", where=condition))
    assert len(str(refused.value)) < 1_000


def test_a_regular_expression_takes_no_longer_than_its_text(tmp_path: Path) -> None:
    """The engine's are RE2: no pattern makes them go back and forth."""
    (tmp_path / "log.csv").write_bytes(ROWS)
    slow = "regexp_matches(concat(text, repeat_text), '(a+)+b')".replace("repeat_text", "'" + "a" * 5_000 + "'")
    begun = time.process_time()
    with pytest.raises(BadInput, match="no rows where"):
        examination.examine(Settings.load(tmp_path / "home"), _source(tmp_path, "log.csv", where=slow))
    assert time.process_time() - begun < 5


def test_a_query_over_files_that_does_not_end_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from found_platform.sources import joins, snapshots
    from found_platform.sources.options import Location

    monkeypatch.setattr(joins, "MOST_SECONDS", 1.0)
    (tmp_path / "log.csv").write_bytes(ROWS)
    endless = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT log.* FROM log, t"
    with pytest.raises(BadInput, match="has not ended within"):
        joins.pull(
            {"log": Location(path=str(tmp_path / "log.csv"))},
            endless,
            "channel 'pay_bill'",
            snapshots.Snapshot(tmp_path / "pulled"),
        )


def test_a_packed_file_in_a_home_does_not_fill_the_process_that_searches_it(tmp_path: Path) -> None:
    from found_platform.erasure import files, proof
    from found_platform.erasure.persons import Persons

    _long_packed_line(tmp_path / "bomb.log.gz")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("log", "w") as entry:
        for _ in range(300):
            entry.write(bytes(1 << 20))
    persons = Persons(frozenset({"somebody"}), frozenset({"ab" * 16}), (), frozenset({"user_id"}))
    assert [files.clean(file, file.name, persons) for file in sorted(tmp_path.iterdir())] == [0, 0]
    hits = proof.search(tmp_path, persons).hits
    assert len(hits) == 2
    assert all("cannot be read: it unpacks to more than" in hit for hit in hits)
