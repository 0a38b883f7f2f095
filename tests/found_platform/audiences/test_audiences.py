"""Saved audiences: previews, versions, refreshes with joins and leaves, the holdout, exports, the audit, lift."""

import csv
import dataclasses
import datetime as dt
import hashlib
import itertools
import json
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from campaign_times import dated, exported, midnight
from conftest import Outcome

from found_platform import lake
from found_platform.audiences import export, lift, lookup, membership, pictures, preview, sizing, specification
from found_platform.audiences.lookup import Question
from found_platform.audiences.specification import Specification
from found_platform.contract import CHANNELS
from found_platform.errors import BadInput
from found_platform.privacy import actor, audit, keys, suppression, vault
from found_platform.scoring.heads import OperatingPoint
from found_platform.settings import Settings

GOLD = Question(sentence="people who will soon buy gold")
PETS = Question(sentence="pet owners who will buy food for their cat or dog")


def copy_of(settings: Settings, folder: Path) -> Settings:
    """A home with what look-ups and refreshes read, without the files that it was made by."""
    ignored = shutil.ignore_patterns("monitoring", "simulated", "staging", "training", "truth")
    return Settings.load(Path(shutil.copytree(settings.home, folder / "found", ignore=ignored)))


@pytest.fixture(scope="module")
def home(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A copy of the demo's home; each test names its audiences for itself."""
    return copy_of(settings, tmp_path_factory.mktemp("audiences"))


@pytest.fixture
def apart(settings: Settings, tmp_path: Path) -> Settings:
    """A copy for a test that suppresses users or adds events."""
    return copy_of(settings, tmp_path)


def saved(settings: Settings, name: str, question: Question = GOLD, **fields: object) -> Specification:
    sizes = fields if {"top", "level", "min_score"} & set(fields) else {"top": 60, **fields}
    return specification.save(settings, specification.draft(settings, audience=name, question=question, **sizes))


def refreshed(settings: Settings, name: str, question: Question = GOLD, **fields: object) -> membership.Refresh:
    saved(settings, name, question, **fields)
    return membership.refresh(settings, name).refresh


def keys_at(settings: Settings, of: membership.Refresh) -> list[str]:
    return membership.members(settings, of)["user_key"].to_pylist()


def suppress(settings: Settings, folder: Path, user_keys: list[str]) -> None:
    path = folder / "suppressed.txt"
    path.write_text("user_id\n" + "".join(f"{name}\n" for name in keys.user_ids(settings, user_keys).values()))
    suppression.add(settings, path, "asked")


def curve(*points: tuple[float, float]) -> list[OperatingPoint]:
    return [OperatingPoint(share, round(1000 * share), p, p - 0.05, p + 0.05, share * p / 0.1) for share, p in points]


def test_a_level_is_the_widest_reach_that_keeps_its_share_of_the_advantage_over_chance() -> None:
    falling = curve((0.01, 0.5), (0.05, 0.4), (0.1, 0.3), (0.5, 0.15), (1.0, 0.1))
    # the best advantage is 0.4: three quarters are left at a precision of 0.4, a half at 0.3, a quarter at 0.2
    assert sizing.widest(falling, 0.75) == pytest.approx(0.05)
    assert sizing.widest(falling, 0.5) == pytest.approx(0.1)
    assert sizing.widest(falling, 0.25) == pytest.approx(0.1 + 0.4 * (0.3 - 0.2) / (0.3 - 0.15))
    assert sizing.widest(list(reversed(falling)), 0.5) == pytest.approx(0.1)
    bumpy = curve((0.01, 0.3), (0.05, 0.5), (0.1, 0.2), (0.2, 0.35), (1.0, 0.1))
    assert sizing.widest(bumpy, 0.5) == pytest.approx(0.2 + 0.8 * (0.35 - 0.3) / (0.35 - 0.1))
    assert sizing.widest(curve((0.01, 0.14), (0.1, 0.12), (1.0, 0.1)), 0.5) is None, "its interval reaches down to chance"


def test_every_size_cuts_where_it_says(home: Settings) -> None:
    scored = lookup.score(home, GOLD)
    there = len(scored.rows)

    def cut(past: list[OperatingPoint] | None = None, **size: object) -> sizing.Cut:
        wanted = Specification(question=GOLD, **size)  # pyright: ignore[reportArgumentType]
        return sizing.cut(wanted, dataclasses.replace(scored, curve=tuple(past or ())))

    assert cut(top=7).size == 7
    assert cut(top=10**6).size == there
    at = float(scored.scores[30])
    assert cut(min_score=at).size == sum(score >= at for score in scored.scores) >= 31
    assert cut(min_score=float(scored.scores[0]) + 1).size == 0
    without = {level: cut(level=level) for level in sizing.SHARES}
    assert [c.size for c in without.values()] == [max(1, round(share * there)) for share in (0.01, 0.05, 0.15)]
    assert all("no past window" in c.why for c in without.values())
    falling = curve((0.01, 0.5), (0.05, 0.4), (0.1, 0.3), (0.5, 0.15), (1.0, 0.1))
    sizes = [cut(falling, level=level).size for level in sizing.KEPT]
    assert sizes == pytest.approx([share * there for share in (0.05, 0.1, 0.1 + 0.4 * 2 / 3)], abs=0.51)
    narrowed = lookup.score(home, dataclasses.replace(GOLD, where="events_28d >= 8"), frozenset(scored.keys[:3]))
    wanted = Specification(question=GOLD, level="broad")
    size = sizing.cut(wanted, dataclasses.replace(narrowed, curve=tuple(falling))).size
    assert narrowed.keys[:size] == [key for key in scored.keys[: sizes[2]] if key in set(narrowed.keys)], "no worse ones are let in"
    assert 0 < size < sizes[2]
    flat = cut(curve((0.01, 0.14), (1.0, 0.1)), level="broad")
    assert (flat.size, "no advantage" in flat.why) == (round(0.15 * there), True)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"audience": "Gold buyers", "top": 5}, "an audience's name is of small letters"),
        ({"audience": "x' OR '1' = '1", "top": 5}, "an audience's name is of small letters"),
        ({"top": 5, "level": "broad"}, "one size"),
        ({}, "one size"),
        ({"top": 0}, "top is 0"),
        ({"level": "huge"}, "level is 'huge'"),
        ({"min_score": float("nan")}, "min-score"),
        ({"top": 5, "holdout": 0.9}, "holdout is 0.9"),
        ({"top": 5, "question": Question()}, "Ask with a sentence"),
        ({"top": 5, "question": Question(sentence=" ")}, "The demand is empty"),
        ({"top": 5, "question": Question(sentence="gold", where="shoe_size > 3")}, "shoe_size"),
        ({"top": 5, "question": Question(sentence="gold", mode="magic")}, "magic"),
        ({"top": 5, "without_audiences": ("nobody-saved-this",)}, "There is no audience 'nobody-saved-this'"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_reason_and_saves_nothing(home: Settings, fields: dict, message: str) -> None:
    before = specification.names(home)
    with pytest.raises(BadInput, match=message):
        specification.draft(home, **{"audience": "refused", "question": GOLD, **fields})
    assert specification.names(home) == before


def test_saving_again_makes_a_version_and_keeps_the_one_before(home: Settings) -> None:
    everybody = lookup.score(home, GOLD).keys
    first = saved(home, "versions", top=10, without_users=(everybody[0], everybody[3]), holdout=0.1)
    second = saved(home, "versions", PETS, level="narrow")
    assert (first.version, second.version) == (1, 2)
    assert specification.newest(home, "versions") == second
    assert specification.version(home, "versions", 1) == first
    assert first.created_by == str(actor.current())
    assert first.created_at is not None
    assert dt.datetime.now(dt.UTC) - first.created_at < dt.timedelta(minutes=10)
    written = lake.read(home.lake, specification.TABLE)["specification"].to_pylist()
    assert not any(key in text for text in written for key in everybody), "keys stand in their own column"


def test_audiences_that_leave_one_another_out_in_a_circle_are_refused(home: Settings) -> None:
    saved(home, "circle-a")
    saved(home, "circle-b", without_audiences=("circle-a",))
    saved(home, "circle-c", without_audiences=("circle-b",))
    with pytest.raises(BadInput, match="in a circle: circle-"):
        saved(home, "circle-a", without_audiences=("circle-c",))
    with pytest.raises(BadInput, match="in a circle"):
        saved(home, "circle-a", without_audiences=("circle-a",))
    order = specification.in_order(home)
    assert order.index("circle-a") < order.index("circle-b") < order.index("circle-c")
    with pytest.raises(BadInput, match="left out of circle-b"):
        membership.forget(home, "circle-a")
    assert "circle-a" in specification.names(home)


def test_a_preview_shows_what_a_refresh_then_finds_and_saves_nothing(home: Settings) -> None:
    other = refreshed(home, "overlapping", PETS, top=80)
    names = specification.names(home)
    wanted = specification.draft(home, audience="previewed", question=GOLD, top=50, holdout=0.3)
    seen = preview.preview(home, wanted)
    assert specification.names(home) == names
    assert membership.last(home, "previewed") is None

    then = refreshed(home, "previewed", top=50, holdout=0.3)
    members = membership.members(home, then)
    chosen, ids = members["user_key"].to_pylist(), keys.user_ids(home, members["user_key"].to_pylist())
    assert (seen.size, seen.base, seen.eligible, seen.held_out) == (50, then.base, then.eligible, then.held_out)
    assert seen.share_of_base == pytest.approx(50 / then.base)
    assert [s.user_id for s in seen.sample] == [ids[chosen[s.rank - 1]] for s in seen.sample]
    assert [s.score for s in seen.sample] == [members["score"][s.rank - 1].as_py() for s in seen.sample]
    ranks = [s.rank for s in seen.sample]
    assert (len(ranks), ranks[0], ranks[-1]) == (10, 1, 50), "from the best to the last"
    assert {b - a for a, b in itertools.pairwise(ranks)} <= {5, 6}
    assert any(s.evidence for s in seen.sample)
    assert sum(seen.histogram.counts) == seen.eligible
    assert seen.histogram.threshold == then.threshold == min(members["score"].to_pylist())
    theirs = set(keys_at(home, other))
    shared = len(theirs & set(chosen))
    overlap = next(o for o in seen.overlaps if o.audience == "overlapping")
    assert (overlap.size, overlap.shared) == (80, shared)
    assert overlap.jaccard == pytest.approx(shared / (80 + 50 - shared))


def test_a_jump_of_the_size_is_warned_of_before_it_happens(home: Settings) -> None:
    refreshed(home, "jumping", top=50)
    for top, warns in ((35, False), (34, True), (65, False), (66, True)):
        seen = preview.preview(home, specification.draft(home, audience="jumping", question=GOLD, top=top))
        assert (seen.last_size, seen.warning is not None) == (50, warns), top
    assert membership.jump(50, 20) == "the size goes from 50 to 20 (-60%), more than 30%"
    assert membership.jump(None, 20) is None
    assert membership.jump(0, 0) is None
    assert membership.jump(0, 3) is not None


def test_the_picture_is_drawn_with_and_without_a_curve(home: Settings) -> None:
    scores = preview.histogram(lookup.score(home, GOLD), 30)
    falling = curve((0.01, 0.5), (0.1, 0.3), (1.0, 0.1))
    alone, both = pictures.plot(scores, []), pictures.plot(scores, falling)
    for picture in (alone, both):
        assert picture.startswith(b"\x89PNG")
    width = [int.from_bytes(picture[16:20]) for picture in (alone, both)]
    assert width[1] == 2 * width[0]


def test_a_refresh_of_the_same_state_changes_nothing(home: Settings) -> None:
    first = membership.refresh(home, saved(home, "same", holdout=0.2).audience)
    assert (first.changed, first.size_before, first.refresh.joins, first.refresh.leaves) == (True, None, 60, 0)
    tables = (membership.MEMBERS, membership.REFRESHES)
    versions = [lake.version(home.lake, table) for table in tables]
    again = membership.refresh(home, "same")
    assert (again.changed, again.refresh) == (False, first.refresh)
    assert [lake.version(home.lake, table) for table in tables] == versions
    assert membership.history(home, "same") == [first.refresh]


def test_who_joins_and_who_leaves_can_be_read_back(apart: Settings, tmp_path: Path) -> None:
    first = refreshed(apart, "moving", holdout=0.2)
    then = keys_at(apart, first)
    gone = [then[2], then[17]]
    suppress(apart, tmp_path, gone)
    outcome = membership.refresh(apart, "moving")
    now = keys_at(apart, outcome.refresh)
    assert (outcome.changed, outcome.refresh.refresh, outcome.size_before) == (True, 2, 60)
    assert (outcome.refresh.joins, outcome.refresh.leaves, outcome.refresh.size) == (2, 2, 60)
    came, left = membership.moved(apart, "moving", 2)
    assert set(left) == set(gone)
    assert set(came) == set(now) - set(then)
    assert membership.moved(apart, "moving", 1) == (sorted(then), [])
    assert keys_at(apart, first) == then, "the refresh before is still there"
    kept = set(then) & set(now)
    held = [
        dict(zip(*(membership.members(apart, r)[c].to_pylist() for c in ("user_key", "holdout")), strict=True))
        for r in (first, outcome.refresh)
    ]
    assert {k: held[0][k] for k in kept} == {k: held[1][k] for k in kept}, "nobody changes between the holdout and the others"


def test_whatever_fails_leaves_the_last_members_in_place(apart: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = refreshed(apart, "failing")
    then = keys_at(apart, good)
    suppress(apart, tmp_path, then[:3])
    pointer = apart.home / "index" / "current.json"
    pointer.rename(pointer.with_suffix(".away"))
    with pytest.raises(BadInput, match="Nothing is published"):
        membership.refresh(apart, "failing")
    pointer.with_suffix(".away").rename(pointer)
    assert membership.last(apart, "failing") == good

    with monkeypatch.context() as patched:  # a crash between the two writes

        def full(*_: object, **__: object) -> None:
            raise OSError("no space left on the device")

        patched.setattr(lake, "append", full)
        with pytest.raises(OSError, match="no space left"):
            membership.refresh(apart, "failing")
    assert membership.last(apart, "failing") == good
    assert keys_at(apart, good) == then
    after = membership.refresh(apart, "failing").refresh
    assert (after.refresh, after.leaves, after.joins) == (2, 3, 3)
    assert (
        len(set(keys_at(apart, after)))
        == lake.read(apart.lake, membership.MEMBERS)
        .filter(
            pa.compute.field("refresh") == 2  # pyright: ignore[reportAttributeAccessIssue]
        )
        .num_rows
        == 60
    )


def test_the_holdout_is_the_same_for_ever_and_of_the_share_asked_for(home: Settings, tmp_path: Path) -> None:
    users = [hashlib.md5(str(i).encode()).hexdigest() for i in range(20_000)]
    tenth = membership.held_out(home, "campaign", users, 0.1)
    assert (tenth == membership.held_out(home, "campaign", users, 0.1)).all()
    assert tenth.mean() == pytest.approx(0.1, abs=0.01)
    fifth = membership.held_out(home, "campaign", users, 0.2)
    assert fifth[tenth].all(), "a larger share keeps who was held out"
    other = membership.held_out(home, "other", users, 0.1)
    assert other[tenth].mean() == pytest.approx(0.1, abs=0.03), "two audiences have nothing to do with each other"
    elsewhere = membership.held_out(Settings(home=tmp_path), "campaign", users, 0.1)
    assert elsewhere[tenth].mean() == pytest.approx(0.1, abs=0.03), "nor have two homes"
    assert not membership.held_out(home, "campaign", users, 0.0).any()


def test_a_saved_audience_is_left_out_of_another_with_its_holdout(home: Settings) -> None:
    first = refreshed(home, "first-choice", top=40, holdout=0.5)
    theirs = keys_at(home, first)
    by_hand = (lookup.score(home, GOLD).keys)[45]
    second = refreshed(home, "second-choice", top=40, without_audiences=("first-choice",), without_users=(by_hand,))
    mine = keys_at(home, second)
    assert not set(mine) & {*theirs, by_hand}
    assert mine == [key for key in lookup.score(home, GOLD).keys if key not in {*theirs, by_hand}][:40]
    saved(home, "never-refreshed")
    saved(home, "third-choice", without_audiences=("never-refreshed",))
    with pytest.raises(BadInput, match="has no members yet"):
        membership.refresh(home, "third-choice")


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
    done = export.export(home, "leaving", path, overwrite=True)
    assert (done.users, done.kept_back, done.held_out) == (len(rows), 0, refresh.held_out)
    written = pq.read_table(path).to_pylist() if suffix == ".parquet" else list(csv.DictReader(path.open(newline="")))
    assert [(r["user_id"], float(r["score"])) for r in written] == rows
    assert {str(r["holdout"]).lower() for r in written} == {"false"}
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name, f"{path.name}.provenance.json"]
    assert [stat.S_IMODE(p.stat().st_mode) for p in (path, done.provenance)] == [0o600, 0o600]

    said = json.loads(done.provenance.read_text())
    assert said["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert said["specification"]["sentence"] == GOLD.sentence
    assert said["specification"]["where"] == "events_28d >= 2"
    assert (said["model_version"], said["index_version"]) == (refresh.model_version, refresh.index_version)
    assert said["delta_versions"]["user_embeddings"] == lake.version(home.lake, "user_embeddings")
    assert said["delta_versions"]["raw_events"] == lake.version(home.lake, "raw_events")
    assert said["threshold"] == refresh.threshold
    assert said["counts"] == {
        "base": refresh.base,
        "eligible": refresh.eligible,
        "members": 60,
        "without_id": 0,
        "after_suppression": 60,
        "holdout": refresh.held_out,
        "in_file": len(rows),
    }
    assert said["exported_by"] == str(actor.current())
    assert not any(user in done.provenance.read_text() for pair in ids.items() for user in pair)

    whole = export.export(home, "leaving", path, with_holdout=True, overwrite=True)
    assert (whole.users, json.loads(whole.provenance.read_text())["holdout_in_file"]) == (60, True)


def test_who_was_suppressed_after_the_refresh_does_not_leave(apart: Settings, tmp_path: Path) -> None:
    refresh = refreshed(apart, "suppressed-later", holdout=0.2)
    members = membership.members(apart, refresh).to_pylist()
    exposed = [m["user_key"] for m in members if not m["holdout"]]
    gone = exposed[::7]
    ids = keys.user_ids(apart, [m["user_key"] for m in members])
    suppress(apart, tmp_path, gone)
    done = export.export(apart, "suppressed-later", tmp_path / "users.csv")
    written = {r["user_id"] for r in csv.DictReader((tmp_path / "users.csv").open(newline=""))}
    assert written == {ids[key] for key in exposed if key not in gone}
    assert (done.users, done.kept_back) == (len(exposed) - len(gone), len(gone))
    counts = json.loads(done.provenance.read_text())["counts"]
    assert (counts["members"], counts["after_suppression"]) == (60, 60 - len(gone))

    vault.remove(apart, [next(key for key in exposed if key not in gone)])
    again = export.export(apart, "suppressed-later", tmp_path / "users.csv", overwrite=True)
    assert (again.users, again.kept_back, again.without_id) == (done.users - 1, done.kept_back + 1, 1), "who was erased has no id"
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
    done = export.export(asks, "consent-later", tmp_path / "users.csv")
    assert (done.users, done.kept_back) == (len(may_leave), 30)


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


def test_the_audit_has_a_row_for_everything_and_names_no_user(home: Settings, tmp_path: Path) -> None:
    everybody = lookup.score(home, GOLD).keys
    before = len(audit.entries(home))
    wanted = specification.draft(home, audience="audited", question=GOLD, top=20, without_users=tuple(everybody[:2]))
    preview.preview(home, wanted)
    specification.save(home, wanted)
    membership.refresh(home, "audited")
    done = export.export(home, "audited", tmp_path / "users.csv")
    rows = audit.entries(home)[: len(audit.entries(home)) - before]
    assert [r["action"] for r in rows] == ["export", "refresh", "save", "preview"], "newest first"
    assert [r["rows"] for r in rows] == [20, 20, None, 20]
    assert {(r["who"], r["audience"]) for r in rows} == {(str(actor.current()), "audited")}
    asked = json.loads(rows[0]["question"])
    assert (asked["sentence"], asked["without_users"], asked["top"]) == (GOLD.sentence, 2, 20)
    assert json.loads(done.provenance.read_text())["sha256"] in rows[0]["reason"]
    assert all(dt.timedelta(0) <= dt.datetime.now(dt.UTC) - r["at"] < dt.timedelta(minutes=10) for r in rows)
    said = json.dumps(audit.entries(home), default=str)
    assert not any(user in said for pair in keys.user_ids(home, everybody).items() for user in pair)


def test_no_raw_id_is_in_the_tables_and_no_key_in_their_logs(home: Settings) -> None:
    everybody = lookup.score(home, GOLD).keys
    refresh = refreshed(home, "private", holdout=0.2, without_users=tuple(everybody[:2]))
    ids = set(keys.user_ids(home, everybody).values())
    tables = (specification.TABLE, membership.MEMBERS, membership.REFRESHES)
    for table in tables:
        told = json.dumps(lake.read(home.lake, table).to_pylist(), default=str)
        assert not any(user in told for user in ids), table
    logs = "".join(log.read_text() for table in tables for log in (home.lake / table / "_delta_log").glob("*.json"))
    assert refresh.audience in logs
    assert not any(key in logs for key in everybody)


@pytest.fixture
def big(apart: Settings) -> tuple[Settings, membership.Refresh]:
    """An audience of nearly everybody, half of it held out, exported the day before its week, which the data has."""
    refresh = refreshed(apart, "everybody", top=10_000, holdout=0.5)
    dated(apart, refresh, midnight(refresh.as_of, -20))
    exported(apart, refresh, midnight(refresh.as_of, -10))
    return apart, refresh


def counted(settings: Settings, refresh: membership.Refresh, category: str) -> dict[bool, tuple[int, int]]:
    """Users and doers by holdout, counted row by row."""
    end = refresh.as_of + dt.timedelta(days=7)
    did = {
        e["user_key"]
        for e in lake.read(settings.lake, "raw_events").to_pylist()
        if refresh.as_of <= e["event_date"] < end and not e["exposure"] and (e["category"] or "").lower() == category.lower()
    }
    members = membership.members(settings, refresh).to_pylist()
    groups = {held: [m["user_key"] for m in members if m["holdout"] is held] for held in (False, True)}
    return {held: (len(group), len(did & set(group))) for held, group in groups.items()}


def test_lift_counts_who_did_it_in_the_window_and_finds_no_effect_where_there_is_none(
    big: tuple[Settings, membership.Refresh],
) -> None:
    settings, refresh = big
    categories = lake.read(settings.lake, "raw_events", columns=["category"])["category"].to_pylist()
    common = max({c for c in categories if c}, key=categories.count)
    found = lift.measure(settings, "everybody", categories=(common.upper(),))
    by_hand = counted(settings, refresh, common)
    assert (found.exposed.users, found.exposed.did) == by_hand[False]
    assert (found.holdout.users, found.holdout.did) == by_hand[True]
    assert by_hand[False][1] > 5
    dear = lift._groups(settings, refresh, found.first, found.end, [], [common.lower()], CHANNELS, 1e12)
    assert (dear[0].users, dear[0].did, dear[1].did) == (found.exposed.users, 0, 0)
    assert (found.first, found.end) == (refresh.as_of, refresh.as_of + dt.timedelta(days=7))
    assert found.difference == pytest.approx(found.exposed.share - found.holdout.share)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0 < found.high, "nothing was done to anybody"
    assert found.word.startswith("no difference that could not be chance")
    by_demand = lift.measure(settings, "everybody")
    assert 0 < by_demand.exposed.did + by_demand.holdout.did < refresh.size
    assert "texts, in " in by_demand.outcome


def test_lift_finds_what_was_done_to_the_exposed_alone(big: tuple[Settings, membership.Refresh]) -> None:
    settings, refresh = big
    events = lake.read(settings.lake, "raw_events")
    exposed = [m["user_key"] for m in membership.members(settings, refresh).to_pylist() if not m["holdout"]]
    template = next(e for e in events.to_pylist() if e["event_date"] == refresh.as_of and not e["exposure"])
    in_time = [{**template, "user_key": key, "category": "Planted"} for key in exposed[::4]]
    first_day = dt.timedelta(days=7)
    late = [{**template, "user_key": key, "category": "Planted", "event_date": refresh.as_of + first_day} for key in exposed[1::4]]
    early = [
        {**template, "user_key": key, "category": "Planted", "event_date": refresh.as_of - dt.timedelta(days=1)}
        for key in exposed[2::4]
    ]
    done_to = [{**template, "user_key": key, "category": "Planted", "exposure": True} for key in exposed[3::4]]
    lake.append(
        settings.lake, "raw_events", pa.Table.from_pylist(in_time + late + early + done_to, events.schema), schema=events.schema
    )
    found = lift.measure(settings, "everybody", categories=("planted",))
    assert (found.exposed.did, found.holdout.did) == (len(in_time), 0)
    assert found.low is not None
    assert found.low > 0
    assert found.word == "more of the exposed did it, beyond chance (95 %)"
    assert lift.measure(settings, "everybody", days=6, texts=(f"  {template['text'].upper()} ",)).exposed.did >= len(in_time)


def test_lift_of_an_audience_that_was_saved_after_the_days_it_is_about_is_refused(apart: Settings) -> None:
    refresh = refreshed(apart, "late", top=10_000, holdout=0.5)
    newest = max(lake.read(apart.lake, "raw_events", columns=["event_date"])["event_date"].to_pylist())
    dated(apart, refresh, midnight(newest, 30))
    with pytest.raises(
        BadInput, match=f"was made on .* and never exported, .* the data goes to {newest}. No campaign can have come"
    ):
        lift.measure(apart, "late", categories=("anything",))
    exported(apart, refresh, midnight(newest, 50))
    with pytest.raises(BadInput, match=f"first exported on {midnight(newest, 50):%Y-%m-%d}.* No campaign can have come of it"):
        lift.measure(apart, "late", days=1, categories=("anything",))


def test_lift_begins_after_the_first_export_and_never_credits_what_was_not_exported(
    big: tuple[Settings, membership.Refresh], found: Callable[..., Outcome]
) -> None:
    settings, refresh = big
    events = lake.read(settings.lake, "raw_events")
    exposed = [m["user_key"] for m in membership.members(settings, refresh).to_pylist() if not m["holdout"]]
    template = next(e for e in events.to_pylist() if e["event_date"] == refresh.as_of and not e["exposure"])
    planted = [{**template, "user_key": key, "category": "Planted"} for key in exposed]
    lake.append(settings.lake, "raw_events", pa.Table.from_pylist(planted, events.schema), schema=events.schema)
    assert "beyond chance" in lift.measure(settings, "everybody", categories=("planted",)).word

    exported(settings, refresh, midnight(refresh.as_of, -15), ", with the holdout")
    both = lift.measure(settings, "everybody", categories=("planted",))
    assert "the holdout was exported too" in both.word
    assert [(e.users, e.with_holdout) for e in both.exports] == [(60, True), (60, False)]

    again = refreshed(settings, "again", top=10_000, holdout=0.5)
    dated(settings, again, midnight(again.as_of, -20))
    exported(settings, again, midnight(again.as_of, -30))  # of an audience of this name that was forgotten
    never = lift.measure(settings, "again", categories=("planted",))
    assert never.exports == ()
    assert never.difference is not None
    assert never.word.startswith("this refresh was never exported, so no campaign can have come of it")
    said = found("audience", "lift", "again", "--category", "planted", "--home", settings.home)
    assert (said.status, "never exported" in said.out, "beyond chance" in said.out) == (0, True, False), said.err
    exported(settings, again, midnight(again.as_of, 15))
    later = lift.measure(settings, "again", days=5, categories=("planted",))
    assert (later.first, later.exposed.did) == (again.as_of + dt.timedelta(days=1), 0), (
        "what came before the export counts for nothing"
    )


def test_lift_says_when_groups_are_too_small_and_when_time_has_not_passed(apart: Settings) -> None:
    refresh = refreshed(apart, "small", top=60, holdout=0.2)
    dated(apart, refresh, midnight(refresh.as_of, -20))
    exported(apart, refresh, midnight(refresh.as_of, -10))
    found = lift.measure(apart, "small", categories=("anything",))
    assert (found.difference, found.low, found.high) == (None, None, None)
    assert f"{refresh.held_out} held out" in found.word
    assert "nothing can be said" in found.word
    with pytest.raises(
        BadInput, match=f"Too little time has passed: .* as of {refresh.as_of} and first exported .* ask for fewer by --days"
    ):
        lift.measure(apart, "small", days=60)
    refreshed(apart, "nobody-held-out")
    with pytest.raises(BadInput, match="held anybody out"):
        lift.measure(apart, "nobody-held-out")


def test_the_commands_from_preview_to_forget(apart: Settings, tmp_path: Path, found: Callable[..., Outcome]) -> None:
    home = ("--home", apart.home)

    def said(*command: object) -> dict:
        outcome = found("audience", *command, *home, "--format", "json")
        assert outcome.status == 0, outcome.err
        return json.loads(outcome.out)

    left_out = tmp_path / "left_out.txt"
    left_out.write_text("user_id\nnobody-we-know\n")
    demand = [GOLD.sentence, "--where", "events_28d >= 1", "--exclude", left_out, "--top", 40, "--holdout", 0.25]
    seen = said("preview", *demand, "--plot", tmp_path / "preview.png")
    assert (tmp_path / "preview.png").read_bytes().startswith(b"\x89PNG")
    again = found("audience", "preview", *demand, "--plot", tmp_path / "preview.png", *home)
    assert (again.status, "preview.png exists already" in again.err) == (2, True)
    assert seen["size"] == 40
    table = found("audience", "preview", *demand, *home)
    assert table.status == 0, table.err
    assert all(sample["user_id"] in table.out for sample in seen["sample"])

    made = said("save", "gold-soon", *demand)["audiences"][0]
    assert (made["version"], made["refresh"]["size"], made["refresh"]["joins"]) == (1, 40, 40)
    again = found("audience", "refresh", "gold-soon", *home)
    assert (again.status, "nobody joined, nobody left" in again.out) == (0, True), again.err
    (line,) = (line.split() for line in again.out.splitlines() if line.split()[:1] == ["gold-soon"])
    assert line[1:4] == ["40", "0", "0"], "nobody joined and nobody left in the table too"
    assert [(a["audience"], a["changed"]) for a in said("refresh", "gold-soon")["audiences"]] == [("gold-soon", False)]
    assert said("preview", "--name", "gold-soon")["last_size"] == 40
    said("save", "pets", PETS.sentence, "--without", "gold-soon", "--level", "broad")
    assert [a["audience"] for a in said("refresh", "--all")["audiences"]] == ["gold-soon", "pets"]
    assert [a["audience"] for a in said("list")["audiences"]] == ["gold-soon", "pets"]
    shown = said("show", "gold-soon")
    assert (shown["specification"]["without_users"], len(shown["refreshes"])) == (1, 1)
    assert found("audience", "lift", "gold-soon", *home).status == 2, "nothing can have come of it in data that is older"
    last = membership.last(apart, "gold-soon")
    assert last is not None
    dated(apart, last, midnight(last.as_of, -20))
    for command in (("list",), ("show", "gold-soon"), ("audit",), ("lift", "gold-soon")):
        outcome = found("audience", *command, *home)
        assert outcome.status == 0, outcome.err
    assert "gold-soon" in found("audience", "list", *home).out

    assert said("lift", "gold-soon", "--days", 5)["holdout"]["users"] == made["refresh"]["held_out"]
    done = said("export", "gold-soon", "--out", tmp_path / "users.csv")
    assert done["users"] == 40 - made["refresh"]["held_out"]
    actions = [entry["action"] for entry in said("audit")["entries"]]
    assert actions[:3] == ["export", "lift", "lift"]
    assert found("audience", "lift", "gold-soon", *home).status == 2, "it was exported after the data's end"

    for command, status, message in (
        (("save", "preview", GOLD.sentence), 2, "No audience is called preview"),
        (("refresh",), 2, "or --all"),
        (("refresh", "pets", "--all"), 2, "or --all"),
        (("show", "nobody"), 2, "there are gold-soon, pets"),
        (("forget", "gold-soon"), 2, "left out of pets"),
        (("forget", "pets"), 0, ""),
        (("show", "pets"), 2, "There is no audience 'pets'"),
        (("export", "pets", "--out", tmp_path / "pets.csv"), 2, "There is no audience 'pets'"),
    ):
        outcome = found("audience", *command, *home)
        assert (outcome.status, message in outcome.err) == (status, True), (command, outcome)
    left = lake.read(apart.lake, membership.MEMBERS)["audience"].to_pylist()
    assert set(left) == {"gold-soon"}


def test_a_filter_that_selects_nobody_is_said_in_a_sentence_by_every_command(
    apart: Settings, tmp_path: Path, found: Callable[..., Outcome]
) -> None:
    home, where = ("--home", apart.home), ("--where", "events_28d > 100000")
    base = lookup.score(apart, GOLD).base
    sentence = f"Nobody matches the filter 'events_28d > 100000'; {base:,} users have a history."
    for mode in ("aligned", "auto"):
        shown = found("audience", "find", GOLD.sentence, *where, "--mode", mode, *home)
        assert (shown.status, sentence in shown.out, "score" in shown.out) == (0, True, False), shown.err
    answer = json.loads(found("audience", "find", GOLD.sentence, *where, *home, "--format", "json").out)
    assert (answer["count"], answer["users"], answer["note"]) == (0, [], sentence)
    written = found("audience", "find", GOLD.sentence, *where, *home, "--out", tmp_path / "nobody.csv")
    assert sentence in written.err
    assert sentence[:-1] in found("audience", "preview", GOLD.sentence, *where, *home).out
    saved_one = found("audience", "save", "nobody-there", GOLD.sentence, *where, *home)
    assert (saved_one.status, f"Nobody is in nobody-there: {sentence}" in saved_one.out) == (0, True), saved_one.err

    everybody = lookup.score(apart, GOLD).keys
    left_out = tmp_path / "all.txt"
    left_out.write_text("user_id\n" + "".join(f"{name}\n" for name in keys.user_ids(apart, everybody).values()))
    excluded = json.loads(found("audience", "find", GOLD.sentence, "--exclude", left_out, *home, "--format", "json").out)
    assert excluded["note"].startswith(f"None of the {base:,} users with a history can be chosen")
    high = json.loads(found("audience", "find", GOLD.sentence, "--min-score", 1000, *home, "--format", "json").out)
    assert high["note"].startswith("Nobody scores 1000 or more: the best of ")
    assert lookup.find(apart, GOLD).note is None


def test_a_look_up_replaces_no_file_unless_it_is_told_to(home: Settings, tmp_path: Path, found: Callable[..., Outcome]) -> None:
    out = tmp_path / "users.csv"
    command = ("audience", "find", GOLD.sentence, "--mode", "aligned", "--top", 5, "--out", out, "--home", home.home)
    assert found(*command).status == 0
    before = out.read_text()
    refused = found(*command)
    assert (refused.status, "users.csv exists already" in refused.err, out.read_text()) == (2, True, before)
    out.unlink()
    beside = found(*command)
    assert (beside.status, "users.csv.provenance.json exists already" in beside.err, out.exists()) == (2, True, False)
    assert found(*command, "--force").status == 0
