"""From what was read of a demand, and the items of the lake that it is about, to the outcome that is asked.

What belongs here: which statement a reading makes. What does not: words (`reading`), items (`retrieval`).
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import ValidationError

from found_platform.outcomes import Act, Among, Outcome, Statement
from found_platform.rewriting import language, traits
from found_platform.rewriting.act_words import ACTIVE_DAYS, Acts
from found_platform.rewriting.ground import Ground, template_kinds
from found_platform.rewriting.profile_values import one_of, quoted
from found_platform.rewriting.reading import OLDEST, Named, Reading
from found_platform.rewriting.values import Values

DECADE = 10
SEARCHED = "search"
"""A kind of acts that is never meant loosely: what was looked for was not done."""
ALIKE = 0.55
"""Items at least this similar count for one another in look-ups."""
LOOSE = {"click", "browsing"}
"""Kinds of acts whose verbs ("open", "use", "visit") are said of what is paid for too."""


def build(
    lake: Ground,
    read: Reading,
    phrases: Sequence[str],
    unwanted: Sequence[str],
    before_phrases: Sequence[str],
    values: Values,
    horizon_days: int,
) -> tuple[Outcome, list[str]]:
    """The outcome, and notes on what of the demand this lake cannot tell.

    Args:
        phrases, unwanted, before_phrases: items of the lake that the demand is about, leaves out, and that were done before.
        values: categories, statuses and ways to pay that it names.
        horizon_days: how far ahead, where the demand does not say.
    """
    notes: list[str] = []
    acts, within = read.acts, read.horizon_days
    if within is None and max(acts.per or 0, acts.every or 0) > horizon_days:
        within = max(acts.per or 0, acts.every or 0)  # "twice a year" is not told by four weeks
    days = within or horizon_days
    before_channels = _channels(lake, read.before_kinds, [] if before_phrases else notes)
    if before_phrases and SEARCHED not in read.before_kinds and not _happens_alike(lake, before_phrases, read.before_kinds):
        before_channels = ()  # "three payment failures" are no payments
    before = Act(about=tuple(before_phrases), channels=before_channels)
    was_special = bool(before_phrases or values.before or (acts.before and acts.before.returned))
    if (acts.leaves or (acts.is_back and not read.says_it)) and was_special and read.is_general:
        act = Act()  # "with failed payments last month, and will leave"
    elif read.is_general and acts.before and not acts.is_anything and not read.kinds and not before.is_anything:
        act = before  # "who bought coffee and will stop"
    elif (
        read.is_general
        and before_phrases
        and not phrases
        and not acts.is_anything
        and (read.says_it or _happens(lake, before_phrases, read.kinds))
    ):
        act = before.model_copy(update={"channels": _channels(lake, read.kinds, notes) or before.channels})  # "... buy it again"
    else:
        channels = _channels(lake, read.kinds, [] if phrases else notes)
        is_loose = LOOSE.issuperset(read.kinds)
        happens = _happens if is_loose else _happens_alike
        if phrases and SEARCHED not in read.kinds and not happens(lake, phrases, read.kinds):
            channels = ()  # a savings account is opened by paying into it, a yoga class is booked by a click
            if not is_loose:
                notes.append(f"nothing like “{phrases[0]}” is of the kind “{', '.join(read.kinds)}” in this data: any act counts")
        act = Act(about=tuple(phrases), not_about=tuple(unwanted), channels=channels)
    if acts.returned:
        act = act.model_copy(update={"returned": True, "channels": ()})
    act = act.model_copy(update={"min_amount": read.min_amount or 0.0, **values.of_act})
    before = before.model_copy(update={"min_amount": read.before_min_amount or 0.0, **values.before})
    if acts.before and acts.before.returned:
        before = before.model_copy(update={"returned": True, "channels": ()})
    compared = acts.more or acts.less
    measure = {
        "total": read.total if not compared else None,
        "days": _of_each(acts.days, acts, days) if not (compared or read.total) else None,
        "times": _of_each(acts.times, acts, days) if not (compared or read.total or acts.days) else None,
        "share": acts.share if not (compared or read.total or acts.days or acts.times) else None,
        "more_than_before": acts.more,
        "less_than_before": acts.less if not acts.more else None,
    }
    if acts.every and not any(value is not None for value in measure.values()):
        measure["days"] = max(1, days // acts.every)
    statement = Statement(do=act, negated=acts.negated, history=acts.history, **measure)
    limit = _limit(read, statement, days)
    if limit and acts.negated:
        notes.append("an upper limit is not used of what is not to be done")
        limit = None
    where = " AND ".join(filter(None, (*(condition(lake, named) for named in read.attributes), *read.conditions))) or None
    among = Among(where=where)
    if acts.before:
        last = acts.before.days or max(ACTIVE_DAYS, days)
        if acts.before.is_ever and lake.today and lake.first:
            last = max(1, (lake.today - lake.first).days)
        spent = read.before_total or read.before_most_total
        did = Act() if acts.before.is_anything else before if acts.before.clause else act.model_copy(update={"min_amount": 0.0})
        among = Among(
            where=where,
            did=did,
            last_days=last,
            total=spent,
            days=acts.before.on_days if not spent else None,
            times=acts.before.times if not (spent or acts.before.on_days) else None,
            negated=acts.before.negated != bool(read.before_most_total and not read.before_total),
        )
        if read.before_most_total and read.before_total:
            notes.append("of what was done before no upper limit is used beside a lower one")
        if acts.before.never and did == act and statement.is_at_all and not statement.negated:
            statement, among = statement.model_copy(update={"history": "first"}), Among(where=where)
        if acts.before.is_some and did == act and not statement.negated:
            statement = statement.model_copy(update={"history": "again"})  # "bought exactly once": not twice, and ever
        elif acts.before.is_some:
            notes.append("of what was done before only the upper limit is asked")
        if acts.before.is_anything and statement == Statement():
            notes.append("the demand says who they are and nothing of what they will do: it is read as who will do anything")
    rank = acts.rank or "chance"
    if rank == "affinity" and act.is_anything:
        rank = "chance"
    will = (statement,)
    if limit:
        will = (limit,) if statement.is_at_all and not _is_asked(read) else (statement, limit)
    if rank != "chance" and (limit or statement.negated or not statement.is_at_all):
        notes.append(f"users are ranked by chance: {rank} is not asked of a demand that counts or negates")
        rank = "chance"
    return Outcome(will=will, within_days=within, among=among, rank=rank), notes


def _happens(lake: Ground, phrases: Sequence[str], kinds: Sequence[str]) -> bool:
    """Whether items are ever done in one of these ways: what is bought is bought again, and no basket that was left is."""
    places = [place for place, item in enumerate(lake.items) if item in phrases]
    return not kinds or any(lake.kinds[kind][places].sum() > 0 for kind in kinds if kind in lake.kinds)


def _happens_alike(lake: Ground, phrases: Sequence[str], kinds: Sequence[str]) -> bool:
    """Whether something like these items is done in one of these ways: "cruises" are looked at, and a river cruise is paid for."""
    if _happens(lake, phrases, kinds):
        return True
    places = [place for place, item in enumerate(lake.items) if item in phrases]
    happening = np.any([lake.kinds[kind] > 0 for kind in kinds if kind in lake.kinds] or [np.zeros(len(lake.items), bool)], 0)
    return bool((lake.vectors[happening] @ lake.vectors[places].T >= ALIKE).any())


def _limit(read: Reading, statement: Statement, days: int) -> Statement | None:
    """That it is not done more often, or for more, than the demand says."""
    acts = read.acts
    one_more = {
        "total": read.most_total,
        "days": None if acts.most_days is None else _most_of_each(acts.most_days, acts, days) + 1,
        "times": None if acts.most is None else _most_of_each(acts.most, acts, days) + 1,
    }
    measure = next((name for name, value in one_more.items() if value is not None), None)
    if measure is None or statement.measure not in (None, measure):
        return None
    return Statement(do=statement.do, negated=True, history=statement.history, **{measure: one_more[measure]})


def _most_of_each(count: int, acts: Acts, days: int) -> int:
    return count * days // acts.per if acts.per else count


def _is_asked(read: Reading) -> bool:
    """Whether beside an upper limit it is asked that it is done at all, as "exactly once" does."""
    return read.acts.is_some


def joined(outcomes: Sequence[Outcome], join: Literal["and", "or"]) -> tuple[Outcome | None, list[str]]:
    """One outcome of several, and notes on what of them could not be kept: there is one time, one "among whom" and one rank.

    None where they contradict each other; the note says how.
    """
    notes: list[str] = []
    dids = list(dict.fromkeys(o.among.model_copy(update={"where": None}) for o in outcomes if o.among.did is not None))
    if len(dids) > 1:
        notes.append("of what users did before, the first is used")
    wheres = list(dict.fromkeys(o.among.where for o in outcomes if o.among.where))
    among = (dids[0] if dids else Among()).model_copy(update={"where": " AND ".join(wheres) or None})
    spans = list(dict.fromkeys(o.within_days for o in outcomes if o.within_days))
    if len(spans) > 1:
        notes.append(f"of several times, the longest is used: {max(spans)} days")
    if any(o.rank != "chance" for o in outcomes):
        notes.append("users are ranked by chance, as for every demand that joins several")
    if join == "or" and any(len(o.will) > 1 for o in outcomes):
        notes.append("of what is asked between two limits, the lower one is used: one of several is enough")
        outcomes = [o.model_copy(update={"will": o.will[:1]}) for o in outcomes]
    will = tuple(dict.fromkeys(statement for o in outcomes for statement in o.will))
    try:
        return Outcome(will=will, join=join, within_days=max(spans, default=None), among=among), notes
    except ValidationError as error:
        return None, [f"the demand cannot be: {error.errors()[0]['msg'].removeprefix('Value error, ')}"]


def with_antecedents(outcomes: Sequence[Outcome], clauses: Sequence[str]) -> list[Outcome]:
    """The outcomes of clauses, in which "it" is what the clause before is about."""
    resolved: list[Outcome] = []
    for outcome, clause in zip(outcomes, clauses, strict=False):
        act = outcome.will[0].do
        about = resolved[-1].will[0].do.about if resolved else ()
        if about and not act.about and language.told_by(clause)[0].pattern("it").search(clause):
            do = act.model_copy(update={"about": about})
            outcome = outcome.model_copy(update={"will": tuple(one.model_copy(update={"do": do}) for one in outcome.will)})
        resolved.append(outcome)
    return resolved


def _of_each(count: int | None, acts: Acts, days: int) -> int | None:
    """How many times, or days, within so many days, where it is said for a span of time."""
    return max(1, count * days // acts.per) if count and acts.per else count


def _channels(lake: Ground, kinds: Sequence[str], notes: list[str]) -> tuple[str, ...]:
    """The channels of kinds of acts; any, where this lake has none of them."""
    named = [template_kinds()[kind]["channel"] for kind in kinds if "channel" in template_kinds()[kind]]
    present = tuple(template_kinds()[kind]["channel"] for kind in kinds if kind in lake.kinds and lake.kinds[kind].sum() > 0)
    if named and not present:
        notes.append(f"the data has nothing of the kind “{', '.join(kinds)}”: any act counts")
    return present


def condition(lake: Ground, named: Named) -> str | None:
    """A filter for an attribute that a demand names; None where this lake does not have it."""
    if named.born is not None:
        if by_birth := traits.born(lake, *named.born):
            return by_birth
        if lake.today is None:
            return None
        youngest, oldest = (lake.today.year - year for year in reversed(named.born))  # an age tells it within a year
        named = replace(named, ages=(max(0, youngest), oldest))
    if named.ages is not None:
        for column in lake.numbers:
            if re.search(named.column, column.lower()):
                youngest, oldest = named.ages
                lowest = f"{quoted(column)} >= {youngest}"
                return lowest if oldest >= OLDEST else f"{lowest} AND {quoted(column)} <= {oldest}"
        youngest, oldest = named.ages
        if by_birth := traits.of_age(lake, youngest, None if oldest >= OLDEST else oldest):
            return by_birth
    for column, values in lake.attributes.items():
        if not re.search(named.column, column.lower()):
            continue
        if named.ages is not None:
            chosen = [value for value in values if _overlaps(value, named.ages)]
            if named.ages[1] - named.ages[0] <= DECADE:  # "in their thirties" are in two bands
                chosen = [value for value in values if _overlaps(value, named.ages, partly=True)]
        else:
            chosen = [value for value in values if re.search(named.values, value.lower())]
        if chosen:
            return one_of(column, chosen)
    return None


def _overlaps(band: str, ages: tuple[int, int], partly: bool = False) -> bool:
    """Whether a band of ages such as `25-34` or `65+` lies mostly within these years, or half of it where `partly`."""
    numbers = [int(number) for number in re.findall(r"\d+", band)]
    if not numbers:
        return False
    low, high = (numbers[0], numbers[1]) if len(numbers) > 1 else (numbers[0], numbers[0] + 10)
    if partly:
        return 2 * (min(ages[1], high) - max(ages[0], low) + 1) >= high - low + 1
    return ages[0] <= (low + high) / 2 <= ages[1]
