"""Bulk import: what the files hold, that none is left, and a real Milvus server that reads them from a folder or its bucket."""

import contextlib
import datetime as dt
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from found_platform import index, tenancy
from found_platform.embedding import users
from found_platform.erasure import proof, published, servers
from found_platform.erasure.persons import Persons
from found_platform.errors import BadInput, JobFailed
from found_platform.housekeeping import replaced
from found_platform.index import collection, imports, missing, pointer
from found_platform.index.collection import Collection
from found_platform.index.imports import Imports
from found_platform.index.pointer import Publication
from found_platform.index.recall import RecallCheck
from found_platform.index.rows import Rows
from found_platform.privacy.user_keys import UserKeys
from found_platform.scoring import exact
from found_platform.settings import Settings

Server = tuple[str, str]
"""The address of a server, and where it reads files to import."""

AS_OF = dt.date(2026, 3, 1)
WIDTH = 16
NOBODY = Persons(frozenset(), frozenset({"c" * 32}), (), frozenset())


def some_rows(count: int = 1000, *, lists_missing: bool = True) -> Rows:
    """Users of whom every third is without a city and every fourth without an age; every tenth is not published."""
    rng, places = np.random.default_rng(0), range(count)
    keys = UserKeys.of(sorted(rng.bytes(16).hex() for _ in places))
    attributes = pa.table(
        {
            "city": pa.array([None if i % 3 == 0 else f'"{i % 5}" is null' for i in places], pa.string()),
            "age": pa.array([None if i % 4 == 0 else i % 90 for i in places], pa.int64()),
            "spent": pa.array([None if i % 7 == 0 else i / 8 for i in places], pa.float64()),
            "gold": pa.array([None if i % 9 == 0 else i % 2 == 0 for i in places], pa.bool_()),
        }
    )
    return Rows(keys, rng.normal(size=(count, WIDTH)).astype(np.float32), attributes, np.arange(count) % 10 > 0, lists_missing)


def test_missing_values_are_named_beside_what_stands_in_their_place() -> None:
    table = pa.table({"city": ["Aalen", None, None], "age": pa.array([1, 2, None], pa.int64())})
    listed = missing.listed(table)
    assert listed.to_pylist() == [
        {"city": "Aalen", "age": 1, "_missing": []},
        {"city": "", "age": 2, "_missing": ["city"]},
        {"city": "", "age": 0, "_missing": ["city", "age"]},
    ]
    assert missing.asked('(city is not null and city == "is null") or age is null') == (
        '((not array_contains(_missing, "city")) and city == "is null") or array_contains(_missing, "age")'
    )
    assert missing.asked(r'city in ["a \" is null", "age is null"]') == r'city in ["a \" is null", "age is null"]'
    assert missing.tested('(city is not null and city == "age is null")') == {"city"}


@pytest.mark.parametrize("lists_missing", [True, False])
def test_a_file_holds_the_rows_that_would_be_inserted_and_only_its_owner_reads_it(lists_missing: bool, tmp_path: Path) -> None:
    rows = some_rows(lists_missing=lists_missing)
    files = Imports(tmp_path / "home", str(tmp_path / "shared"), "http://milvus")
    name = Path(files._write("users/00000.parquet", rows, 100, 900))
    assert name == Path(files.place) / "users/00000.parquet"
    assert name.is_absolute()
    assert [path.stat().st_mode & 0o077 for path in (name, name.parent, name.parents[1])] == [0, 0, 0]
    records = rows.records(100, 900)
    written = pq.read_table(name).to_pylist()
    assert len(written) == 720
    assert [{**row, "vector": None} for row in written] == [{**row, "vector": None} for row in records]
    assert np.array_equal([row["vector"] for row in written], [row["vector"] for row in records])
    assert files.left() == [("users/00000.parquet", name.stat().st_size)]


def test_an_address_that_no_server_reads_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOUND_MILVUS_URI", "http://127.0.0.1:1")
    for wrong in ("imports", "s3://user:hunter2@bucket", "gs://bucket/folder"):
        monkeypatch.setenv("FOUND_MILVUS_IMPORT_URI", wrong)
        with pytest.raises(BadInput, match="milvus_import_uri"):
            Settings.load(tmp_path)
    for right in ("/shared/imports", "file:///shared/imports", "s3://milvus-bucket/imports"):
        monkeypatch.setenv("FOUND_MILVUS_IMPORT_URI", right)
        files = imports.of(Settings.load(tmp_path))
        assert files is not None
        assert files.place == f"{right.removeprefix('file://')}/found_{tenancy.number(tmp_path)}"


def test_what_a_killed_publication_left_goes_by_an_erasure_or_as_garbage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And an erasure is refused where no setting says where such files lie."""
    monkeypatch.setattr(published, "_collections_with", lambda *_: ([], 0))
    monkeypatch.setattr(replaced, "_collections", lambda *_: [])  # no server answers here
    settings = Settings.load(tmp_path / "home", milvus_uri="http://127.0.0.1:1", milvus_import_uri=str(tmp_path / "shared"))
    files = imports.of(settings)
    assert files is not None
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from found_platform import tenancy; from found_platform.index import imports\n"
        "files = imports.Imports(Path(sys.argv[1]), sys.argv[2], ''); tenancy.note(files.home, tenancy.IMPORTS, files.place)\n"
        "place = Path(files.place) / 'users'; place.mkdir(parents=True); (place / '00000.parquet').write_bytes(b'keys')\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )

    def leave() -> None:
        killed = subprocess.run([sys.executable, "-c", code, str(settings.home), str(tmp_path / "shared")], check=False)
        assert killed.returncode == -9
        assert files.left() == [("users/00000.parquet", 4)]

    settings.home.mkdir()
    leave()
    with pytest.raises(BadInput, match=r"also lie on the folder of imports .*FOUND_MILVUS_IMPORT_URI"):
        servers.check_all_reached(settings.model_copy(update={"milvus_import_uri": None}))
    servers.check_all_reached(settings)
    result = proof.Search()
    published.search(settings, NOBODY, result)
    assert result.hits == [f"{files.place}/users/00000.parquet for the Milvus server"]
    assert published.rebuild(settings, NOBODY) == 0
    assert files.left() == []
    servers.check_all_reached(settings.model_copy(update={"milvus_import_uri": None}))

    leave()
    live = Publication("v1-2026-03-01-20260301T000000000000.db", "1", "2026-03-01", 1, 1.0, pointer.now())
    (settings.home / "index").mkdir()
    pointer.move(settings, pointer.PUBLISHED, live, None)
    pieces = list(replaced.INDEXES.find(settings, time.time()))
    assert [piece.bytes for piece in pieces] == [4]
    pieces[0].remove()
    assert files.left() == []


@pytest.mark.slow
def test_a_server_that_cannot_import_is_a_sentence_and_no_file_is_left(tmp_path: Path, milvus_lite_server: str) -> None:
    """Milvus Lite, as a server of its own, has no such call."""
    files = Imports(tmp_path / "home", str(tmp_path / "shared"), milvus_lite_server)
    rows = some_rows(lists_missing=False)
    with collection.connect(milvus_lite_server) as connection:
        users_of = Collection(connection.client, "users", files)
        with pytest.raises(JobFailed, match=r"did not import .*00000\.parquet: Method not implemented\. ") as why:
            users_of.fill(rows.keys, rows.vectors, rows.attributes, rows.kept, "FLAT")
    assert "What was published before serves on. FOUND_MILVUS_IMPORT_URI must name what that server reads" in str(why.value)
    assert files.left() == []


@pytest.fixture(scope="module", params=["folder", "bucket"])
def real(
    request: pytest.FixtureRequest, milvus_start: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A real server, with files of this machine and with a bucket of S3."""
    if request.param == "folder":
        with milvus_start() as uri:
            yield uri, str(tmp_path_factory.mktemp("shared"))
        return
    client, _ = request.getfixturevalue("lakes")
    client.create_bucket(Bucket="milvus")
    port = request.getfixturevalue("bucket")[1].rpartition(":")[2]
    at = {"address": "127.0.0.1", "port": port, "region": "us-east-1", "bucketName": "milvus"}
    with milvus_start("common.storageType=minio", *(f"minio.{name}={value}" for name, value in at.items())) as uri:
        yield uri, "s3://milvus/imports"


@pytest.fixture(scope="module")
def local(bench: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, str]:
    """A home of 1,000 simulated users with a model."""
    settings = bench.make_home(tmp_path_factory.mktemp("imports") / "home", 1000)
    return settings, bench.add_version(settings, WIDTH, 1)


@pytest.mark.long
def test_a_real_server_answers_alike_by_import_and_by_inserts(
    real: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is older than 2.5, and knows no missing values."""
    monkeypatch.setattr(imports, "FILE_USERS", 600)
    uri, shared = real
    rows = some_rows()
    answers = []
    for name, files in (("imported", Imports(tmp_path, shared, uri)), ("inserted", None)):
        with collection.connect(uri) as connection:
            assert missing.are_listed(connection.client)
            users_of = Collection(connection.client, name, files)
            users_of.fill(rows.keys, rows.vectors, rows.attributes, rows.kept, "FLAT")
            tests = ["", "city is null", "(age is not null and age >= 40)", '(city is not null and city == "\\"1\\" is null")']
            tests += ["gold is null", "(gold is not null and gold == true)", "(spent is not null and spent < 10.5)"]
            answers.append([(users_of.count(test), users_of.search(rows.vectors[:3], 20, test)) for test in tests])
            assert users_of.width == WIDTH
            with pytest.raises(index.IndexBusy, match="before it knew town"):
                users_of.search(rows.vectors[:1], 1, "town is null")
        assert files is None or files.left() == []
    assert answers[0] == answers[1]
    places = range(1000)
    assert [count for count, _ in answers[0]][:3] == [
        900,
        sum(i % 3 == 0 and i % 10 > 0 for i in places),
        sum(i % 4 > 0 and i % 90 >= 40 and i % 10 > 0 for i in places),
    ]


@pytest.mark.long
def test_a_home_publishes_by_import_and_a_failed_one_leaves_what_serves(
    real: Server, local: tuple[Settings, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "FILE_USERS", 600)
    uri, shared = real
    of_model, version = local
    home = Path(shutil.copytree(of_model.home, tmp_path / "home"))
    settings = of_model.model_copy(update={"home": home, "milvus_uri": uri, "milvus_import_uri": shared})
    files = imports.of(settings)
    assert files is not None

    def alias() -> str:
        with collection.connect(uri) as connection:
            return connection.client.describe_alias(f"found_{tenancy.number(settings.home)}_live")["collection_name"]

    def answers(publication: Publication) -> bool:
        names, vectors, events = users.load(settings, version, AS_OF)
        query = np.ones(WIDTH, np.float32)
        best = [names[i] for i in exact.top_users(vectors, query, 20, events > 0)[0]]
        return [key for key, _ in index.search(settings, publication, query, 20)] == best

    first, second = (index.publish(settings, version, AS_OF) for _ in range(2))
    assert [check.recall for check in second.recall_checks] == [1.0] * 4, "also under filters"
    assert all(isinstance(check, RecallCheck) for check in second.recall_checks)
    assert answers(second)
    assert files.left() == []
    live = alias()
    with monkeypatch.context() as other:
        other.setattr(Imports, "_write", lambda *_: "of/another/place.parquet")
        with pytest.raises(JobFailed, match="did not import"):
            index.publish(settings, version, AS_OF)
    with monkeypatch.context() as hurry:
        hurry.setattr(imports, "JOB_SECONDS", 0.0)
        with pytest.raises(JobFailed, match="after 0 seconds it is"):
            index.publish(settings, version, AS_OF)
    assert files.left() == []
    assert index.live(settings) == second
    assert alias() == live
    assert answers(second)
    bad, good = index.rollback(settings)
    assert (bad, good) == (second, first)
    assert alias() != live
    assert answers(first)
    result = proof.Search()
    somebody = Persons(frozenset(), frozenset({users.load(settings, version, AS_OF)[0][0]}), (), frozenset())
    published.search(settings, somebody, result)
    assert result.hits
    with contextlib.suppress(JobFailed):
        files.clear()
