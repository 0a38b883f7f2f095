"""Every kind of place takes the members whole and as changes, twice without a difference, and refuses in one sentence."""

import csv
import datetime as dt
import hashlib
import io
import json
import os
import socket
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import paramiko
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import small_stores
from deltalake import DeltaTable, write_deltalake

from found_platform.audiences import receivers
from found_platform.audiences.membership import MEMBERS_SCHEMA
from found_platform.audiences.receivers import CHANGES, WHOLE, NotTaken, Place, Shipment
from found_platform.audiences.receivers.ads import normal_email, normal_phone
from found_platform.errors import BadInput


def rows(*users: str) -> pa.Table:
    """As members are kept: each has an id and a score."""
    schema = pa.schema([pa.field("user_id", pa.string()), *(MEMBERS_SCHEMA.field(name) for name in ("score", "probability"))])
    return pa.table({"user_id": list(users), "score": [0.5] * len(users), "probability": [None] * len(users)}, schema)


FIRST = Shipment("d1", "gold", 1, WHOLE, dt.date(2024, 3, 1), "7", "7-1", rows("a", "0017", "c"), [])
THEN = replace(FIRST, delivery="d2", refresh=2, content=CHANGES, rows=rows("d"), removed=["0017"])
OTHER = replace(FIRST, delivery="d3", audience="it's tea", rows=rows("a"))


def send(place: Place, *shipments: Shipment) -> list[str]:
    receivers.check(place)
    return [receivers.of(place.address).send(place, shipment) for shipment in shipments]


S3 = {"AWS_ACCESS_KEY_ID": "${FOUND_TEST_SECRET}", "AWS_SECRET_ACCESS_KEY": "${FOUND_TEST_SECRET}", "AWS_REGION": "us-east-1"}


@pytest.fixture(params=["file", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, dict[str, str]]:
    """The address of a folder, here or on object storage, and its options."""
    if request.param == "file":
        return f"file://{tmp_path}", {}
    _, address = request.getfixturevalue("bucket")
    return f"s3://events/{tmp_path.name}", {**S3, "AWS_ENDPOINT_URL": address, "AWS_ALLOW_HTTP": "true"}


@pytest.mark.slow
def test_a_delta_table_holds_the_present_members_and_its_log_names_nobody(
    store: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    place = Place(f"delta+{store[0]}/members", store[1])
    uri, options = place.store, place.opened()
    send(place, FIRST, OTHER)
    send(place, THEN, THEN)  # who sends it again changes nothing
    table = DeltaTable(uri, storage_options=options)
    members = sorted((row["audience"], row["user_id"], row["refresh"]) for row in table.to_pyarrow_table().to_pylist())
    assert members == [("gold", "a", 1), ("gold", "c", 1), ("gold", "d", 2), ("it's tea", "a", 1)]
    send(place, replace(FIRST, rows=rows("z")))
    assert sorted(DeltaTable(uri, storage_options=options).to_pyarrow_table()["user_id"].to_pylist()) == ["a", "z"]
    if not options:
        assert not any("0017" in log.read_text() for log in (tmp_path / "members/_delta_log").glob("*.json"))


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Callable[[str], list[tuple]]]:
    """The address of a database, and what asks it."""
    if request.param == "sqlite":
        sqlite3.connect(tmp_path / "crm.db").execute("CREATE TABLE taken (audience)")
        return f"sqlite:///{tmp_path}/crm.db", lambda sql: sqlite3.connect(tmp_path / "crm.db").execute(sql).fetchall()
    url = request.getfixturevalue("postgres")
    import psycopg

    host = url.partition("host=")[2]

    def ask(sql: str) -> list[tuple]:
        with psycopg.connect(host=host, user="shop", password="hunter2", dbname="postgres") as con:
            return con.execute(sql).fetchall() if sql.startswith("SELECT") else [con.execute(sql) and ()]

    ask("CREATE TABLE IF NOT EXISTS taken (audience text)")
    return url, ask


def test_a_table_of_a_database_holds_the_present_members(database: tuple[str, Callable[[str], list[tuple]]]) -> None:
    url, ask = database
    place = Place(f"{url}#members")
    send(place, FIRST, OTHER, THEN, THEN)
    members = ask("SELECT audience, user_id, refresh FROM members ORDER BY 1, 2")
    assert members == [("gold", "a", 1), ("gold", "c", 1), ("gold", "d", 2), ("it's tea", "a", 1)]
    send(place, replace(FIRST, rows=rows()))
    assert ask("SELECT audience, user_id FROM members") == [("it's tea", "a")]
    with pytest.raises(NotTaken, match="the table taken has no column 'user_id'"):
        send(Place(f"{url}#taken"), FIRST)
    assert ask("SELECT count(*) FROM taken") == [(0,)]


def test_a_database_that_fails_halfway_keeps_what_it_had(tmp_path: Path) -> None:
    place = Place(f"sqlite:///{tmp_path}/crm.db#members")
    sqlite3.connect(tmp_path / "crm.db").close()
    (tmp_path / "crm.db").touch()
    send(place, FIRST)
    with pytest.raises(NotTaken, match="UNIQUE constraint"):
        send(place, replace(FIRST, rows=rows("x", "x")))
    with sqlite3.connect(tmp_path / "crm.db") as con:
        assert con.execute("SELECT user_id FROM members ORDER BY 1").fetchall() == [("0017",), ("a",), ("c",)]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_files_appear_with_where_they_come_from(kind: str, store: tuple[str, dict[str, str]], tmp_path: Path) -> None:
    place = Place(f"{kind}+{store[0]}", store[1])
    send(place, FIRST, THEN, THEN)
    name = f"gold-0002-d2.{kind}"
    if place.is_local:
        files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    else:
        import boto3

        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
        client = boto3.client("s3", endpoint_url=store[1]["AWS_ENDPOINT_URL"], **keys)
        objects = client.list_objects_v2(Bucket="events", Prefix=tmp_path.name)["Contents"]
        files = {
            each["Key"].rpartition("/")[2]: client.get_object(Bucket="events", Key=each["Key"])["Body"].read() for each in objects
        }
    assert sorted(files) == sorted(f"{n}{end}" for n in (name, f"gold-0001-d1.{kind}") for end in ("", ".provenance.json"))
    about = json.loads(files[f"{name}.provenance.json"])
    assert about["sha256"] == hashlib.sha256(files[name]).hexdigest()
    assert (about["audience"], about["content"], about["model_version"]) == ("gold", "changes", "7")
    if kind == "csv":
        content = list(csv.DictReader(io.StringIO(files[name].decode())))
    else:
        content = pq.read_table(io.BytesIO(files[name])).to_pylist()
    assert [(row["user_id"], row["change"]) for row in content] == [("d", "joined"), ("0017", "left")]


AZURE = {"AZURE_STORAGE_USE_EMULATOR": "true"}


def google(address: str) -> str:
    """A key of a service account, of a store that asks for none."""
    unused = dict.fromkeys(("private_key", "private_key_id", "client_email"), "")
    return json.dumps({"gcs_base_url": address, "disable_oauth": True, **unused})


@pytest.mark.parametrize("scheme", ["az", "gs"])
def test_files_are_written_in_the_words_of_azure_and_google(scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with small_stores.running(tmp_path) as address:
        monkeypatch.setenv("AZURITE_BLOB_STORAGE_URL", address)
        monkeypatch.setenv("FOUND_TEST_KEY", google(address))
        options = AZURE if scheme == "az" else {"GOOGLE_SERVICE_ACCOUNT_KEY": "${FOUND_TEST_KEY}"}
        send(Place(f"csv+{scheme}://crm/audiences", options), FIRST)
    folder = tmp_path / ("devstoreaccount1" if scheme == "az" else "") / "crm" / "audiences"
    assert sorted(os.listdir(folder)) == ["gold-0001-d1.csv", "gold-0001-d1.csv.provenance.json"]
    rows_of_file = list(csv.DictReader(io.StringIO((folder / "gold-0001-d1.csv").read_text())))
    assert [row["user_id"] for row in rows_of_file] == ["a", "0017", "c"]


class Sftp(paramiko.SFTPServerInterface):
    """Files of a folder."""

    folder: Path

    def open(self, path: str, flags: int, attr: Any) -> Any:
        handle = paramiko.SFTPHandle(flags)
        handle.writefile = (self.folder / path.lstrip("/")).open("wb")  # type: ignore[attr-defined]
        return handle

    def stat(self, path: str) -> Any:
        return paramiko.SFTPAttributes.from_stat((self.folder / path.lstrip("/")).stat())

    def posix_rename(self, oldpath: str, newpath: str) -> int:
        (self.folder / oldpath.lstrip("/")).rename(self.folder / newpath.lstrip("/"))
        return paramiko.SFTP_OK


class Door(paramiko.ServerInterface):
    """Lets one user in."""

    key: paramiko.PKey

    def check_auth_password(self, username: str, password: str) -> int:
        return paramiko.AUTH_SUCCESSFUL if (username, password) == ("crm", "hunter2") else paramiko.AUTH_FAILED

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return paramiko.AUTH_SUCCESSFUL if (username, key) == ("crm", self.key) else paramiko.AUTH_FAILED

    def get_allowed_auths(self, username: str) -> str:
        return "password,publickey"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED


@pytest.fixture
def sftp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Place, Path]]:
    """A server whose key is known, and the folder that it writes."""
    key, folder = paramiko.ECDSAKey.generate(), tmp_path / "there"
    (folder / "in").mkdir(parents=True)
    monkeypatch.setattr(Sftp, "folder", folder, raising=False)
    own = paramiko.ECDSAKey.generate()
    own.write_private_key_file(str(tmp_path / "id"))
    monkeypatch.setattr(Door, "key", own, raising=False)
    monkeypatch.setenv("CRM_PASSWORD", "hunter2")
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                transport = paramiko.Transport(listening.accept()[0])
                transport.add_server_key(key)
                transport.set_subsystem_handler("sftp", paramiko.SFTPServer, Sftp)
                transport.start_server(server=Door())
            except (OSError, paramiko.SSHException, EOFError):
                return

    threading.Thread(target=serve, daemon=True).start()
    port = listening.getsockname()[1]
    (tmp_path / "hosts").write_text(f"[127.0.0.1]:{port} {key.get_name()} {key.get_base64()}\n")
    options = {"password": "${CRM_PASSWORD}", "known_hosts": str(tmp_path / "hosts")}
    yield Place(f"csv+sftp://crm@127.0.0.1:{port}/in", options), folder / "in"
    listening.close()


def test_files_go_to_a_host_that_is_known_and_to_no_other(sftp: tuple[Place, Path], tmp_path: Path) -> None:
    place, folder = sftp
    send(place, FIRST, FIRST)
    assert sorted(os.listdir(folder)) == ["gold-0001-d1.csv", "gold-0001-d1.csv.provenance.json"]
    assert "0017" in (folder / "gold-0001-d1.csv").read_text()
    (tmp_path / "hosts").write_text("")
    with pytest.raises(NotTaken, match="its key has to be in"):
        send(place, THEN)
    assert len(os.listdir(folder)) == 2


def test_a_key_file_opens_the_door_and_another_one_does_not(sftp: tuple[Place, Path], tmp_path: Path) -> None:
    place, folder = sftp
    options = {"key_file": str(tmp_path / "id"), "known_hosts": place.options["known_hosts"]}
    send(replace(place, options=options), FIRST)
    assert "0017" in (folder / "gold-0001-d1.csv").read_text()
    paramiko.ECDSAKey.generate().write_private_key_file(str(tmp_path / "another"))
    paramiko.ECDSAKey.generate().write_private_key_file(str(tmp_path / "locked"), password="hunter2")
    (tmp_path / "noise").write_text("no key at all")
    reasons = {
        "another": "Authentication failed",
        "locked": "locked is encrypted, and nobody is asked for its passphrase",
        "noise": "noise holds no private key that can be read",
        "nowhere": "No such file or directory: .*nowhere",
    }
    for name, why in reasons.items():
        with pytest.raises(NotTaken, match=why) as refused:
            send(replace(place, options={**options, "key_file": str(tmp_path / name)}), THEN)
        assert "\n" not in str(refused.value)
    assert len(os.listdir(folder)) == 2


CONTACTS = "id,mail,tel\na, Ann@Example.com ,030 1234567\n0017,J.oe+x@GMail.com,\nb,bob@example.com,\nc,nonsense,\n"


def test_an_ad_platform_gets_hashes_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "contacts.csv").write_text(CONTACTS)
    options = {"contacts": str(tmp_path / "contacts.csv"), "user_id": "id", "email": "mail", "phone": "tel", "region": "DE"}
    place = Place(f"ads+file://{tmp_path}/out", options)
    assert send(place, FIRST, THEN) == ["2 of 3 have a contact", "0 of 1 have a contact"]
    content = list(csv.reader((tmp_path / "out/gold-0001-d1.csv").read_text().splitlines()))

    def digest(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    assert content[0] == ["Email", "Phone"]
    expected = [[digest("ann@example.com"), digest("+49301234567")], [digest("joe@gmail.com"), ""]]
    assert content[1:] == sorted(expected)
    left = list(csv.reader((tmp_path / "out/gold-0002-d2-left.csv").read_text().splitlines()))
    assert left[1:] == [[digest("joe@gmail.com"), ""]]
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").iterdir())
    assert not any(text in written.lower() for text in (b"ann@", b"gmail", b"1234567", b"0017"))


def test_contacts_have_one_normal_form() -> None:
    assert [normal_email(t) for t in ("A.B@Example.COM", "a.b+c@googlemail.com", "a@b", "")] == [
        "a.b@example.com",
        "ab@googlemail.com",
        "",
        "",
    ]
    numbers = [normal_phone(t, "DE") for t in ("+1 (650) 253-0000", "0049 30 1234567", "030/1234567", "12", "")]
    assert numbers == ["+16502530000", "+49301234567", "+49301234567", "", ""]
    assert normal_phone("030 1234567", None) == ""  # nobody can say of which country


@pytest.mark.parametrize(
    ("address", "options", "why"),
    [
        ("crm.example", {}, "is no address"),
        ("csv+ftp://host/in", {}, "ftp:// is no store"),
        ("csv+file:///no/such/folder", {}, "is no folder: make it first"),
        ("csv+file://{}/home", {}, "lies within the home"),
        ("csv+file://{}", {"region": "x"}, "csv\\+file has no option 'region': it takes none"),
        ("csv+s3://bucket/x", {"AWS_SECRET_ACCESS_KEY": "hunter2"}, "holds a secret: put it into the environment"),
        ("csv+sftp://host/in", {}, "write csv\\+sftp://user@host/folder"),
        ("delta+sftp://u@host/in", {}, "no store of Delta tables"),
        ("postgresql://u:hunter2@host/db", {}, "holds a password"),
        ("csv+sftp://u:hunter2@host/in", {}, "The address of sftp:// holds a user or a password"),
        ("csv+s3://key:hunter2@bucket/x", {}, "The address of s3:// holds a user or a password"),
        ("https://crm.example/hook?token=hunter2", {}, r"holds a secret \(token=…\), .* write its variable"),
        ("https://u:hunter2@crm.example/hook", {}, "The address of https:// holds a user or a password"),
        ("ads+file://{}", {}, "Say where contacts are"),
        ("ads+file://{}", {"contacts": "{}/none.csv", "email": "mail"}, "none.csv cannot be read: No such file"),
        ("ads+file://{}", {"contacts": "/etc/passwd", "email": "root"}, "name a .csv or a .parquet file"),
        ("ads+file://{}", {"contacts": "{}/c.csv", "email": "post"}, "has no column 'user_id'; it has id, mail, tel"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_place_is_said(address: str, options: dict[str, str], why: str, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "c.csv").write_text(CONTACTS)
    place = Place(address.format(tmp_path), {k: v.format(tmp_path) for k, v in options.items()}, home=tmp_path / "home")
    with pytest.raises(BadInput, match=why) as refused:
        receivers.check(place)
    assert "hunter2" not in str(refused.value)


def test_a_store_that_is_not_reached_is_one_sentence_without_its_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2-hunter2")
    options = {**dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "${SECRET}"), "AWS_REGION": "us-east-1"}
    options |= {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ALLOW_HTTP": "true", "max_retries": "0", "retry_timeout": "1s"}
    for kind in ("csv", "delta"):
        with pytest.raises(NotTaken) as refused:
            send(Place(f"{kind}+s3://bucket/x", options), FIRST)
        assert "\n" not in str(refused.value)
        assert "hunter2" not in str(refused.value)


def test_a_table_that_is_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    write_deltalake(str(tmp_path / "theirs"), pa.table({"audience": ["gold"], "x": [1]}))
    with pytest.raises(NotTaken, match="has no column 'user_id'"):
        send(Place(f"delta+file://{tmp_path}/theirs"), FIRST)
    assert DeltaTable(str(tmp_path / "theirs")).version() == 0


def test_a_webhook_has_its_token_from_the_environment_and_no_message_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            paths.append(self.path)
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200 if len(paths) == 1 else 500)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = Place(f"http://127.0.0.1:{server.server_port}/hook?token=${{HOOK_TOKEN}}", secret="ab" * 16)
        with pytest.raises(NotTaken, match="the environment has no variable HOOK_TOKEN: set it"):
            send(place, FIRST)
        monkeypatch.setenv("HOOK_TOKEN", "hunter2")
        send(place, FIRST)
        with pytest.raises(NotTaken, match="it answered 500") as refused:
            send(place, FIRST)
        server.shutdown()
    assert paths == ["/hook?token=hunter2"] * 2
    assert "hunter2" not in str(refused.value)
