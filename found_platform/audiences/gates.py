"""The gates between a population and an audience: how many users each keeps out, and which of them one user does not pass.

The counts and the answer for one user are read from the same masks that chose the members, so they cannot disagree. What belongs
here: reading gates. What does not: scoring (`lookup`), and how many are chosen (`sizing`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from found_platform.audiences import lookup, membership, sizing
from found_platform.audiences.answer import Scored, joined_filter
from found_platform.audiences.specification import Specification
from found_platform.privacy import keys
from found_platform.scoring import filters
from found_platform.scoring.evidence import Evidence
from found_platform.settings import Settings

UNKNOWN, LEVEL, HOLDOUT = "unknown", "level", "holdout"

LABELS = {
    "history": "have a history",
    "filter": "match the filter",
    "asked": "did before what is asked of them",
    "consent": "have consented",
    "suppression": "are not suppressed",
    "exclusions": "are not excluded",
    LEVEL: "score high enough",
    HOLDOUT: "are not held out of exports",
}
"""What is true of the users whom a gate lets pass."""


@dataclass(frozen=True)
class Step:
    """One gate of the waterfall: `kept` of the users whom the gate before let pass, `dropped` the others."""

    gate: str
    label: str
    kept: int
    dropped: int


def waterfall(scored: Scored, size: int, held_out: int) -> tuple[Step, ...]:
    """From everybody to those who would leave in an export, gate by gate; each user is dropped once, at the first gate."""
    remaining = np.ones(len(scored.population.keys), bool)
    steps: list[Step] = []
    for gate in scored.gates:
        before, remaining = int(remaining.sum()), remaining & gate.passed
        kept = int(remaining.sum())
        steps.append(Step(gate.name, LABELS[gate.name], kept, before - kept))
    steps.append(Step(LEVEL, LABELS[LEVEL], size, len(scored.rows) - size))
    if held_out:
        steps.append(Step(HOLDOUT, LABELS[HOLDOUT], size - held_out, held_out))
    return tuple(steps)


@dataclass(frozen=True)
class GateTest:
    """Whether a user passes a gate; `detail` says what decided, where there is something to say."""

    gate: str
    label: str
    passed: bool
    detail: str = ""


@dataclass(frozen=True)
class Standing:
    """Where one user stands towards an audience as it would be now.

    Attributes:
        user_key: None where nobody of that id is published.
        member: whether the user would be in it.
        gate: the first gate that keeps the user out, of the audience or (`holdout`) of its exports; None where none does.
        sentence: the same in words.
        rank: from 1, the best, among those who can be chosen; None for who cannot.
        evidence: what carried the score.
    """

    user_key: str | None
    member: bool
    gate: str | None
    sentence: str
    gates: tuple[GateTest, ...] = ()
    score: float | None = None
    probability: float | None = None
    rank: int | None = None
    eligible: int = 0
    size: int = 0
    threshold: float | None = None
    evidence: tuple[Evidence, ...] = ()
    as_of: str = ""
    model_version: str = ""
    index_version: str = ""
    in_newest_refresh: bool | None = None


def key_of(settings: Settings, user: str, scored: Scored) -> str | None:
    """The key of a user by the id of the source or by the pseudonym, also by its first characters as a page shows them; None where
    nobody of it is published."""
    user = user.strip()
    candidates = [keys.user_key(keys.home_secret(settings), user)]
    if re.fullmatch(r"[0-9a-f]{32}", user):
        candidates.append(user)
    hit = next((key for key in candidates if scored.population.keys.rows([key])[0] >= 0), None)
    shortened = re.fullmatch(r"([0-9a-f]{10,31})(?:…|\.\.\.)?", user)
    return hit or (shortened and scored.population.keys.beginning_with(shortened[1]))


def standing(settings: Settings, specification: Specification, user: str) -> Standing:
    """Why a user is in an audience or not, asked by the source's id or by the pseudonym. Raises BadInput for who was erased."""
    for key in (user, keys.user_key(keys.home_secret(settings), user)):
        keys.check_not_erased(settings, key)
    scored = lookup.score(settings, specification.question, membership.excluded(settings, specification))
    cut = sizing.cut(specification, scored)
    about = {
        "as_of": scored.published.as_of,
        "model_version": scored.published.model_version,
        "index_version": scored.published.name.removesuffix(".db"),
        "eligible": len(scored.rows),
        "size": cut.size,
        "threshold": float(scored.scores[cut.size - 1]) if cut.size else None,
    }
    key = key_of(settings, user, scored)
    if key is None:
        why = "Nobody of this id is in what is published: check the id (spaces and leading zeros count), or wait for the next run."
        return Standing(None, False, UNKNOWN, why, **about)
    keys.check_not_erased(settings, key)
    row = int(scored.population.keys.rows([key])[0])
    is_ranked = bool(scored.gates[0].passed[row])  # has a history
    held_out = bool(membership.held_out(settings, specification.audience, [key], specification.holdout)[0])
    tests = [
        GateTest(g.name, LABELS[g.name], bool(g.passed[row]), _filter_detail(settings, scored, row) if g.name == "filter" else "")
        for g in scored.gates
    ]
    places = np.flatnonzero(scored.rows == row)
    place = int(places[0]) if len(places) else None
    score = float(scored.ranking.of(scored.population)[row]) if is_ranked else None
    chance = float(scored.probabilities[place]) if place is not None and scored.probabilities is not None else None
    if place is not None:
        where = f"{place + 1:,} of {len(scored.rows):,} who can be chosen; the best {cut.size:,} are members"
        tests.append(GateTest(LEVEL, LABELS[LEVEL], place < cut.size, where))
        if place < cut.size and specification.holdout:
            tests.append(GateTest(HOLDOUT, LABELS[HOLDOUT], not held_out))
    gate = next((test.gate for test in tests if not test.passed), None)
    newest = membership.last(settings, specification.audience)
    listed = None if newest is None else key in set(membership.members(settings, newest)["user_key"].to_pylist())
    return Standing(
        user_key=key,
        member=gate in (None, HOLDOUT),
        gate=gate,
        sentence=_sentence(gate, tests, cut.why),
        gates=tuple(tests),
        score=score,
        probability=chance,
        rank=None if place is None else place + 1,
        evidence=tuple(lookup.explain(scored, [key]).get(key, ())) if is_ranked else (),
        in_newest_refresh=listed,
        **about,
    )


def first_gates(settings: Settings, specification: Specification, user_keys: Sequence[str], index_version: str) -> dict[str, str]:
    """For each of some users, the first gate that keeps them out as of now, or `member`, or `unknown`; nothing where another index
    than `index_version` answers by now."""
    scored = lookup.score(settings, specification.question, membership.excluded(settings, specification))
    if scored.published.name.removesuffix(".db") != index_version:
        return {}
    chosen = set(scored.rows[: sizing.cut(specification, scored).size].tolist())
    rows = scored.population.keys.rows(user_keys)
    reasons: dict[str, str] = {}
    for key, row in zip(user_keys, rows.tolist(), strict=True):
        closed = next((gate.name for gate in scored.gates if not gate.passed[row]), None) if row >= 0 else UNKNOWN
        reasons[key] = closed or ("member" if row in chosen else LEVEL)
    return reasons


def _sentence(gate: str | None, tests: Sequence[GateTest], size_because: str) -> str:
    detail = next((test.detail for test in tests if test.gate == gate), "")
    return {
        None: "A member: every gate lets this user pass.",
        "history": "Not a member: nothing that this user did is known before the published day.",
        "filter": f"Not a member: the filter does not hold ({detail}).",
        "asked": "Not a member: the demand is about users who did something before, and this user did not.",
        "consent": "Not a member: this user has not consented.",
        "suppression": "Not a member: this user is suppressed.",
        "exclusions": "Not a member: this user is left out by name, or is in an audience that is left out.",
        LEVEL: f"Not a member: the score is not high enough ({detail}). The size: {size_because}.",
        HOLDOUT: "A member who is held out of exports, so that what the audience is worth can be measured.",
    }[gate]


def _filter_detail(settings: Settings, scored: Scored, row: int) -> str:
    """The conditions that do not hold for a user, each with what the user has."""
    text = joined_filter(scored.question, scored.demand.outcome)
    attributes = scored.population.attributes
    where = filters.parse(text, attributes.schema) if text else None
    if where is None:
        return ""
    one, failing = attributes.slice(row, 1), []
    parts = where.parts if isinstance(where, filters.Junction) and where.operator == "and" else (where,)
    for part in parts:
        if not filters.selected(part, one, settings.duckdb_memory)[0]:
            values = ", ".join(f"{column} is {_value(one[column][0].as_py())}" for column in filters.columns_of(part))
            failing.append(f"{filters.in_words(part)}, and {values}")
    return "; ".join(failing)


def _value(value: object) -> str:
    if value is None:
        return "not known"
    return repr(value) if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)
