"""Erasing persons from a home: nobody is answered about them at once, every store is without them, and nothing brings them back."""

import datetime as dt
import hashlib
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from conftest import Outcome, at, lake_of, write_source

from found_platform import erasure, index, lake, row_hash
from found_platform.app import audiences, lookups, members, models, users
from found_platform.app.context import Actor, Context
from found_platform.app.lookups import Question, Size
from found_platform.audiences import membership
from found_platform.erasure import proof, steps
from found_platform.erasure.persons import Persons
from found_platform.errors import BadInput, JobFailed
from found_platform.features import write
from found_platform.privacy import audit, keys, suppression, tombstones, vault
from found_platform.settings import Settings
from found_platform.sources import config, folders, staging

GOLD = Question("people who will soon buy gold", mode="aligned")


@pytest.fixture(scope="module")
def home(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A whole copy of the demo's home, with an audience, a suppression and an export of its own."""
    copy = Settings.load(Path(shutil.copytree(settings.home, tmp_path_factory.mktemp("erasure") / "found")))
    context = Context(copy.home, Actor("ann", "test"))
    audiences.save(context, audiences.Save("gold", audiences.Draft(GOLD, Size(top=40))))
    audiences.export(context, audiences.Export("gold", copy.home / "gold.csv"))
    audiences.export(context, audiences.Export("gold", copy.home.parent / "gold.parquet"))
    suppression.add(copy, tuple(persons_of(copy)), "moved")
    return copy


def persons_of(settings: Settings) -> list[str]:
    """The first three of the audience, by their raw ids."""
    refresh = membership.last(settings, "gold")
    assert refresh is not None
    return list(vault.user_ids(settings, membership.members(settings, refresh)["user_key"].to_pylist()[:3]).values())


@pytest.fixture(scope="module")
def ids(home: Settings) -> tuple[str, ...]:
    return tuple(persons_of(home))


class Killed(BaseException):
    """As if the process had ended here."""


@pytest.fixture(scope="module")
def erased(home: Settings, ids: tuple[str, ...]) -> Iterator[erasure.Certificate]:
    """The certificate of an erasure that was killed at each of its steps, before it was noted that the step was done."""
    with index.Searcher(home):  # somebody has the index open
        for name, step in steps.STEPS.items():

            def killed(settings: Settings, persons: Persons, step: steps.Step = step) -> dict[str, int]:
                step(settings, persons)
                raise Killed

            with pytest.MonkeyPatch.context() as patch:
                patch.setitem(steps.STEPS, name, killed)
                with pytest.raises(Killed):
                    erasure.erase(home, ids)
        yield erasure.erase(home, ids, "asked by letter")


def test_everything_on_a_person_is_exported_as_json_and_as_a_page(
    home: Settings, ids: tuple[str, ...], found: Callable[..., Outcome], tmp_path: Path
) -> None:
    outcome = found("user", "export", ids[0], "--out", tmp_path / "kept.json", "--home", home.home, "--format", "json")
    assert outcome.status == 0, outcome.err
    kept = json.loads((tmp_path / "kept.json").read_text())
    key = keys.user_key(keys.home_secret(home), ids[0])
    for name in ("raw_events", "raw_profile", "user_tabular", "audience_members", "suppressions"):
        count = row_hash.by_key(home.lake, name, "user_key")[key][0]
        assert len(kept["tables"][name]) == count
    assert {"vault.db", "feast/online.db", "gold.csv"} <= set(kept["files"])
    assert f"<h2>raw_events: {len(kept['tables']['raw_events']):,} rows</h2>" in (tmp_path / "kept.html").read_text()
    assert (tmp_path / "kept.json").stat().st_mode & 0o077 == 0
    others = keys.user_key(keys.home_secret(home), ids[1])
    assert others not in (tmp_path / "kept.json").read_text()
    outcome = found("user", "export", "nobody-we-know", "--out", tmp_path / "nobody.json", "--home", home.home)
    assert (outcome.status, "Nothing is kept of a user 'nobody-we-know'" in outcome.err) == (2, True)
    assert not (tmp_path / "nobody.json").exists()


def test_while_they_are_being_erased_nobody_is_answered_about_them_and_nothing_fails(home: Settings, ids: tuple[str, ...]) -> None:
    context = Context(home.home, Actor("ann", "test"))
    before = lookups.find(context, lookups.Find(GOLD, Size(top=300)))
    suppression.lift(home, ids)
    with_them = lookups.find(context, lookups.Find(GOLD, Size(top=300)))
    assert {user.user_id for user in with_them.audience.users} > set(ids)
    tombstones.add(home, keys.home_secret(home), [keys.user_key(keys.home_secret(home), user) for user in ids])
    after = lookups.find(context, lookups.Find(GOLD, Size(top=300)))
    assert not {user.user_id for user in after.audience.users} & set(ids)
    assert len(after.audience.users) == len(before.audience.users)
    page = members.page(context, members.Page("gold"))
    assert not {member.user for member in page.members} & {*ids, *(keys.user_key(keys.home_secret(home), u) for u in ids)}
    for call in (lambda: users.show(context, users.Show(ids[0])), lambda: members.why(context, members.Why(ids[0], name="gold"))):
        with pytest.raises(BadInput, match="This user was erased"):
            call()
    suppression.add(home, (*ids, "somebody-else"), "moved")
    assert keys.read_users(home, ids) == set()


def test_an_audience_says_how_many_are_left(home: Settings, erased: erasure.Certificate) -> None:
    last = membership.last(home, "gold")
    assert last is not None
    rows = membership.members(home, last)
    assert (last.size, last.joins, last.held_out) == (37, 40, sum(rows["holdout"].to_pylist()))
    page = members.page(Context(home.home, Actor("ann", "test")), members.Page("gold"))
    assert (page.size, len(page.members), page.next) == (37, 37, None)


def test_killed_at_each_step_and_asked_again_it_ends_with_a_certificate_that_names_nobody(
    home: Settings, ids: tuple[str, ...], erased: erasure.Certificate
) -> None:
    document = json.loads(erased.path.read_text())
    digest = document.pop("sha256")
    assert digest == hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest() == erased.sha256
    assert document["persons"] == len(ids)
    assert set(document["steps"]) == set(steps.STEPS)
    assert document["searched"]["hits"] == 0
    assert document["searched"]["files"] > 100
    assert not list(erased.path.parent.glob("*.progress.json"))
    assert erased.path.stat().st_mode & 0o077 == 0
    assert proof.search(home.home, Persons.of(home, ids, ["user_id"])).hits == []


def test_exports_that_are_still_where_they_were_put_lose_them_too(
    home: Settings, ids: tuple[str, ...], erased: erasure.Certificate
) -> None:
    path = home.home.parent / "gold.parquet"
    members = pq.read_table(path)["user_id"].to_pylist()
    assert (len(members), set(members) & set(ids)) == (40 - len(ids), set())
    about = json.loads((home.home.parent / "gold.parquet.provenance.json").read_text())
    assert (about["sha256"], about["users_were_erased"]) == (hashlib.sha256(path.read_bytes()).hexdigest(), True)


def test_a_plain_search_of_the_home_agrees(home: Settings, ids: tuple[str, ...], erased: erasure.Certificate) -> None:
    secret = keys.home_secret(home)
    names = [name for user in ids for name in (user, keys.user_key(secret, user))]
    naming = []
    for path in home.home.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            content += str(pq.read_table(path).to_pydict()).encode() if path.suffix == ".parquet" else b""
            naming += [path] if any(name.encode() in content for name in names) else []
    assert naming == []


def test_nobody_else_is_touched(home: Settings, settings: Settings, ids: tuple[str, ...], erased: erasure.Certificate) -> None:
    gone = {keys.user_key(keys.home_secret(home), user) for user in ids}
    for table in ("raw_events", "user_tabular", "behavior_sequence", "raw_profile", "training_set"):
        before = row_hash.by_key(settings.lake, table, "user_key")
        assert row_hash.by_key(home.lake, table, "user_key") == {key: row for key, row in before.items() if key not in gone}
    rows = sum(n for n, _ in folders.manifest(home)["days"].values())
    assert rows == sum(n for n, _ in row_hash.by_key(home.lake, "raw_events", "event_date").values())


def test_look_ups_and_the_commands_of_a_home_go_on_after_it(
    home: Settings, ids: tuple[str, ...], erased: erasure.Certificate, found: Callable[..., Outcome]
) -> None:
    context = Context(home.home, Actor("ann", "test"))
    answer = lookups.find(context, lookups.Find(GOLD, Size(top=20)))
    assert len(answer.audience.users) == 20
    assert not {user.user_id for user in answer.audience.users} & set(ids)
    audiences.refresh(context, "gold")
    outcome = found("user", "show", ids[0], "--online", "--home", home.home)
    assert (outcome.status, "was erased" in outcome.err) == (2, True)
    outcome = found("rollback", "index", "--home", home.home)
    assert (outcome.status, "no earlier index" in outcome.err) == (2, True)
    assert (home.home / "gold.csv").read_text().count("\n") >= 30
    assert not [e for e in audit.entries(home) if any(user in str(e) for user in ids)]


def test_versions_that_have_learned_from_them_are_told_until_they_are_trained_again(
    home: Settings, erased: erasure.Certificate, found: Callable[..., Outcome]
) -> None:
    versions = models.list_versions(Context(home.home, Actor("ann", "test")))
    assert {row.version.version: row.erased_persons for row in versions} == {row.version.version: 3 for row in versions}
    assert erased.still_trained_on == {"versions": sorted(row.version.version for row in versions), "prompts": []}
    outcome = found("model", "list", "--home", home.home)
    retires = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=30)
    assert f"has learned from 3 persons who were erased since: train again by {retires}." in outcome.out
    assert {row.retires for row in versions} == {retires}


def test_the_first_erasure_says_by_when_a_model_retires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from found_platform.erasure import ledger

    monkeypatch.setenv("FOUND_RETIRE_DAYS", "10")
    home = Settings.load(tmp_path / "home")
    folder = home.home / "erasures"
    folder.mkdir(parents=True)
    lines = {
        "first": {"day": "2026-03-05", "versions": {"1": 2}, "prompts": {"gold": 1}},
        "second": {"day": "2026-03-01", "versions": {"1": 1, "2": 4}, "prompts": {}},
        "of a home of before": {"versions": {"3": 1}, "prompts": {}},
    }
    (folder / "ledger.json").write_text(json.dumps(lines))
    versions = ledger.influences(home, ledger.VERSIONS)
    assert versions["1"] == ledger.Influence(3, dt.date(2026, 3, 11))
    assert versions["2"] == ledger.Influence(4, dt.date(2026, 3, 11))
    assert versions["3"].retires == dt.datetime.now(dt.UTC).date() + dt.timedelta(days=10)
    assert ledger.influences(home, ledger.PROMPTS) == {"gold": ledger.Influence(1, dt.date(2026, 3, 15))}
    row = models.VersionRow(None, [], None, 3, versions["1"].retires)  # pyright: ignore[reportArgumentType]
    assert row.about_erased == "It has learned from 3 persons who were erased since: train again by 2026-03-11, which is over"


def test_the_command_prints_what_it_did_and_writes_a_row_of_the_audit(
    home: Settings, erased: erasure.Certificate, found: Callable[..., Outcome], tmp_path: Path
) -> None:
    (tmp_path / "gone.csv").write_text("user_id\nnobody-we-know\n")
    outcome = found("erase", "--ids", tmp_path / "gone.csv", "--reason", "letter", "--home", home.home, "--format", "json")
    assert outcome.status == 0, outcome.err
    document: dict[str, Any] = json.loads(outcome.out)
    assert (document["persons"], document["reason"]) == (1, "letter")
    assert json.loads(Path(document["path"]).read_text())["sha256"] == document["sha256"]
    newest = audit.entries(home)[0]
    assert (newest["action"], newest["rows"], newest["reason"]) == ("erase", 1, f"letter; certificate {document['erasure']}")
    outcome = found("erase", "--ids", tmp_path / "gone.csv", "--reason", "nobody-we-know wrote", "--home", home.home)
    assert (outcome.status, "names one of the persons" in outcome.err) == (2, True)


def test_whatever_still_names_somebody_fails_the_erasure_and_is_named(
    home: Settings, ids: tuple[str, ...], erased: erasure.Certificate
) -> None:
    left = home.home / "notes.bin"
    left.write_bytes(b"\0\0" + ids[0].encode())
    with pytest.raises(JobFailed, match=r"1 place in .* still name somebody who is to be erased: notes\.bin"):
        erasure.erase(home, ids)
    left.unlink()


EVENTS = [
    {"user_id": user, "event_time": at(f"2026-01-0{day}"), "text": f"bread {user}"}
    for day in (1, 2, 3)
    for user in ("1", "2", "17001")
]
PROFILE = [{"user_id": user, "city": "Basel"} for user in ("1", "2", "17001")]


@pytest.mark.slow
def test_a_source_that_still_holds_them_brings_nobody_back(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source", EVENTS, PROFILE)
    settings = lake_of(tmp_path / "home", source)
    certificate = erasure.erase(settings, ("1", "17001"))
    assert certificate.searched["ids_in_columns_alone"] == 2
    assert folders.manifest(settings)["fingerprint"] == staging.source_fingerprint(settings), "nothing is to be scanned again"
    key = keys.user_key(keys.home_secret(settings), "2")
    assert set(lake.read(settings.lake, "raw_events")["user_key"].to_pylist()) == {key}
    assert set(lake.read(settings.lake, "behavior_text")["text"].to_pylist()) == {"bread 2"}
    more = [{"user_id": user, "event_time": at("2026-01-04"), "text": "milk"} for user in ("1", "2", "17001")]
    write_source(tmp_path / "source", [*EVENTS, *more], PROFILE)
    prepared = staging.prepare(settings, staging.discover(settings, config.load(source)))
    assert prepared.notes == ["8 events of users who were erased are left out, as they always will be"]
    staging.open_home(settings, prepared.source)
    report = staging.stage(settings)
    assert [(c.rows, c.good, c.erased, c.bad) for c in report.channels] == [(12, 4, 8, {})]
    write.raw_events(settings, *config.of_home(settings).days)
    write.raw_profile(settings)
    assert set(lake.read(settings.lake, "raw_events")["user_key"].to_pylist()) == {key}
    assert lake.read(settings.lake, "raw_profile").num_rows == 1
    with sqlite3.connect(settings.home / vault.DATABASE) as con:
        assert con.execute("SELECT user_id FROM vault").fetchall() == [("2",)]
    con.close()


def test_old_versions_of_a_table_and_what_its_log_said_of_files_are_gone(tmp_path: Path) -> None:
    settings = lake_of(tmp_path / "home", write_source(tmp_path / "source", EVENTS))
    erasure.erase(settings, ("1",))
    for table in ("raw_events", "user_tabular"):
        folder = settings.lake / table
        version = lake.version(settings.lake, table)
        entries = [path.name for path in (folder / "_delta_log").iterdir() if path.name[0].isdigit()]
        assert {int(name.split(".")[0]) for name in entries} == {version}
        assert len(list(folder.glob("*.parquet"))) == len(lake.files(settings.lake, table))
