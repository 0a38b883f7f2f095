"""The waterfall is exact, and says of one user which gate kept the user out."""

import numpy as np
import pytest

from found_platform import index
from found_platform.app import audiences, members
from found_platform.app.context import Actor, Context
from found_platform.app.lookups import Find, Question, Size, find
from found_platform.audiences import lookup, specification
from found_platform.audiences.gates import Standing
from found_platform.errors import Conflict, NotFound
from found_platform.privacy import keys
from found_platform.settings import Settings

ANN = Actor("ann", "test")
WHERE = "events_28d >= 2 AND age_band IS NOT NULL"
GOLD = Question("people who will soon buy gold", mode="aligned", where=WHERE)


@pytest.fixture
def ann(apart: Settings) -> Context:
    return Context(apart.home, ANN)


@pytest.fixture
def ids(ann: Context) -> list[str]:
    """The best twelve, best first."""
    return [user.user_id for user in find(ann, Find(GOLD, Size(top=12), exact=True)).audience.users]


def test_each_gate_of_the_waterfall_counts_exactly_who_is_left(ann: Context, ids: list[str]) -> None:
    draft = audiences.Draft(GOLD, Size(top=20), exclude=(tuple(ids[:3]),), holdout=0.5)
    preview = audiences.preview(ann, audiences.Previewing(draft)).preview
    steps = {step.gate: step for step in preview.waterfall}
    assert list(steps) == ["history", "filter", "suppression", "exclusions", "level", "holdout"]
    assert steps["history"].kept == preview.base
    assert steps["exclusions"].dropped == 3
    assert steps["exclusions"].kept == preview.eligible
    assert (steps["level"].kept, steps["level"].dropped) == (20, preview.eligible - 20)
    assert steps["holdout"].dropped == preview.held_out > 0
    table = lookup.population(ann.settings, index.live(ann.settings)).attributes.to_pandas()
    history = lookup.population(ann.settings, index.live(ann.settings)).has_history
    assert steps["filter"].kept == int(((table.events_28d >= 2) & table.age_band.notna() & history).sum())
    before = len(history)
    for step in preview.waterfall:
        assert step.kept + step.dropped == before
        before = step.kept


def test_why_names_the_gate_that_keeps_a_user_out(ann: Context, ids: list[str]) -> None:
    draft = audiences.Draft(GOLD, Size(top=5), exclude=((ids[0],),))

    def why(user: str) -> Standing:
        return members.why(ann, members.Why(user, draft))

    member = why(ids[1])
    assert (member.member, member.gate, member.rank, member.size) == (True, None, 1, 5)
    assert member.evidence
    assert why(ids[0]).gate == "exclusions"
    beyond = why(ids[9])
    assert (beyond.gate, beyond.rank, beyond.member) == ("level", 9, False)
    assert "9 of" in beyond.sentence
    assert why("nobody of this id").gate == "unknown"
    population = lookup.population(ann.settings, index.live(ann.settings))
    quiet = np.flatnonzero(np.asarray(population.attributes["events_28d"]) < 2)
    key = population.keys.take(quiet[:1])[0]
    assert why(f"{key[:10]}…").user_key == key, "as pages show it"
    assert why(f"{key[:9]}…").gate == "unknown"
    by_pseudonym = why(key)
    assert by_pseudonym.gate == "filter"
    assert "events_28d >= 2, and events_28d is" in by_pseudonym.sentence


def test_members_and_moves_are_pages_and_name_users_by_pseudonym_unless_they_may_be_revealed(ann: Context, ids: list[str]) -> None:
    audiences.save(ann, audiences.Save("gold", audiences.Draft(GOLD, Size(top=8))))
    audiences.save(ann, audiences.Save("gold", audiences.Draft(GOLD, Size(top=4), exclude=((ids[0],),))))
    first = members.page(ann, members.Page("gold", limit=3))
    second = members.page(ann, members.Page("gold", start=first.next or 0, limit=3))
    assert [m.user for m in (*first.members, *second.members)] == ids[1:5]
    assert (first.next, second.next, second.size) == (3, None, 4)
    hidden = members.page(Context(ann.home, ANN, reveal=False), members.Page("gold"))
    secret = keys.home_secret(ann.settings)
    assert [m.user for m in hidden.members] == [keys.user_key(secret, user) for user in ids[1:5]]
    moves = members.moves(ann, members.MovesOf("gold"))
    assert (moves.joins, moves.leaves) == (0, 4)
    assert {move.user: move.because for move in moves.left}[ids[0]] == "exclusions"
    assert moves.reasons == {"level": 3, "exclusions": 1}
    with pytest.raises(NotFound, match="no refresh 9 of 'gold': there are 1 to 2"):
        members.page(ann, members.Page("gold", refresh=9))


def test_the_second_of_two_editors_is_told_and_overwrites_nothing(ann: Context, ids: list[str]) -> None:
    draft = audiences.Draft(GOLD, Size(top=8), exclude=((ids[0],),))
    audiences.save(ann, audiences.Save("gold", draft, after=0))
    audiences.save(ann, audiences.Save("gold", audiences.Draft(GOLD, Size(top=6), exclude_as_before=True), after=1))
    with pytest.raises(Conflict, match=r"saved version 2 of 'gold' .* after you read version 1"):
        audiences.save(ann, audiences.Save("gold", draft, after=1))
    with pytest.raises(Conflict, match="the name is taken"):
        audiences.save(ann, audiences.Save("gold", draft, after=0))
    kept = specification.newest(ann.settings, "gold")
    assert (kept.version, kept.size.top, len(kept.without_users)) == (2, 6, 1)
