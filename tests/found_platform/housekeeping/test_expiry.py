"""Retention: what is older than the settings say is gone from every file, nothing brings it back, and what stays is as it was."""

import datetime as dt
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Outcome, at, lake_of, write_source

from dagster_defs import staleness
from dagster_defs.execution import open_instance
from dagster_defs.graph import AssetGraph
from found_platform import daily, feature_store, lake
from found_platform.app import audiences, lookups
from found_platform.app import retention as retaining
from found_platform.app.context import Actor, Context
from found_platform.app.lookups import Question, Size
from found_platform.audiences import membership
from found_platform.errors import BadInput
from found_platform.features import write
from found_platform.housekeeping import backup, condition, expiry, records, restore
from found_platform.privacy import audit, holds, keys, retention, vault
from found_platform.settings import Settings
from found_platform.sources import config, expired, folders, staging

FIRST = dt.date(2026, 1, 1)
DAYS = 30
KEPT = dt.date(2026, 1, 11)
TODAY = KEPT + dt.timedelta(days=25)
"""With events kept for 25 days, the 11th is the first day that stays."""
EVENTS = [
    {"user_id": user, "event_time": at(str(FIRST + dt.timedelta(days=day))), "text": f"{text} of day {day}"}
    for day in range(DAYS)
    for user, text in (("ann", "bread"), ("bob", "milk"), ("early", "cheese"))
    if user != "early" or day < 5
]
TABLES = (*expiry.OF_DAYS, expiry.TEXTS)
WITH_ROWS = tuple(table for table in TABLES if table != "search_text")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a home and its source. Tests work in copies."""
    folder = tmp_path_factory.mktemp("expiring")
    lake_of(folder / "home", write_source(folder / "source", EVENTS), lookback_days=7, retention="events=25")
    return folder


@pytest.fixture
def home(original: Path, tmp_path: Path) -> Settings:
    shutil.copytree(original / "home", tmp_path / "home")
    return Settings.load(tmp_path / "home")


def expire(settings: Settings) -> expiry.Expired:
    """What went of the events."""
    return next(each for each in expiry.expire(settings, TODAY) if each.name == "events")


def days_of(settings: Settings, table: str) -> list[dt.date]:
    return sorted(set(lake.read(settings.lake, table, columns=["event_date"])["event_date"].to_pylist()))


def every_day(settings: Settings, table: str) -> dict[str, tuple[int, str]]:
    return daily.day_hashes(settings.lake, table, KEPT, FIRST + dt.timedelta(days=DAYS))


def every_snapshot(settings: Settings) -> list[pa.Table]:
    """Everybody's rows of `user_tabular` on each day that stays."""
    days = [KEPT + dt.timedelta(days=n) for n in range((FIRST - KEPT).days + DAYS)]
    return [feature_store.snapshot(settings, "user_tabular", day, write.schema(settings, "user_tabular").names) for day in days]


@pytest.mark.slow
def test_days_that_are_too_old_are_gone_from_every_file_and_the_others_are_as_they_were(home: Settings) -> None:
    as_they_were = [table for table in TABLES if table != "user_tabular"]
    before = {table: every_day(home, table) for table in as_they_were}
    snapshots = every_snapshot(home)
    staged = folders.manifest(home)["days"]
    went = expire(home)
    assert (went.before, went.rows["raw_events"], went.held) == (KEPT, 2 * 10 + 5, 0)
    assert {table: every_day(home, table) for table in as_they_were} == before
    assert every_snapshot(home) == snapshots  # the grid day of some has gone
    assert {days_of(home, table)[0] for table in WITH_ROWS} == {KEPT}
    assert folders.manifest(home)["days"] == {day: rows for day, rows in staged.items() if day >= str(KEPT)}
    for path in home.home.rglob("*.parquet"):  # also files of older versions
        content = str(pq.read_table(path).to_pydict())
        assert not any(f" of day {day}'" in content for day in range(10)), path
    named = vault.user_ids(home, vault.user_keys(home))
    assert sorted(named.values()) == ["ann", "bob", "early"], "snapshots of kept days still have a row of the one who went early"
    assert config.of_home(home).days == [KEPT, FIRST + dt.timedelta(days=DAYS)]
    assert AssetGraph(home).keys("raw_events")[0] == str(KEPT)
    assert expire(home).count == 0


@pytest.mark.slow
def test_a_backup_of_before_the_first_days_went_has_everybody(home: Settings, tmp_path: Path) -> None:
    snapshots = every_snapshot(home)
    backup.write(home, tmp_path / "backup")
    expire(home)
    restored = restore.restore(tmp_path / "backup", tmp_path / "new", home.home)
    assert every_snapshot(Settings.load(restored.home)) == snapshots


@pytest.mark.slow
def test_whoever_has_nothing_left_is_gone_from_the_vault(home: Settings) -> None:
    expiry.expire(home, TODAY)
    for table in write.TABLES:  # made again without the days that went, they know of nobody who was there before
        write.feature(home, table, *config.of_home(home).days)
    went = expire(home)
    assert went.rows == {"vault": 1}
    assert sorted(vault.user_ids(home, vault.user_keys(home)).values()) == ["ann", "bob"]


@pytest.mark.slow
def test_a_scan_of_a_source_that_still_has_them_brings_no_day_back(tmp_path: Path) -> None:
    home = lake_of(tmp_path / "home", write_source(tmp_path / "source", EVENTS), lookback_days=7, retention="events=25")
    expiry.expire(home, TODAY)
    assert folders.manifest(home)["fingerprint"] == staging.source_fingerprint(home), "nothing is to be scanned again"
    more = [{"user_id": "ann", "event_time": at(str(FIRST + dt.timedelta(days=DAYS))), "text": "tea"}]
    source = write_source(tmp_path / "source", [*EVENTS, *more])
    forgetful = Settings.load(home.home, retention="")  # whatever the setting says now
    prepared = staging.prepare(forgetful, staging.discover(forgetful, config.load(source)))
    assert prepared.notes == [f"25 events of before {KEPT} are left out: this home keeps them no longer"]
    staging.open_home(forgetful, prepared.source)
    report = staging.stage(forgetful)
    assert [(c.rows, c.good, c.outside, c.bad) for c in report.channels] == [(66, 41, 25, {})]
    assert min(folders.manifest(home)["days"]) == str(KEPT)
    assert config.of_home(home).days == [KEPT, FIRST + dt.timedelta(days=DAYS + 1)]
    old = write_source(tmp_path / "older", EVENTS[:6])
    with pytest.raises(BadInput, match=f"keeps none of before {KEPT}"):
        staging.discover(forgetful, config.load(old))


def test_a_dry_run_says_the_same_and_changes_nothing(home: Settings, found: Callable[..., Outcome]) -> None:
    def files() -> dict[str, int]:
        return {str(p): p.stat().st_mtime_ns for p in home.home.rglob("*") if p.is_file() and "audit" not in p.name}

    before = files()
    plan = next(each for each in expiry.plan(home, TODAY) if each.name == "events")
    assert files() == before
    went = expire(home)
    in_the_lake = {name: count for name, count in went.rows.items() if name in TABLES}
    assert plan.rows == in_the_lake
    outcome = found("expire", "--dry-run", "--home", home.home, "--format", "json")
    assert outcome.status == 2, "by today's clock nothing would be left"
    assert "nothing would be left" in outcome.err
    assert "Everything is kept as long as the home" in found_without_retention(home, found).out


def found_without_retention(home: Settings, found: Callable[..., Outcome]) -> Outcome:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOUND_RETENTION", "")
        outcome = found("expire", "--home", home.home)
    assert outcome.status == 0, outcome.err
    return outcome


def test_it_is_refused_to_keep_nothing_or_less_than_features_look_back_on(home: Settings) -> None:
    with pytest.raises(BadInput, match=r"the last ones of .* are of 2026-01-30: nothing would be left"):
        expiry.expire(home, dt.date(2027, 1, 1))
    assert days_of(home, "raw_events")[0] == FIRST
    short = Settings.load(home.home, retention="events=5")
    with pytest.raises(BadInput, match="keeps events for 5 days, and features look back on 7"):
        expiry.expire(short, TODAY)
    for text in ("events", "events=0", "events=3,events=4", "people=3", "members=9999999"):
        with pytest.raises(BadInput, match=r"The setting retention \(FOUND_RETENTION, .*is no NAME=DAYS"):
            Settings.load(home.home, retention=text)


def test_what_is_made_of_events_is_kept_no_longer_than_they_are(home: Settings) -> None:
    assert retention.days(Settings.load(home.home, retention="events=30, training=10,scores=90")) == {
        "events": 30,
        "training": 10,
        "embeddings": 30,
        "scores": 30,
    }
    assert retention.days(Settings.load(home.home, retention="members=5")) == {"members": 5}


class Killed(BaseException):
    """As if the process had ended here."""


@pytest.mark.slow
@pytest.mark.parametrize("place", ["leave_out_of_staging", "_rows", "let_go_online", "forget_past"])
def test_killed_in_the_middle_the_next_call_goes_on(place: str, home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    where = {"leave_out_of_staging": expired, "forget_past": expiry.lake_tables, "let_go_online": expiry.feature_store}.get(
        place, expiry
    )

    def killed(*_: object) -> int:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(where, place, killed)
        with pytest.raises(Killed):
            expiry.expire(home, TODAY)
    expiry.expire(home, TODAY)
    assert {days_of(home, table)[0] for table in WITH_ROWS} == {KEPT}
    assert min(folders.manifest(home)["days"]) == str(KEPT)
    folder = home.lake / "raw_events"
    assert len(list(folder.glob("*.parquet"))) == len(lake.files(home.lake, "raw_events"))


def test_rows_of_a_person_under_a_hold_stay_until_it_ends(home: Settings) -> None:
    holds.add(home, "case-12", ("ann", "nobody-we-know"), reason="asked by court")
    went = expire(home)
    assert went.held == 10 * 2 + 10 * 2, "events and days, sequences and counts"
    key = keys.user_key(keys.home_secret(home), "ann")
    old = lake.read(home.lake, "raw_events").filter(lake.days_where(FIRST, KEPT))
    assert (old.num_rows, set(old["user_key"].to_pylist())) == (10, {key})
    assert "bread of day 3" in lake.read(home.lake, "behavior_text")["text"].to_pylist()
    assert "milk of day 3" not in lake.read(home.lake, "behavior_text")["text"].to_pylist()
    assert expiry.due(home, TODAY) == {}, "what is held is not overdue"
    holds.remove(home, "case-12")
    went = expire(home)
    assert (went.rows["raw_events"], went.held) == (10, 0)
    assert days_of(home, "raw_events")[0] == days_of(home, "behavior_text")[0] == KEPT


def test_a_table_under_a_hold_keeps_everything_that_goes_with_it(home: Settings) -> None:
    holds.add(home, "audit-2026", None, ["user_tabular"])
    went = expire(home)
    assert (went.count, went.why_not) == (0, "the table user_tabular is under the legal hold 'audit-2026'")
    assert days_of(home, "raw_events")[0] == FIRST


@pytest.mark.slow
def test_rows_of_before_go_from_the_files_of_the_home_that_its_source_reads(tmp_path: Path) -> None:
    """What was pulled or simulated holds the same events, with the ids of the source."""
    source = write_source(tmp_path / "home" / "simulated", EVENTS)
    settings = lake_of(tmp_path / "home", source, lookback_days=7, retention="events=25")
    went = expire(settings)
    assert went.rows["files of the source"] == 25
    table = pq.read_table(tmp_path / "home" / "simulated" / "events.parquet")
    assert (table.num_rows, min(table["event_time"].to_pylist()).date()) == (40, KEPT)


def test_the_audit_lets_go_of_old_rows_and_still_refuses_every_other_change(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path, retention="audit=365")
    for action in ("find", "export"):
        audit.record(settings, action, reason="wagtail")
    now = dt.datetime.now(dt.UTC).date()
    assert expiry.due(settings, now + dt.timedelta(days=300)) == {}
    assert expiry.due(settings, now + dt.timedelta(days=366)) == {"audit": 2}
    (went,) = expiry.expire(settings, now + dt.timedelta(days=366))
    assert went.rows == {"audit_log": 2}
    assert [row["action"] for row in audit.entries(settings)] == ["expire"]
    assert json.loads(audit.entries(settings)[0]["question"]) == {"rows": {"audit": 2}}
    assert not any(b"wagtail" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    with audit._in_file(settings) as table, pytest.raises(Exception, match="the audit only grows"):
        table.ask("DELETE FROM audit_log")  # pyright: ignore[reportUnusedExpression]
    holds.add(settings, "case-12", None, ["audit_log"])
    assert expiry.due(settings, now + dt.timedelta(days=9_000)) == {}


@pytest.fixture(scope="module")
def whole(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A whole copy of the demo's home: sixty days from the first of January on."""
    folder = tmp_path_factory.mktemp("expiry") / "found"
    shutil.copytree(settings.home, folder)
    return Settings.load(folder, retention="events=180,members=30")


OLDEST = FIRST + dt.timedelta(days=20)
LATER = OLDEST + dt.timedelta(days=180)


@pytest.mark.slow
def test_nothing_that_stays_is_stale_for_it_and_look_ups_go_on(whole: Settings) -> None:
    with open_instance(whole) as instance:

        def stale() -> dict[str, list[str]]:
            of_days = {state.asset: state.stale for state in staleness.states(AssetGraph(whole), instance)}
            # files of the simulation were written anew: they are looked through again, and come out the same
            return {a: [k for k in ks if not k or k >= str(OLDEST)] for a, ks in of_days.items() if a != "quarantine"}

        before = stale()
        went = {each.name: each for each in expiry.expire(whole, LATER)}
        assert went["events"].rows["raw_events"] > 0
        assert went["events"].rows["files of the source"] >= went["events"].rows["raw_events"]
        assert stale() == before
        assert AssetGraph(whole).keys("user_tabular")[0] == str(OLDEST)
    answer = lookups.find(
        Context(whole.home, Actor("ann", "test")), lookups.Find(Question("people who will soon buy gold"), Size(top=5))
    )
    assert len(answer.audience.users) == 5
    for table in expiry.OF_DAYS:
        assert days_of(whole, table)[0] >= OLDEST
    report = staging.stage(whole)
    assert min(folders.manifest(whole)["days"]) == str(OLDEST)
    assert report.bad_rows >= 0


@pytest.mark.slow
def test_old_refreshes_of_an_audience_go_and_the_newest_stays(whole: Settings) -> None:
    context = Context(whole.home, Actor("ann", "test"))
    audiences.save(
        context, audiences.Save("gold", audiences.Draft(Question("people who will soon buy gold", mode="aligned"), Size(top=9)))
    )
    audiences.save(
        context, audiences.Save("gold", audiences.Draft(Question("people who will soon buy gold", mode="aligned"), Size(top=5)))
    )
    (first, second) = (n for n in sorted(set(lake.read(whole.lake, membership.MEMBERS)["refresh"].to_pylist())))
    day = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=31)
    only = Settings.load(whole.home, retention="members=30")
    (went,) = expiry.expire(only, day)
    assert went.rows == {"audience_members": 9}
    assert set(lake.read(whole.lake, membership.MEMBERS)["refresh"].to_pylist()) == {second}
    newest = membership.last(whole, "gold")
    assert newest is not None
    assert newest.refresh == second > first
    assert membership.members(whole, newest).num_rows == 5


def test_records_and_doctor_say_how_long_what_stays_and_what_is_held(home: Settings) -> None:
    holds.add(home, "case-12", ("ann",), reason="asked by court")
    expiry.expire(home, TODAY)
    record = records.of(home)
    assert record.kept_days["events, and what features are made of each of their days"] == 25
    assert record.kept_from == KEPT
    (hold,) = record.holds
    assert hold.startswith("case-12: 1 person, since ")
    page = records.as_html(record)
    assert all(text in page for text in (hold, f"No event of before\n{KEPT} is kept"))
    (finding,) = condition.overdue(home)
    assert "nothing would be left" in finding.problem
    assert list(condition.overdue(Settings.load(home.home, retention="audit=1,members=1"))) == []


def test_a_dry_run_is_in_the_audit_too(home: Settings) -> None:
    context = Context(home.home, Actor("ann", "test"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOUND_RETENTION", "audit=365")
        outcome = retaining.expire(context, retaining.Expire(dry_run=True))
    assert (outcome.dry_run, [each.count for each in outcome.expired]) == (True, [0])
    assert json.loads(audit.entries(home)[0]["question"]) == {"dry_run": True, "rows": {}}
