"""Exports: who leaves the platform, and the file that says where they come from."""

import csv
import dataclasses
import fcntl
import hashlib
import json
import os
import shutil
import stat
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import copy_of
from saved_audiences import GOLD, refreshed, saved, suppress

from found_platform import lake
from found_platform.audiences import export, membership
from found_platform.errors import BadInput
from found_platform.privacy import actor, audit, keys, vault
from found_platform.settings import Settings


@pytest.fixture(scope="module")
def home(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A copy of the demo's home; each test names its audiences for itself."""
    return copy_of(settings, tmp_path_factory.mktemp("audiences"))


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_an_export_holds_the_exposed_members_and_says_where_they_come_from(home: Settings, tmp_path: Path, suffix: str) -> None:
    question = dataclasses.replace(GOLD, where="events_28d >= 2")
    refresh = refreshed(home, "leaving", question, holdout=0.3)
    members = membership.members(home, refresh)
    ids = keys.user_ids(home, members["user_key"].to_pylist())
    rows = [(ids[r["user_key"]], r["score"]) for r in members.to_pylist() if not r["holdout"]]
    assert 0 < len(rows) < refresh.size
    path = tmp_path / f"users{suffix}"
    path.write_text("an older file that everybody may read")
    before = len(audit.entries(home))
    with pytest.raises(BadInput, match=f"{path.name} exists already: choose another name, or add --force to replace it"):
        export.export(home, "leaving", path)
    assert (path.read_text(), len(audit.entries(home))) == ("an older file that everybody may read", before)
    exported = export.export(home, "leaving", path, overwrite=True)
    assert (exported.users, exported.kept_back, exported.held_out) == (len(rows), 0, refresh.held_out)
    written = pq.read_table(path).to_pylist() if suffix == ".parquet" else list(csv.DictReader(path.open(newline="")))
    assert [(r["user_id"], float(r["score"])) for r in written] == rows
    assert {str(r["holdout"]).lower() for r in written} == {"false"}
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name, f"{path.name}.provenance.json"]
    assert [stat.S_IMODE(p.stat().st_mode) for p in (path, exported.provenance)] == [0o600, 0o600]

    provenance = json.loads(exported.provenance.read_text())
    assert provenance["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert provenance["specification"]["sentence"] == GOLD.sentence
    assert provenance["specification"]["where"] == "events_28d >= 2"
    assert (provenance["model_version"], provenance["index_version"]) == (refresh.model_version, refresh.index_version)
    assert provenance["delta_versions"]["user_embeddings"] == lake.version(home.lake, "user_embeddings")
    assert provenance["delta_versions"]["raw_events"] == lake.version(home.lake, "raw_events")
    assert provenance["threshold"] == refresh.threshold
    assert provenance["counts"] == {
        "base": refresh.base,
        "eligible": refresh.eligible,
        "members": 60,
        "without_id": 0,
        "after_suppression": 60,
        "holdout": refresh.held_out,
        "in_file": len(rows),
    }
    assert provenance["exported_by"] == str(actor.current())
    assert not any(user in exported.provenance.read_text() for pair in ids.items() for user in pair)

    whole = export.export(home, "leaving", path, with_holdout=True, overwrite=True)
    assert (whole.users, json.loads(whole.provenance.read_text())["holdout_in_file"]) == (60, True)


def test_who_was_suppressed_after_the_refresh_does_not_leave(apart: Settings, tmp_path: Path) -> None:
    refresh = refreshed(apart, "suppressed-later", holdout=0.2)
    members = membership.members(apart, refresh).to_pylist()
    exposed = [m["user_key"] for m in members if not m["holdout"]]
    gone = exposed[::7]
    ids = keys.user_ids(apart, [m["user_key"] for m in members])
    suppress(apart, tmp_path, gone)
    exported = export.export(apart, "suppressed-later", tmp_path / "users.csv")
    written = {r["user_id"] for r in csv.DictReader((tmp_path / "users.csv").open(newline=""))}
    assert written == {ids[key] for key in exposed if key not in gone}
    assert (exported.users, exported.kept_back) == (len(exposed) - len(gone), len(gone))
    counts = json.loads(exported.provenance.read_text())["counts"]
    assert (counts["members"], counts["after_suppression"]) == (60, 60 - len(gone))

    vault.remove(apart, [next(key for key in exposed if key not in gone)])
    again = export.export(apart, "suppressed-later", tmp_path / "users.csv", overwrite=True)
    assert (again.users, again.kept_back, again.without_id) == (exported.users - 1, exported.kept_back + 1, 1), (
        "who was erased has no id"
    )
    assert json.loads(again.provenance.read_text())["counts"]["without_id"] == 1


def test_who_withdrew_consent_after_the_refresh_does_not_leave(apart: Settings, tmp_path: Path) -> None:
    refresh = refreshed(apart, "consent-later", holdout=0.2)
    members = membership.members(apart, refresh)
    consenting = set(members["user_key"].to_pylist()[::2])
    profile = lake.read(apart.lake, "raw_profile")
    consent = pa.array([key in consenting for key in profile["user_key"].to_pylist()])
    profile = profile.append_column("consent", consent)
    shutil.rmtree(apart.lake / "raw_profile")
    lake.replace(apart.lake, "raw_profile", profile, schema=profile.schema)
    source = apart.home / "source.yaml"
    source.write_text(source.read_text().replace("profile_schema:\n", "profile_schema:\n  consent: bool\n"))
    asks = apart.model_copy(update={"consent_column": "consent"})
    may_leave = [m for m in members.to_pylist() if m["user_key"] in consenting and not m["holdout"]]
    exported = export.export(asks, "consent-later", tmp_path / "users.csv")
    assert (exported.users, exported.kept_back) == (len(may_leave), 30)


def test_an_export_that_cannot_be_written_is_refused_and_leaves_nothing(home: Settings, tmp_path: Path) -> None:
    refreshed(home, "unwritable")
    saved(home, "empty-handed")
    for name, path, message in (
        ("unwritable", tmp_path / "users.xlsx", "neither a .parquet nor a .csv"),
        ("unwritable", tmp_path / "nowhere" / "users.csv", "cannot be written: No such file"),
        ("empty-handed", tmp_path / "users.csv", "has no members yet"),
        ("never-saved", tmp_path / "users.csv", "There is no audience 'never-saved'"),
    ):
        with pytest.raises(BadInput, match=message):
            export.export(home, name, path)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_export_has_left_goes_with_the_next_one_and_what_another_one_writes_stays(tmp_path: Path) -> None:
    target = tmp_path / "gold.csv"
    left, writing, new = (tmp_path / f".gold.csv.{name}.partial" for name in ("killed", "working", "begun"))
    for path in (left, writing, new):
        path.write_text("u1")
    for path in (left, writing):
        os.utime(path, (0, 0))
    with writing.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        export.place(target, b"user_id\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == [new.name, writing.name, "gold.csv"]
