"""Searching bytes for persons: every way in which a file may hold an id, and none in which it only seems to."""

import base64
import gzip
import sqlite3
import time
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from found_platform.erasure import files, proof
from found_platform.erasure.needles import Needles
from found_platform.erasure.persons import Persons
from found_platform.privacy import keys
from found_platform.settings import Settings

ANN, BOB, ONE = "ann@example.com", "17001234", "1"


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return Settings.load(tmp_path / "home", secret="00" * 16)


def test_ten_thousand_ids_that_begin_alike_are_searched_for_as_fast_as_a_few() -> None:
    ids = [f"customer-{n:08d}" for n in range(20_000)]
    needles = Needles((user.encode() for user in ids), ())
    text = "\n".join(f"customer-{n:08d},{n}" for n in range(19_990, 60_000)).encode()
    begun = time.process_time()
    hits = [needle.decode() for _, needle in needles.places(text)]
    assert hits == ids[19_990:]
    assert time.process_time() - begun < 2, "40,000 places that begin like an id, each held against all of them"
    assert list(Needles((), ()).places(text)) == []


@pytest.fixture
def persons(home: Settings) -> Persons:
    home.home.mkdir()
    return Persons.of(home, (ANN, BOB, ONE), ("user_id", "customer"))


def key_of(home: Settings, user: str) -> str:
    return keys.user_key(keys.home_secret(home), user)


def hits(home: Settings, persons: Persons) -> list[str]:
    return [name for name in proof.search(home.home, persons).hits if not name.startswith("locks")]


WAYS = {
    "alone": ANN.encode(),
    "json": b'{"user": "' + ANN.encode() + b'"}',
    "utf-16": ANN.encode("utf-16"),
    "utf-16-be": ANN.encode("utf-16-be"),
    "hex": ANN.encode().hex().encode(),
    "hex in capitals": ANN.encode().hex().upper().encode(),
    **{f"base64 after {n}": base64.b64encode(b"x" * n + ANN.encode() + b"yz") for n in range(4)},
    "between zeros": b"\0\1" + BOB.encode() + b"\0",
    "gzip": gzip.compress(b"a," + BOB.encode() + b"\n"),
    "gzip in gzip": gzip.compress(gzip.compress(ANN.encode())),
    "far in": b"x" * (proof.ROWS * 50) + b" " + BOB.encode(),
}


# Named by the key: compressed bytes hold the time of day, and two workers have to call a test the same.
@pytest.mark.parametrize("content", WAYS.values(), ids=WAYS.keys())
def test_an_id_is_found_however_it_is_written(content: bytes, home: Settings, persons: Persons) -> None:
    (home.home / "file.bin").write_bytes(content)
    assert hits(home, persons) == ["file.bin"]


def test_a_user_key_is_found_in_text_in_arrays_and_as_the_bytes_that_it_is(home: Settings, persons: Persons) -> None:
    key = key_of(home, BOB)
    for number, content in enumerate((key.encode(), b"0123456789abcdef" * 2 + key.encode() + b"f" * 32, bytes.fromhex(key))):
        (home.home / f"{number}.bin").write_bytes(content)
    assert len(hits(home, persons)) == 3


def test_longer_ids_that_hold_an_erased_one_are_not_it(home: Settings, persons: Persons) -> None:
    (home.home / "others.txt").write_text("joann@example.com\n170012345\n917001234\n0.17001234\n".replace("0.17001234\n", ""))
    assert hits(home, persons) == []


def test_an_id_is_found_in_pages_that_are_compressed_lists_and_structs(home: Settings, persons: Persons) -> None:
    tables = {
        "texts": pa.table({"note": ["nothing", f"mail to {ANN} "]}),
        "numbers": pa.table({"customer_number": [1, int(BOB)]}),
        "lists": pa.table({"left_out": pa.array([[], ["x", key_of(home, ONE)]])}),
        "structs": pa.table({"who": pa.array([{"name": {"mail": ANN}}])}),
        "short": pa.table({"customer": [1, 2]}),
        "no_id": pa.table({"amount": [1, 2]}),
    }
    for name, table in tables.items():
        pq.write_table(table, home.home / f"{name}.parquet", compression="zstd")
    assert hits(home, persons) == ["lists.parquet", "numbers.parquet", "short.parquet", "structs.parquet", "texts.parquet"]


def test_an_id_is_found_in_a_database_an_archive_and_a_list_of_short_ids(home: Settings, persons: Persons) -> None:
    with sqlite3.connect(home.home / "some.db") as con:
        con.execute("CREATE TABLE t (a TEXT, b BLOB)")
        con.execute("INSERT INTO t VALUES (?, ?)", ["-" * 5000 + ANN + "-" * 5000, b""])
    con.close()
    with zipfile.ZipFile(home.home / "some.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.json", f'["{ANN}"]' * 50)
    (home.home / "short.csv").write_text("user_id,amount\n2,1\n1,7\n")
    (home.home / "other.csv").write_text("user_id,amount\n2,1\n3,1\n")
    assert hits(home, persons) == ["short.csv", "some.db", "some.zip"]


def test_files_are_written_anew_without_persons_and_keep_everybody_else(home: Settings, persons: Persons) -> None:
    key = key_of(home, ANN)
    (home.home / "export.csv").write_text(f'user_id,score\n"{ANN}",0.5\ncat,0.4\n1,0.3\n')
    (home.home / "ids.txt").write_text("1\n11\n")
    (home.home / "packed.csv.gz").write_bytes(gzip.compress(f"user_id\n{BOB}\ncat\n".encode()))
    (home.home / "report.json").write_text(f'{{"users": ["{key}"]}}')
    pq.write_table(pa.table({"user_id": ["1", "cat"], "n": [1, 1]}), home.home / "labels.parquet")
    with zipfile.ZipFile(home.home / "some.zip", "w") as archive:
        archive.writestr("inner.csv", f"user_id\n{ANN}\ncat\n")
    with sqlite3.connect(home.home / "log.db") as con:
        con.execute("CREATE TABLE log (line TEXT)")
        con.execute("CREATE TRIGGER no_change BEFORE UPDATE ON log BEGIN SELECT RAISE(ABORT, 'it only grows'); END")
        con.execute("INSERT INTO log VALUES (?), ('cat')", [f"asked for {ANN}"])
    con.close()
    assert len(files.clean_all(home, persons)) == 7
    assert hits(home, persons) == []
    assert (home.home / "export.csv").read_text() == "user_id,score\ncat,0.4\n"
    assert (home.home / "ids.txt").read_text() == "11\n"
    assert gzip.decompress((home.home / "packed.csv.gz").read_bytes()) == b"user_id\ncat\n"
    assert (home.home / "report.json").read_text() == '{"users": ["erased"]}'
    assert pq.read_table(home.home / "labels.parquet").to_pylist() == [{"user_id": "cat", "n": 1}]
    with sqlite3.connect(home.home / "log.db") as con:
        assert con.execute("SELECT line FROM log").fetchall() == [("asked for erased",), ("cat",)]
        with pytest.raises(sqlite3.IntegrityError, match="only grows"):
            con.execute("UPDATE log SET line = ''")
    con.close()
