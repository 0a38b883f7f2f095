"""Legal holds: whoever is under one is not erased, nobody else is lost for it, and no file says who they are."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Outcome, at, lake_of, write_source

from found_platform import erasure
from found_platform.app import retention
from found_platform.app.context import Actor, Context
from found_platform.errors import BadInput, NotFound
from found_platform.housekeeping import backup, restore
from found_platform.privacy import audit, holds, keys, tombstones
from found_platform.settings import Settings
from found_platform.sources import config, staging

EVENTS = [
    {"user_id": user, "event_time": at(f"2026-01-0{day}"), "text": f"bread {user}"}
    for day in (1, 2, 3)
    for user in ("ann@example.com", "bob@example.com", "cid@example.com")
]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("held")
    return lake_of(folder / "home", write_source(folder / "source", EVENTS)).home


@pytest.fixture
def home(original: Path, tmp_path: Path) -> Settings:
    """A copy of a home of three users, each test its own."""
    return Settings.load(Path(shutil.copytree(original, tmp_path / "home")))


@pytest.mark.slow
def test_somebody_under_a_hold_is_not_erased_and_the_sentence_names_the_hold_and_the_row(
    home: Settings, found: Callable[..., Outcome], tmp_path: Path
) -> None:
    held, gone = tmp_path / "held.csv", tmp_path / "gone.csv"
    held.write_text("user_id\nbob@example.com\n")
    gone.write_text("user_id\nann@example.com\nbob@example.com\n")
    outcome = found("hold", "add", "case-12", "--ids", held, "--reason", "asked by court", "--home", home.home)
    assert (outcome.status, outcome.out) == (0, "Under the hold case-12: 1 person, 1 of them new.\n"), outcome.err
    outcome = found("erase", "--ids", gone, "--home", home.home)
    assert outcome.status == 2
    assert f"Under the legal hold 'case-12' is row 2 of {gone}: nobody was erased." in outcome.err
    assert "example.com" not in outcome.err
    assert tombstones.count(home) == 0
    with pytest.raises(BadInput, match="is row 1 of the ids"):
        erasure.erase(home, ("bob@example.com",))
    gone.write_text("user_id\nann@example.com\n")
    outcome = found("erase", "--ids", gone, "--home", home.home)
    assert outcome.status == 0, outcome.err
    outcome = found("hold", "remove", "case-12", "--home", home.home)
    assert outcome.out == "The hold case-12 has ended: 1 person.\n"
    assert erasure.erase(home, ("bob@example.com",)).persons == 1


def test_a_hold_is_kept_without_a_name_and_is_in_the_audit(home: Settings, found: Callable[..., Outcome]) -> None:
    context = Context(home.home, Actor("ann", "test"))
    ids = ("bob@example.com", "cid@example.com", "nobody@example.com")
    placed = retention.place_hold(context, retention.PlaceHold("case-12", ids, ("raw_events",), "asked by court"))
    assert (placed.hold.persons, placed.added, placed.unknown) == (3, 3, 1)
    again = retention.place_hold(context, retention.PlaceHold("case-12", (ids[0], "ann@example.com")))
    assert (again.hold.persons, again.added, again.hold.tables, again.hold.reason) == (4, 1, ("raw_events",), "asked by court")
    content = (home.home / holds.FILE).read_text()
    secret = keys.home_secret(home)
    assert not any(name in content for user in ids for name in (user, keys.user_key(secret, user)))
    assert (home.home / holds.FILE).stat().st_mode & 0o077 == 0
    outcome = found("hold", "list", "--home", home.home, "--format", "json")
    (row,) = json.loads(outcome.out)
    assert (row["name"], row["persons"], row["by"]) == ("case-12", 4, "test:ann")
    retention.remove_hold(context, "case-12")
    assert [(row["action"], row["rows"]) for row in audit.entries(home)][:3] == [
        ("hold remove", 4),
        ("hold add", 1),
        ("hold add", 3),
    ]
    assert found("hold", "list", "--home", home.home).out == "Nothing is under a legal hold.\n"


def test_what_cannot_be_a_hold_is_said(home: Settings) -> None:
    with pytest.raises(BadInput, match="is no name of a hold"):
        holds.add(home, "Case 12", ("ann@example.com",))
    with pytest.raises(BadInput, match="There is no table 'events' that can be held: choose of raw_events"):
        holds.add(home, "case-12", None, ["events"])
    with pytest.raises(BadInput, match="would hold nothing"):
        holds.add(home, "case-12", None)
    with pytest.raises(NotFound, match="There is no hold 'case-12': there are none"):
        holds.remove(home, "case-12")


def test_while_a_table_is_held_nobody_is_erased(home: Settings) -> None:
    holds.add(home, "audit-2026", None, ["suppressions"])
    with pytest.raises(BadInput, match="The table suppressions is under the legal hold 'audit-2026', so nobody can be erased"):
        erasure.erase(home, ("ann@example.com",))


def test_a_scan_does_not_let_go_of_what_a_hold_keeps(home: Settings, tmp_path: Path) -> None:
    holds.add(home, "case-12", ("ann@example.com",))
    source = write_source(tmp_path / "source", EVENTS[3:])
    found_source = staging.discover(home, config.load(source))
    with pytest.raises(BadInput, match="The legal hold 'case-12' keeps what this home has taken in: say `--removed keep`"):
        staging.prepare(home, found_source, removed="drop")


def test_a_backup_that_is_brought_back_has_the_holds_and_the_erasures_of_the_home_that_it_replaces(
    home: Settings, tmp_path: Path
) -> None:
    holds.add(home, "case-12", ("ann@example.com",))
    backup.write(home, tmp_path / "backup")
    holds.remove(home, "case-12")
    erasure.erase(home, ("ann@example.com",))
    holds.add(home, "case-13", ("bob@example.com",))
    restored = restore.restore(tmp_path / "backup", tmp_path / "new", home.home)
    assert restored.erased == 1
    assert [hold.name for hold in holds.all_of(Settings.load(tmp_path / "new"))] == ["case-12", "case-13"]
