"""Lift: what an exported audience was worth against its holdout."""

import datetime as dt
from collections.abc import Callable

import pyarrow as pa
import pytest
from campaign_times import dated, exported, midnight
from conftest import Outcome
from saved_audiences import refreshed

from found_platform import lake
from found_platform.audiences import lift, membership
from found_platform.contract import CHANNELS
from found_platform.errors import BadInput
from found_platform.settings import Settings


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
    measured = lift.measure(settings, "everybody", categories=(common.upper(),))
    by_hand = counted(settings, refresh, common)
    assert (measured.exposed.users, measured.exposed.did) == by_hand[False]
    assert (measured.holdout.users, measured.holdout.did) == by_hand[True]
    assert by_hand[False][1] > 5
    dear = lift._groups(settings, refresh, measured.first, measured.end, [], [common.lower()], CHANNELS, 1e12)
    assert (dear[0].users, dear[0].did, dear[1].did) == (measured.exposed.users, 0, 0)
    assert (measured.first, measured.end) == (refresh.as_of, refresh.as_of + dt.timedelta(days=7))
    assert measured.difference == pytest.approx(measured.exposed.share - measured.holdout.share)
    assert measured.low is not None
    assert measured.high is not None
    # A home's secret draws the holdout, and one interval of twenty leaves out the truth: the truth lies within twice as far.
    assert abs(measured.difference) < measured.high - measured.low, "nothing was done to anybody"
    assert measured.word.startswith("no difference that could not be chance") == (measured.low < 0 < measured.high)
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
    measured = lift.measure(settings, "everybody", categories=("planted",))
    assert (measured.exposed.did, measured.holdout.did) == (len(in_time), 0)
    assert measured.low is not None
    assert measured.low > 0
    assert measured.word == "more of the exposed did it, beyond chance (95 %)"
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
    outcome = found("audience", "lift", "again", "--category", "planted", "--home", settings.home)
    assert (outcome.status, "never exported" in outcome.out, "beyond chance" in outcome.out) == (0, True, False), outcome.err
    exported(settings, again, midnight(again.as_of, 15))
    later = lift.measure(settings, "again", days=5, categories=("planted",))
    assert (later.first, later.exposed.did) == (again.as_of + dt.timedelta(days=1), 0), (
        "what came before the export counts for nothing"
    )


def test_lift_says_when_groups_are_too_small_and_when_time_has_not_passed(apart: Settings) -> None:
    refresh = refreshed(apart, "small", top=60, holdout=0.2)
    dated(apart, refresh, midnight(refresh.as_of, -20))
    exported(apart, refresh, midnight(refresh.as_of, -10))
    measured = lift.measure(apart, "small", categories=("anything",))
    assert (measured.difference, measured.low, measured.high) == (None, None, None)
    assert f"{refresh.held_out} held out" in measured.word
    assert "nothing can be said" in measured.word
    with pytest.raises(
        BadInput, match=f"Too little time has passed: .* as of {refresh.as_of} and first exported .* ask for fewer by --days"
    ):
        lift.measure(apart, "small", days=60)
    refreshed(apart, "nobody-held-out")
    with pytest.raises(BadInput, match="held anybody out"):
        lift.measure(apart, "nobody-held-out")
