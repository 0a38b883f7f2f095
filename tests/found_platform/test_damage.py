"""Damaged files, closed folders and full disks are said in a sentence, and no value of a user with them."""

import contextlib
import errno
import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy
from deltalake import DeltaTable, write_deltalake
from safetensors.numpy import load_file

from found_platform import damage
from found_platform.app import access, operations
from found_platform.app.context import Actor, Context
from found_platform.cli import main
from found_platform.errors import JobFailed
from found_platform.index import pointer
from found_platform.settings import Settings

NOISE = b"\xff" * 5000


def noise(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_bytes(NOISE)
    return path


def database(folder: Path) -> None:
    with contextlib.closing(sqlite3.connect(noise(folder, "a.db"))) as con:
        con.execute("SELECT * FROM sqlite_master")


def database_below_sqlalchemy(folder: Path) -> None:
    with sqlalchemy.create_engine(f"sqlite:///{noise(folder, 'a.db')}").connect() as con:
        con.execute(sqlalchemy.text("SELECT * FROM sqlite_master"))


def database_of_another(folder: Path) -> None:
    path = folder / "a.db"
    with contextlib.closing(sqlite3.connect(path)) as holder, contextlib.closing(sqlite3.connect(path, timeout=0)) as con:
        holder.execute("BEGIN EXCLUSIVE")
        con.execute("CREATE TABLE t (x)")


def arrow_file(folder: Path) -> None:
    pq.read_table(noise(folder, "a.parquet"))


def duckdb_file(folder: Path) -> None:
    duckdb.sql(f"SELECT * FROM read_parquet('{noise(folder, 'a.parquet')}')").fetchall()


def duckdb_file_gone(folder: Path) -> None:
    duckdb.sql(f"SELECT * FROM read_parquet('{folder / 'a.parquet'}')").fetchall()


def log(folder: Path) -> None:
    write_deltalake(str(folder), pa.table({"x": [1]}))
    noise(folder / "_delta_log", "00000000000000000000.json")
    DeltaTable(str(folder))


def registry(folder: Path) -> None:
    from feast.protos.feast.core.Registry_pb2 import Registry

    Registry().ParseFromString(NOISE)


def model(folder: Path) -> None:
    load_file(noise(folder, "a.safetensors"))


def index(folder: Path) -> None:
    from pymilvus import MilvusException

    raise MilvusException(message="the collection cannot be loaded")


def name_too_long(folder: Path) -> None:
    (folder / ("a" * 300)).read_bytes()


def no_room(folder: Path) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def closed(folder: Path) -> None:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder / "a"))


def read_only(folder: Path) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(folder / "a"))


def folder_in_place_of_a_file(folder: Path) -> None:
    folder.read_bytes()


def document(folder: Path) -> None:
    json.loads("{")


def text(folder: Path) -> None:
    NOISE.decode()


def folder_elsewhere(folder: Path) -> None:
    (folder.parent / "elsewhere" / "a").write_text("a")


DAMAGES: dict[Callable[[Path], None], str] = {
    database: "A database of .* is damaged .*found restore",
    database_below_sqlalchemy: "A database of .* is damaged .*found restore",
    database_of_another: "in use by another process: try again",
    arrow_file: "A file of .* cannot be read .*found restore",
    duckdb_file: "A file of .* cannot be read .*found restore",
    duckdb_file_gone: "A file of .* cannot be read .*found restore",
    log: "A table of .* cannot be read .*found restore",
    registry: "the registry of Feast cannot be read",
    model: "a file of a model cannot be read",
    index: "The index of .* cannot be read .*found publish",
    name_too_long: "is not as it must be .*name another",
    no_room: "No room is left on a disk: .*found gc",
    closed: "a cannot be read or written .*become its owner",
    read_only: "a cannot be read or written .*let its disk be written",
    folder_in_place_of_a_file: "is not as it must be .*found doctor",
    document: r"is damaged \(it is no JSON\): .*found restore",
    text: r"is damaged \(it is no UTF-8 text\): .*found restore",
    folder_elsewhere: "is not as it must be .*name another",
}


@pytest.mark.parametrize("harm", DAMAGES, ids=lambda harm: harm.__name__)
def test_what_is_damaged_is_said_with_what_to_do(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011 (each of another library)
        harm(tmp_path)
    found = damage.of(raised.value, tmp_path)
    assert found is not None
    assert str(found).endswith(".")
    assert "\n" not in str(found)
    with pytest.raises(JobFailed, match=DAMAGES[harm]):
        raise JobFailed(str(found))


def value_of_a_user(folder: Path) -> None:
    duckdb.sql("SELECT CAST('jane@example.com' AS INTEGER)").fetchall()


def value_in_arrow(folder: Path) -> None:
    pa.array(["jane@example.com"]).cast(pa.int64())


def fault_of_the_code(folder: Path) -> None:
    {}["x"]


@pytest.mark.parametrize("fault", [value_of_a_user, value_in_arrow, fault_of_the_code])
def test_a_value_and_a_fault_of_the_code_are_no_damage(tmp_path: Path, fault: Callable[[Path], None]) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011 (each of another library)
        fault(tmp_path)
    assert damage.of(raised.value, tmp_path) is None


@pytest.fixture
def context(tmp_path: Path) -> Context:
    Settings.load(tmp_path, profile="tiny").keep()
    (tmp_path / "source.yaml").touch()
    noise(tmp_path, "access.db")
    return Context(tmp_path, Actor("ann", "test"), paths=False)


def test_a_use_case_says_what_is_damaged_and_no_folder_to_whom_it_is_no_business(context: Context) -> None:
    with pytest.raises(JobFailed, match="A database of this home is damaged") as failed:
        access.list_tokens(context)
    assert str(context.home) not in str(failed.value)


def test_a_command_ends_in_a_sentence_whatever_fails(
    context: Context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["found", "token", "list", "--home", str(context.home)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert "is damaged (file is not a database)" in capsys.readouterr().err


def test_an_error_that_nobody_foresaw_names_its_place_and_no_value(
    context: Context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(_: object) -> None:
        raise KeyError("jane@example.com")

    monkeypatch.setattr("found_platform.app.access.list_tokens", fails)
    monkeypatch.setattr("sys.argv", ["found", "token", "list", "--home", str(context.home)])
    with pytest.raises(SystemExit) as ended:
        main()
    message = capsys.readouterr().err
    assert ended.value.code == 1
    assert "(line" in message
    assert "FOUND_TRACE=1" in message
    assert "jane" not in message
    assert "Traceback" not in message
    monkeypatch.setenv("FOUND_TRACE", "1")
    with pytest.raises(KeyError):
        main()


def test_a_doctor_looks_on_where_one_look_fails(context: Context) -> None:
    def fails(about: object) -> None:
        raise KeyError("jane@example.com")

    def refuses(about: object) -> None:
        raise JobFailed("The pointer is damaged: restore it.")

    findings = list(operations._findings(context, {"first": fails, "second": refuses, "third": database}, context.home))  # type: ignore[dict-item]
    assert [finding.check for finding in findings] == ["first", "second", "third"]
    assert len({finding.key for finding in findings} - {""}) == len(findings), "each is worth an alert of its own"
    assert [finding.problem for finding in findings][:2] == [
        "this could not be looked at",
        "The pointer is damaged: restore it",
    ]


@pytest.mark.parametrize("content", ["{", "{}", "[]", '{"live": {"colour": 1}, "previous": null}', '{"live": null}'])
def test_a_pointer_that_is_none_is_said_with_what_builds_an_index_again(context: Context, content: str) -> None:
    (context.home / "index").mkdir()
    (context.home / "index" / "current.json").write_text(content)
    with pytest.raises(JobFailed, match=r"current.json is damaged: .*found publish --cutoff D"):
        pointer.read(context.settings)
