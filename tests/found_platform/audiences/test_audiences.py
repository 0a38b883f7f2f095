"""Saved audiences: sizes, versions, previews, refreshes with joins and leaves, the holdout, the audit."""

import dataclasses
import datetime as dt
import hashlib
import itertools
import json
from pathlib import Path

import pyarrow as pa
import pytest
from conftest import copy_of
from saved_audiences import GOLD, PETS, keys_at, refreshed, saved, suppress

from found_platform import lake
from found_platform.audiences import export, lookup, membership, pictures, preview, sizing, specification
from found_platform.audiences.lookup import Question
from found_platform.audiences.specification import Specification
from found_platform.errors import BadInput
from found_platform.privacy import actor, audit, keys
from found_platform.scoring.heads import OperatingPoint
from found_platform.settings import Settings


@pytest.fixture(scope="module")
def home(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A copy of the demo's home; each test names its audiences for itself."""
    return copy_of(settings, tmp_path_factory.mktemp("audiences"))


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
    count = len(scored.rows)

    def cut(past: list[OperatingPoint] | None = None, **size: object) -> sizing.Cut:
        sized = Specification(question=GOLD, **size)  # pyright: ignore[reportArgumentType]
        return sizing.cut(sized, dataclasses.replace(scored, curve=tuple(past or ())))

    assert cut(top=7).size == 7
    assert cut(top=10**6).size == count
    at = float(scored.scores[30])
    assert cut(min_score=at).size == sum(score >= at for score in scored.scores) >= 31
    assert cut(min_score=float(scored.scores[0]) + 1).size == 0
    without = {level: cut(level=level) for level in sizing.SHARES}
    assert [c.size for c in without.values()] == [max(1, round(share * count)) for share in (0.01, 0.05, 0.15)]
    assert all("there is no past to learn a size from" in c.why for c in without.values())
    falling = curve((0.01, 0.5), (0.05, 0.4), (0.1, 0.3), (0.5, 0.15), (1.0, 0.1))
    sizes = [cut(falling, level=level).size for level in sizing.KEPT]
    assert sizes == pytest.approx([share * count for share in (0.05, 0.1, 0.1 + 0.4 * 2 / 3)], abs=0.51)
    narrowed = lookup.score(home, dataclasses.replace(GOLD, where="events_28d >= 8"), frozenset(scored.keys[:3]))
    broad = Specification(question=GOLD, level="broad")
    size = sizing.cut(broad, dataclasses.replace(narrowed, curve=tuple(falling))).size
    assert narrowed.keys[:size] == [key for key in scored.keys[: sizes[2]] if key in set(narrowed.keys)], "no worse ones are let in"
    assert 0 < size < sizes[2]
    flat = cut(curve((0.01, 0.14), (1.0, 0.1)), level="broad")
    assert (flat.size, "no better than chance" in flat.why) == (round(0.15 * count), True)


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
    order = [each.audience for each in specification.moving(home)]
    assert order.index("circle-a") < order.index("circle-b") < order.index("circle-c")
    with pytest.raises(BadInput, match="left out of circle-b"):
        membership.forget(home, "circle-a")
    assert "circle-a" in specification.names(home)


def test_a_preview_shows_what_a_refresh_then_finds_and_saves_nothing(home: Settings) -> None:
    other = refreshed(home, "overlapping", PETS, top=80)
    names = specification.names(home)
    draft = specification.draft(home, audience="previewed", question=GOLD, top=50, holdout=0.3)
    seen = preview.preview(home, draft)
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
        assert (seen.last_size, "the size goes from" in (seen.warning or "")) == (50, warns), top
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


def test_the_audit_has_a_row_for_everything_and_names_no_user(home: Settings, tmp_path: Path) -> None:
    everybody = lookup.score(home, GOLD).keys
    before = len(audit.entries(home))
    draft = specification.draft(home, audience="audited", question=GOLD, top=20, without_users=tuple(everybody[:2]))
    preview.preview(home, draft)
    specification.save(home, draft)
    membership.refresh(home, "audited")
    exported = export.export(home, "audited", tmp_path / "users.csv")
    rows = audit.entries(home)[: len(audit.entries(home)) - before]
    assert [r["action"] for r in rows] == ["export", "refresh", "save", "preview"], "newest first"
    assert [r["rows"] for r in rows] == [20, 20, None, 20]
    assert {(r["who"], r["audience"]) for r in rows} == {(str(actor.current()), "audited")}
    question = json.loads(rows[0]["question"])
    assert (question["sentence"], question["without_users"], question["top"]) == (GOLD.sentence, 2, 20)
    assert json.loads(exported.provenance.read_text())["sha256"] in rows[0]["reason"]
    assert all(dt.timedelta(0) <= dt.datetime.now(dt.UTC) - r["at"] < dt.timedelta(minutes=10) for r in rows)
    whole_audit = json.dumps(audit.entries(home), default=str)
    assert not any(user in whole_audit for pair in keys.user_ids(home, everybody).items() for user in pair)


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
