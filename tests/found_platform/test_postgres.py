"""Records in PostgreSQL: a home is moved there whole or not at all, and works there as it does with its files."""

import datetime as dt
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sql
from conftest import call_found

from dagster_defs import runs, staleness
from dagster_defs.execution import open_instance
from found_platform import database, erasure, registry
from found_platform.app import audiences, housekeeping, lookups, models
from found_platform.app.context import Actor, Context
from found_platform.app.lookups import Question, Size
from found_platform.audiences import membership
from found_platform.errors import BadInput, JobFailed
from found_platform.housekeeping import expiry, moving
from found_platform.privacy import audit
from found_platform.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.long]

GOLD = Question("people who will soon buy gold", mode="aligned")
ANN = Actor("ann", "test")


def records(settings: Settings) -> dict[str, object]:
    """What a home knows of its runs, partitions, versions and questions."""
    with open_instance(settings) as instance:
        logs = {
            run.run_id: (run.status, sorted(map(dg.serialize_value, instance.all_logs(run.run_id)))) for run in instance.get_runs()
        }
        numbers = {
            str(key): instance.event_log_storage.get_latest_storage_id_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION)
            for key in instance.all_asset_keys()
        }
    return {
        "logs": logs,
        "numbers": numbers,
        "states": staleness.of_home(settings),
        "versions": registry.versions(settings),
        "champion": registry.version_of(settings, registry.CHAMPION),
        "audit": audit.entries(settings),
    }


@pytest.fixture(scope="module")
def in_files(settings: Settings, database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A copy of the demo's home that still keeps its records itself."""
    return Settings.load(Path(shutil.copytree(settings.home, tmp_path_factory.mktemp("moved") / "found")))


@pytest.fixture(scope="module")
def moved(in_files: Settings, database_url: str) -> Iterator[tuple[dict[str, object], Settings]]:
    """What a home knew before it was moved, and the home since."""
    before = records(in_files)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(database.SETTING, database_url)
        outcome = call_found("move-database", "--home", in_files.home)
        assert outcome.status == 0, outcome.err
        yield before, Settings.load(in_files.home)
        database.drop_schemas(database_url, str(database.marked(in_files.home)))


def test_a_home_and_a_setting_that_do_not_belong_together_are_refused(
    in_files: Settings, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(database.SETTING, database_url)
    outcome = call_found("status", "--home", in_files.home)
    assert (outcome.status, "`found move-database --home" in outcome.err) == (2, True), outcome.err
    monkeypatch.setenv(database.SETTING, "postgresql://nobody:hunter3@127.0.0.1:9/found")
    outcome = call_found("move-database", "--home", in_files.home)
    assert (outcome.status, "database found at 127.0.0.1 cannot be used" in outcome.err) == (2, True), outcome.err
    assert "hunter3" not in outcome.err
    monkeypatch.setenv(database.SETTING, "mysql://hunter3@localhost/x")
    outcome = call_found("status", "--home", in_files.home)
    assert (outcome.status, "FOUND_DATABASE_URL" in outcome.err, "hunter3" in outcome.err) == (2, True, False), outcome.err


def test_a_new_home_has_its_records_in_postgres_from_the_first_command(
    database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(database.SETTING, database_url)
    home = Settings.load(tmp_path / "new")
    audit.record(home, "find")
    with open_instance(home) as instance:
        instance.add_dynamic_partitions("audiences", ["gold"])
    with open_instance(home) as instance:
        assert instance.get_dynamic_partitions("audiences") == ["gold"]
    assert [row["action"] for row in audit.entries(home)] == ["find"]
    assert not database.in_files(home.home)
    hidden = [path for path in home.home.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]
    assert not hidden, "the password is in no file of the home"
    configuration = home.dagster_home / "dagster.yaml"
    configuration.write_text("storage: {sqlite: {base_dir: /tmp}}")
    with pytest.raises(BadInput, match="has a `storage:` of its own"), open_instance(home):
        pass
    (home.home / database.MARKER).write_text('{"number": "x; DROP TABLE"}')
    with pytest.raises(BadInput, match=r"database\.json is damaged"):
        Settings.load(home.home)


def schemas(url: str) -> set[str]:
    with sql.create_engine(database.address(url, "public")).connect() as con:
        rows = con.exec_driver_sql("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'found%%'")
        return {name for (name,) in rows}


@pytest.mark.parametrize("killed", [False, True], ids=["failed", "killed"])
def test_a_move_that_fails_leaves_the_home_as_it_was(
    in_files: Settings, database_url: str, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    """A killed one leaves tables in the database that nobody reads; the next move removes them."""

    def fails(*_: object) -> dict[str, int]:
        raise JobFailed("The disk of the server is full.")

    def files() -> dict[str, bytes]:
        return {
            name: path.read_bytes()
            for name in ("audit.db", "mlflow/mlflow.db", "dagster/dagster.yaml")
            if (path := in_files.home / name).exists()
        }

    before, others = files(), schemas(database_url)
    changed = in_files.model_copy(update={"database_url": database_url})
    with monkeypatch.context() as patch:
        if killed:
            patch.setattr(database, "drop_schemas", lambda *_: None)
        with pytest.raises(JobFailed, match="The disk of the server is full"):
            moving.move(changed, {"audit": moving.COPIES["audit"], "dagster": fails})
    assert files() == before
    assert call_found("model", "list", "--home", in_files.home).status == 0
    assert not (in_files.home / database.MARKER).exists()
    if killed:
        left = next(iter(schemas(database_url) - others)).split("_")[1]
        (in_files.home / moving.BEGUN).write_text(left)
        with pytest.raises(JobFailed):
            moving.move(changed, {"dagster": fails})
    assert schemas(database_url) == others


def test_a_home_that_somebody_works_in_is_not_moved(in_files: Settings, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(database.SETTING, database_url)
    with sqlite3.connect(in_files.home / "audit.db") as con:
        con.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr(moving, "WRITE_SECONDS", 0.1)
        outcome = call_found("move-database", "--home", in_files.home)
        assert (outcome.status, "is written at this moment" in outcome.err) == (1, True), outcome.err
    con.close()
    reader = [sys.executable, "-c", "import sys; file = open(sys.argv[1]); print(); input()", str(in_files.home / "audit.db")]
    with subprocess.Popen(reader, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        server.stdout.readline()
        outcome = call_found("move-database", "--home", in_files.home)
        server.communicate(b"\n")
    assert (outcome.status, f"Process {server.pid} (" in outcome.err) == (1, True), outcome.err


def test_runs_versions_and_audit_are_the_same_after_the_move(moved: tuple[dict[str, object], Settings]) -> None:
    before, home = moved
    after = records(home)
    assert audit.entries(home)[0]["action"] == "move database"
    after["audit"] = [row for row in audit.entries(home) if row["action"] != "move database"]
    for name, value in before.items():
        assert after[name] == value, name
    assert not database.in_files(home.home)
    assert (home.home / moving.ASIDE / "audit.db").exists()
    outcome = call_found("move-database", "--home", home.home)
    assert (outcome.status, "has the records of this home already" in outcome.out) == (0, True)


def test_a_moved_home_without_the_setting_is_refused(
    moved: tuple[dict[str, object], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(database.SETTING)
    outcome = call_found("status", "--home", moved[1].home)
    assert (outcome.status, "set FOUND_DATABASE_URL" in outcome.err) == (2, True), outcome.err


def test_the_database_of_another_home_is_refused(moved: tuple[dict[str, object], Settings], tmp_path: Path) -> None:
    database.mark(tmp_path, "00000000")
    with pytest.raises(BadInput, match="it is another database than that of this home"):
        database.of_home(tmp_path, moved[1].database_url)


def test_the_audit_in_postgres_refuses_to_change_or_remove_a_row(moved: tuple[dict[str, object], Settings]) -> None:
    store = moved[1].postgres
    assert store is not None
    for statement in ("UPDATE audit_log SET who = 'nobody'", "DELETE FROM audit_log", "TRUNCATE audit_log"):
        with pytest.raises(sql.exc.DBAPIError, match="the audit only grows"), store.opened(database.AUDIT) as con:
            con.exec_driver_sql(statement)


def test_old_rows_of_the_audit_go_as_the_setting_asks_and_it_refuses_every_other_change_as_before(
    moved: tuple[dict[str, object], Settings],
) -> None:
    home = moved[1].model_copy(update={"retention": "audit=30"})
    rows = audit.part(home, limit=1)[0]
    assert rows
    today = dt.datetime.now(dt.UTC).date()
    (kept,) = expiry.expire(home, today)
    assert (kept.count, audit.part(home, limit=1)[0]) == (0, rows + 1), "a row of the expiry itself, and none is old"
    (dry,) = expiry.plan(home, today + dt.timedelta(days=31))
    (went,) = expiry.expire(home, today + dt.timedelta(days=31))
    assert dry.count == went.count == rows + 1
    assert [row["action"] for row in audit.entries(home)] == ["expire"]
    store = home.postgres
    assert store is not None
    with pytest.raises(sql.exc.DBAPIError, match="the audit only grows"), store.opened(database.AUDIT) as con:
        con.exec_driver_sql("DELETE FROM audit_log")


def test_audiences_indexes_and_models_change_in_postgres_as_in_files(
    moved: tuple[dict[str, object], Settings], cutoff: dt.date
) -> None:
    home = moved[1]
    context = Context(home.home, ANN)
    answer = [(u.user_id, u.score) for u in lookups.find(context, lookups.Find(GOLD, Size(top=20))).audience.users]
    audiences.save(context, audiences.Save("gold", audiences.Draft(GOLD, Size(top=20))))
    assert membership.last(home, "gold")
    runs.publish(home, cutoff)
    assert [(u.user_id, u.score) for u in lookups.find(context, lookups.Find(GOLD, Size(top=20))).audience.users] == answer
    assert models.list_versions(context)
    assert [row["action"] for row in audit.part(home, audience="gold", limit=1)[1]] == ["refresh"]
    with open_instance(home) as instance:
        assert instance.get_latest_materialization_event(dg.AssetKey(["audience_members"]))
    assert not database.in_files(home.home), "nothing is written into files again"
    assert housekeeping.collect(context, housekeeping.Collect()).kinds
    assert call_found("doctor", "--home", home.home).status in (0, 1)


def test_an_erasure_reaches_the_records_in_postgres(moved: tuple[dict[str, object], Settings]) -> None:
    home = moved[1]
    context = Context(home.home, ANN)
    user = lookups.find(context, lookups.Find(GOLD, Size(top=1))).audience.users[0].user_id
    audit.record(home, "find", question={"sentence": f"people like {user} here"})
    certificate = erasure.erase(home, (user,))
    assert certificate.steps["records"]["records in PostgreSQL"] >= 1
    assert "PostgreSQL" in certificate.not_covered[-1]
    assert not any(user in str(row["question"]) for row in audit.entries(home))
