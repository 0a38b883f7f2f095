"""How an audience is kept: how often it is refreshed, frozen or not, and where its members go."""

import pytest

from dagster_defs.graph import AssetGraph
from found_platform.app import audiences, deliveries
from found_platform.app.context import Actor, Context
from found_platform.app.lookups import Question, Size
from found_platform.audiences import membership, specification
from found_platform.errors import BadInput, Conflict, NotFound
from found_platform.settings import Settings

GOLD = audiences.Draft(Question("people who will soon buy gold", mode="aligned"), Size(top=20))


@pytest.fixture
def ann(apart: Settings) -> Context:
    context = Context(apart.home, Actor("ann", "test"))
    audiences.save(context, audiences.Save("gold", GOLD))
    audiences.save(context, audiences.Save("more", GOLD))
    return context


def test_a_frozen_audience_keeps_its_members_until_it_is_let_go(ann: Context) -> None:
    audiences.keep(ann, audiences.Upkeep("gold", every="never"))
    before = membership.last(ann.settings, "gold")
    with pytest.raises(Conflict, match=r"'gold' is frozen, by test:ann on .*found audience keep gold --every day"):
        audiences.refresh(ann, "gold")
    with pytest.raises(Conflict, match="is frozen"):
        audiences.save(ann, audiences.Save("gold", audiences.Draft(GOLD.question, Size(top=5))))
    refreshed = audiences.refresh(ann, None)
    assert ([row.specification.audience for row in refreshed.audiences], refreshed.frozen) == (["more"], ("gold",))
    assert membership.last(ann.settings, "gold") == before
    assert AssetGraph(ann.settings).keys("audience_members") == ["more"]  # it is never stale
    audiences.keep(ann, audiences.Upkeep("gold", every="day"))
    assert not audiences.refresh(ann, "gold").failure
    versions = audiences.versions(ann, "gold")
    assert [dict(each.changes) for each in versions[:2]] == [{"every": ("never", None)}, {"every": (None, "never")}]


def test_an_edit_of_the_question_leaves_the_upkeep_as_it_is(ann: Context) -> None:
    deliveries.add_destination(ann, deliveries.NewDestination("crm", "https://crm.example/hook"))
    audiences.keep(ann, audiences.Upkeep("gold", every="hour", deliver_to=("crm",), deliver_changes=True))
    audiences.save(ann, audiences.Save("gold", audiences.Draft(GOLD.question, Size(top=5))))
    newest = specification.newest(ann.settings, "gold")
    assert (newest.every, newest.deliver_to, newest.deliver_changes, newest.size.top) == ("hour", ("crm",), True, 5)
    with pytest.raises(BadInput, match="gold is delivered to crm: take it out first"):
        deliveries.remove_destination(ann, deliveries.RemoveDestination("crm"))
    audiences.keep(ann, audiences.Upkeep("gold", deliver_to=()))
    deliveries.remove_destination(ann, deliveries.RemoveDestination("crm"))


def test_what_cannot_be_kept_is_said(ann: Context) -> None:
    with pytest.raises(NotFound, match="There is no destination 'crm'"):
        audiences.keep(ann, audiences.Upkeep("gold", deliver_to=("crm",)))
    with pytest.raises(BadInput, match="every is 'minute'"):
        audiences.keep(ann, audiences.Upkeep("gold", every="minute"))
    with pytest.raises(NotFound, match="There is no audience 'silver'"):
        audiences.keep(ann, audiences.Upkeep("silver", every="never"))
    number = specification.newest(ann.settings, "gold").version
    audiences.keep(ann, audiences.Upkeep("gold", every="day"))
    assert specification.newest(ann.settings, "gold").version == number  # nothing to say, nothing said
