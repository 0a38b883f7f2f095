"""Backup and restore: a copy of one moment, checked, private, whole or not at all; and who was erased since stays erased."""

import json
import shutil
import sqlite3
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import call_found

from found_platform import row_hash
from found_platform.app import lookups
from found_platform.app.context import Actor, Context
from found_platform.app.lookups import Question, Size
from found_platform.errors import BadInput, JobFailed
from found_platform.home import hold, lock
from found_platform.housekeeping import backup, garbage, restore
from found_platform.privacy import audit, keys, suppression, tombstones
from found_platform.settings import Settings


@pytest.fixture(scope="module")
def home(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    ignored = shutil.ignore_patterns("monitoring", "simulated", "training", "truth")
    return Settings.load(Path(shutil.copytree(settings.home, tmp_path_factory.mktemp("kept") / "found", ignore=ignored)))


@pytest.fixture(scope="module")
def copy(home: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("backups") / "found.tar"
    backup.write(home, path)
    return path


def found_in(settings: Settings) -> list[tuple[str, float]]:
    question = Question("people who will soon buy gold", mode="aligned")
    audience = lookups.find(Context(settings.home, Actor("ann", "test")), lookups.Find(question, Size(top=20))).audience
    return [(user.user_id, user.score) for user in audience.users]


def members(path: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path) as archive:
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None
            yield member.name, file.read()


def test_a_restored_home_answers_as_the_one_it_was_made_of(home: Settings, copy: Path, tmp_path: Path) -> None:
    restored = restore.restore(copy, tmp_path / "again")
    restored_settings = Settings.load(restored.home)
    assert found_in(restored_settings) == found_in(home)
    assert (restored.erased, restored.suppressed) == (None, None)
    for table in ("raw_events", "user_embeddings"):
        assert row_hash.of_table(restored_settings.lake, table) == row_hash.of_table(home.lake, table)


def test_everything_of_a_backup_and_of_what_it_becomes_is_for_its_owner_alone(copy: Path, tmp_path: Path) -> None:
    assert copy.stat().st_mode & 0o077 == 0
    restore.restore(copy, tmp_path / "again")
    assert not [path for path in (tmp_path / "again").rglob("*") if path.stat().st_mode & 0o077]


def test_a_folder_holds_the_same_as_an_archive(home: Settings, copy: Path, tmp_path: Path) -> None:
    manifest = backup.write(home, tmp_path / "folder")
    listed = json.loads((tmp_path / "folder" / backup.MANIFEST).read_text())["files"]
    archived = json.loads(dict(members(copy))[backup.MANIFEST])["files"]
    same = {name for name in archived.keys() & listed.keys() if archived[name] == listed[name]}
    assert archived.keys() - same <= {"audit.db"}, "the audit alone has grown since"
    assert manifest.size == sum(file["bytes"] for file in listed.values())
    restore.restore(tmp_path / "folder", tmp_path / "again")
    assert (tmp_path / "again" / "lake").is_dir()


def test_what_was_changed_cut_off_or_lost_is_refused_and_nothing_is_left(copy: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.tar"
    cut.write_bytes(copy.read_bytes()[: copy.stat().st_size // 2])
    changed = bytearray(copy.read_bytes())
    place = changed.find(b"format: 3")
    changed[place : place + 9] = b"format: 2"
    (tmp_path / "changed.tar").write_bytes(changed)
    for name, why in (("cut.tar", "no whole backup"), ("changed.tar", "settings.yaml of .* its hash is another one")):
        with pytest.raises(BadInput, match=why):
            restore.restore(tmp_path / name, tmp_path / "again")
    with pytest.raises(BadInput, match="There is no backup"):
        restore.restore(tmp_path / "nothing.tar", tmp_path / "again")
    assert {path.name for path in tmp_path.iterdir()} == {"cut.tar", "changed.tar"}


def test_a_list_that_leads_out_of_the_home_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "bad.tar", "w") as archive:
        archive.add(__file__, "../outside")
    with pytest.raises(BadInput, match="outside a home"):
        restore.restore(tmp_path / "bad.tar", tmp_path / "again")
    assert not (tmp_path / "outside").exists()


def test_an_interrupted_backup_leaves_nothing(home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(backup, "_document", killed)
    for name in ("folder", "file.tar.gz"):
        with pytest.raises(KeyboardInterrupt):
            backup.write(home, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_backup_that_was_killed_outright_is_no_backup(home: Settings, copy: Path, tmp_path: Path) -> None:
    (tmp_path / ".found.partial").mkdir()
    (tmp_path / ".found.partial" / "settings.yaml").write_text("format: 3\n")
    with pytest.raises(BadInput, match=f"no {backup.MANIFEST}, which is written last"):
        restore.restore(tmp_path / ".found.partial", tmp_path / "again")
    backup.write(home, tmp_path / "found")
    assert {path.name for path in tmp_path.iterdir()} == {"found"}


def test_it_waits_for_runs_and_holds_off_new_ones(home: Settings, tmp_path: Path) -> None:
    impatient = home.model_copy(update={"wait_minutes": 0.001})
    with hold(home.home, ["run-raw_profile"], "a test", seconds=1), pytest.raises(JobFailed, match="held by pid"):
        backup.write(impatient, tmp_path / "found")
    with lock(home.home, garbage.TURN), pytest.raises(JobFailed, match="An erasure, a collection or another backup"):
        backup.write(home, tmp_path / "found")


def test_a_database_is_copied_as_of_one_moment_while_it_is_written(home: Settings, tmp_path: Path) -> None:
    path, stop = home.home / "audit.db", threading.Event()

    def write() -> None:
        while not stop.is_set():
            audit.record(home, "find", rows=1)

    writer = threading.Thread(target=write)
    audit.record(home, "find")
    writer.start()
    try:
        backup.write(home, tmp_path / "found")
    finally:
        stop.set()
        writer.join()
    with sqlite3.connect(tmp_path / "found" / path.name) as con:
        assert con.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_place_that_is_taken_or_in_the_home_is_refused(home: Settings, copy: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is there already"):
        backup.write(home, copy)
    with pytest.raises(BadInput, match="lies in the home"):
        backup.write(home, home.home / "copy")
    with pytest.raises(BadInput, match="is not empty"):
        restore.restore(copy, home.home)
    with pytest.raises(BadInput, match="is not there: make it first"):
        backup.write(home, tmp_path / "no" / "folder")


def test_who_was_erased_or_suppressed_since_the_backup_stays_so(home: Settings, copy: Path, tmp_path: Path) -> None:
    since = Settings.load(Path(shutil.copytree(home.home, tmp_path / "since")))
    first, second = (user for user, _ in found_in(since)[:2])
    suppression.add(since, (second,), "moved")
    key = keys.user_key(keys.home_secret(since), first)
    tombstones.add(since, keys.home_secret(since), [key])  # the first step of an erasure; the rest is `erasure`'s
    tombstones.settle(since)
    restored = restore.restore(copy, tmp_path / "again", since.home)
    assert (restored.erased, restored.suppressed) == (1, 1)
    again = Settings.load(restored.home)
    assert not {first, second} & {user for user, _ in found_in(again)}
    assert list(again.home.glob("erasures/*.json")), "an erasure writes its certificate when nothing of them is found any more"
    assert tombstones.erased(again, keys.home_secret(again), [key]) == {key}


def test_what_is_left_of_a_lost_home_is_taken_over_and_what_is_not_there_is_said(
    home: Settings, copy: Path, tmp_path: Path
) -> None:
    since = Settings.load(Path(shutil.copytree(home.home, tmp_path / "since")))
    ((user, _), *_) = found_in(since)
    suppression.add(since, (user,), "moved")
    left = tmp_path / "left"
    shutil.copytree(since.home / "lake" / suppression.TABLE, left / "lake" / suppression.TABLE)
    restored = restore.restore(copy, tmp_path / "again", left)
    assert restored.suppressed == 1
    assert [part.partition(" (")[0] for part in restored.missing] == ["erasures", "legal holds", "days that expiry let go"]
    shutil.rmtree(left)
    (left / "erasures").mkdir(parents=True)
    outcome = call_found("restore", copy, "--home", tmp_path / "other", "--since", left)
    assert "has no erasures (erasures/tombstones.db), no suppressions (lake/suppressions), no legal holds" in outcome.out
    assert restore.restore(copy, tmp_path / "third", home.home).missing == (), "of a whole home nothing is missing"


def test_the_home_of_other_keys_is_refused(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "other" / "lake").mkdir(parents=True)
    (tmp_path / "other" / "secret.sha256").write_text("00")
    with pytest.raises(BadInput, match="is not the home of this backup"):
        restore.restore(copy, tmp_path / "again", tmp_path / "other")


def test_the_commands_say_what_they_did(home: Settings, tmp_path: Path) -> None:
    outcome = call_found("backup", tmp_path / "found.tgz", "--home", home.home)
    assert outcome.status == 0, outcome.err
    assert "keep it as private as the home" in outcome.out
    outcome = call_found("restore", tmp_path / "found.tgz", "--home", tmp_path / "again")
    assert (outcome.status, "every hash is right" in outcome.out, "--since OLD_HOME" in outcome.out) == (0, True, True), outcome.err
    assert [row["action"] for row in audit.entries(Settings.load(tmp_path / "again"))[:2]] == ["restore", "backup"]
