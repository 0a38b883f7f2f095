"""What a home offers to whoever builds an audience: columns of filters with values, and demands that its data can answer."""

import contextlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from found_platform.app.context import Context
from found_platform.app.use_case import Effect, use_case
from found_platform.audiences.question import Question, Size
from found_platform.cache import single_flight
from found_platform.errors import BadInput, JobFailed

if TYPE_CHECKING:
    from found_platform.index import Publication
    from found_platform.settings import Settings

MOST_VALUES = 50
"""Values offered of a column; a text with more is typed."""

DEMANDS = 5

MOST_TEXTS = 2000
"""Texts that are looked through for what things are called."""

TRIES = 3
"""To count demands while something else is published."""


@dataclass(frozen=True)
class Column:
    """A column that a filter may name. `kind` is text, number, whole number or yes/no.

    `values` are offered, of a text that has few; `low` and `high` are the range of a number.
    """

    name: str
    kind: str
    group: str
    values: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Published:
    """What answers look-ups, and the columns that a filter may name."""

    as_of: str
    model_version: str
    index_version: str
    users: int
    horizon_days: int
    modes: tuple[str, ...]
    prompts: tuple[str, ...]
    purposes: tuple[str, ...]  # that users may be asked to consent to
    columns: tuple[Column, ...]


@use_case(Effect.READS)
def published(context: Context) -> Published:
    """What can be asked of what is published."""
    from found_platform import index
    from found_platform.audiences import lookup, prompts
    from found_platform.contract import ACTIVITY_FEATURES
    from found_platform.scoring import scorers

    settings = context.settings
    live = index.live(settings)
    table = lookup.population(settings, live).attributes
    activity = {field.name for field in ACTIVITY_FEATURES}
    columns = tuple(_column(table, name, "activity" if name in activity else "profile") for name in table.column_names)
    return Published(
        as_of=live.as_of,
        model_version=live.model_version,
        index_version=live.name.removesuffix(".db"),
        users=live.rows,
        horizon_days=settings.horizon_days,
        modes=tuple(scorers.modes()),
        prompts=tuple(prompts.names(settings)),
        purposes=tuple(sorted(settings.consents)),
        columns=tuple(sorted(columns, key=lambda column: column.group != "profile")),
    )


@use_case(Effect.READS)
def warm(context: Context) -> None:
    """Loads what a look-up needs, so that the first one of a process does not wait for it."""
    from found_platform import index
    from found_platform.audiences import lookup

    for demand in _candidates(context.settings, index.live(context.settings))[:1]:
        with contextlib.suppress(BadInput):
            lookup.score(context.settings, Question(demand))


def _column(table: object, name: str, group: str) -> Column:
    import pyarrow as pa
    import pyarrow.compute as pc

    values: pa.ChunkedArray = table[name]  # pyright: ignore[reportIndexIssue]
    if pa.types.is_boolean(values.type):
        return Column(name, "yes/no", group, ("true", "false"))
    if pa.types.is_string(values.type):
        distinct = [v for v in pc.unique(values).to_pylist() if v is not None]  # pyright: ignore[reportAttributeAccessIssue]
        return Column(name, "text", group, tuple(sorted(distinct)) if len(distinct) <= MOST_VALUES else ())
    kind = "whole number" if pa.types.is_integer(values.type) else "number"
    bounds = pc.min_max(values).as_py()  # pyright: ignore[reportAttributeAccessIssue]
    return Column(name, kind, group, (), *(None if v is None else float(v) for v in (bounds["min"], bounds["max"])))


@dataclass(frozen=True)
class Offer:
    """A demand that this data answers, how many users would be in a balanced audience of it, and by which mode."""

    demand: str
    size: int
    share: float
    mode: str


@dataclass(frozen=True)
class Offers:
    """Demands to begin with, from the texts and the past of what is published."""

    as_of: str
    model_version: str
    index_version: str
    offers: tuple[Offer, ...]


@use_case(Effect.READS)
def demands(context: Context) -> Offers:
    """A few demands that are understood here, each with its size."""
    from found_platform import index

    settings = context.settings
    for _ in range(TRIES):
        live = index.live(settings)
        with contextlib.suppress(_Moved):
            return Offers(live.as_of, live.model_version, live.name.removesuffix(".db"), _offers(settings, live))
    raise JobFailed("What is published changes again and again: ask for demands a little later.")


class _Moved(Exception):
    """Something else was published meanwhile: what was counted so far is of another publication than what comes next."""


@single_flight(2)
def _offers(settings: "Settings", publication: "Publication") -> tuple[Offer, ...]:
    from found_platform.audiences import lookup, sizing, specification

    offers: list[Offer] = []
    for demand in _candidates(settings, publication):
        question = Question(demand)
        try:
            lookup.check_understood(settings, question)
            scored = lookup.score(settings, question)
        except BadInput:
            continue  # this home cannot answer it, so it is not offered
        if scored.published != publication:
            raise _Moved
        cut = sizing.cut(specification.draft(settings, question=question, size=Size(level="balanced")), scored)
        offers.append(Offer(demand, cut.size, cut.size / scored.base if scored.base else 0.0, scored.mode))
        if len(offers) == DEMANDS:
            break
    return tuple(offers)


def _candidates(settings: "Settings", publication: "Publication") -> list[str]:
    """Demands about what users buy most: what things are called first, then categories and texts; and two about rhythm."""
    from found_platform.audiences import lookup

    ground = lookup.population(settings, publication).states.ground
    bought = ground.kinds["purchase"] if ground.kinds["purchase"].any() else ground.events
    categories = sorted(range(ground.texts, len(ground.items)), key=lambda i: -bought[i])
    texts = sorted(range(ground.texts), key=lambda i: -bought[i])
    called = names_of_things({ground.items[i]: int(bought[i]) for i in texts[:MOST_TEXTS]})
    names = list(dict.fromkeys([*called[:6], *(ground.items[i].lower() for i in [*categories[:6], *texts[:6]])]))
    about = [f"people who will buy {name}" for name in names]
    return [*about[:3], "customers who will buy again", "customers likely to leave", *about[3:]]


def names_of_things(texts: Mapping[str, int]) -> list[str]:
    """What things are called, whoever makes them: two or three words in a row that several texts have, most events first.

    Args:
        texts: each with its events.
    """
    events: Counter[tuple[str, ...]] = Counter()
    held: Counter[tuple[str, ...]] = Counter()
    for text, count in texts.items():
        words = text.lower().split()
        rows = {tuple(words[i : i + n]) for n in (2, 3) for i in range(len(words) - n + 1)}
        for row in (row for row in rows if all(word.isalpha() and len(word) > 2 for word in row)):
            events[row] += count
            held[row] += 1
    called: list[str] = []
    words_called: set[str] = set()
    for row in sorted(events, key=lambda row: (-events[row], -len(row), row)):
        if held[row] > 1 and words_called.isdisjoint(row):
            called.append(" ".join(row))
            words_called.update(row)
    return called


@use_case(Effect.READS)
def serving(context: Context) -> dict[str, str | None]:
    """As of when and by which versions look-ups are answered now; None where nothing is published."""
    from found_platform import index

    try:
        live = index.live(context.settings)
    except BadInput:
        return {"as_of": None, "model_version": None, "index_version": None}
    return {"as_of": live.as_of, "model_version": live.model_version, "index_version": live.name.removesuffix(".db")}
