"""The default rewriter: the words of a demand say when, how much and in which way; the nearest items of the lake say of what."""

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pydantic import ValidationError

from found_platform.outcomes import Outcome, document
from found_platform.rewriting import (
    denial,
    ground,
    language,
    log_words,
    opposites,
    reading,
    slips,
    spelling,
    times,
    traits,
    understanding,
)
from found_platform.rewriting.act_words import Before
from found_platform.rewriting.choice import MOST_PHRASES, NEAR, choose, sides
from found_platform.rewriting.ground import Ground, template_kinds, unit
from found_platform.rewriting.interface import Match, Rewriting
from found_platform.rewriting.outcome import build, joined, with_antecedents
from found_platform.rewriting.reading import Reading
from found_platform.rewriting.resemblance import Floors, closeness, floors
from found_platform.rewriting.values import Values
from found_platform.settings import Settings

WHOLE = 0.5
"""Weight of the whole demand beside a part of it: the "bars" of "gold rings or bars" are not of chocolate."""
SURE = 0.9
"""Where the parts of a demand are this sure, each by itself, the whole of them need resemble nothing."""
APART = 0.5
"""What is less than this share as similar as the nearest item is no kind of what is asked for: a hotel is no flight."""
COMMON = 0.1
"""Without a word that says how, the kinds that hold this share of the events of the phrases."""
SHOWN = 8

SENSITIVE = "a trait that data protection law guards: it is never guessed; see whether you may ask for what hints at it"
NAMELESS = "the demand names nothing to look for"
NOTHING = "nothing in the data resembles this demand"
TOO = "who does that too is not left out: for these say “and who will not …”"
RANDOM_WEIGHTS = "the text encoder of this home has random weights (profile tiny): it knows what texts share words, and no meaning"


class GroundedRewriter:
    """Needs no model but the text encoder. Warm, a demand takes some ten milliseconds."""

    def __init__(self, settings: Settings, cutoff: dt.date, lake_items: Ground | None = None):
        self.settings = settings
        self.cutoff = cutoff
        self.lake_items = lake_items

    def rewrite(self, demand: str) -> Rewriting:
        """See `Rewriter.rewrite`."""
        return on(self.lake_items or ground.of(self.settings, self.cutoff), demand, self.settings.horizon_days)


def on(lake: Ground, demand: str, horizon_days: int) -> Rewriting:
    """The rewriting of a demand on this ground; its sentences speak of `horizon_days` where the demand does not say when."""
    spoken, is_told = language.told_by(demand)
    demand_read = spoken.cased(demand)
    text, mended = slips.corrected(lake, demand_read.lower(), spoken)
    if mended:  # a mended word may tell another language
        spoken, is_told = language.told_by(text)
    plain = times.in_usual_words(spoken.plain(text if mended else demand_read), spoken)
    who = traits.extract(lake, plain, spoken)
    denial.of_who(lake, who, spoken)
    guarded = spoken.pattern("sensitive").search(plain)
    acts = log_words.written(lake, spoken.with_habits_as_past(who.text), spoken)
    stated = times.resolved(acts, spoken, lake.today, lake.first)
    rewritten = _joined(lake, stated.text, horizon_days)
    sensitive = [f"“{guarded[0].strip()}”: {SENSITIVE}"] if guarded else []
    note = "; ".join(dict.fromkeys(filter(None, [*mended, *who.notes, *stated.notes, rewritten.note, *sensitive])))
    outcome = rewritten.outcome
    if outcome is not None and who.conditions:
        where = " AND ".join(filter(None, [*who.conditions, outcome.among.where]))
        outcome = outcome.model_copy(update={"among": outcome.among.model_copy(update={"where": where})})
    is_told = is_told or language.told_by(plain)[1] or lake.has_words_of(text)
    if not is_told and not rewritten.doubt:  # what a word of it happens to resemble is not what it asks for
        rewritten, outcome = replace(rewritten, doubt=reading.unknown_language()), None
    return replace(rewritten, demand=demand, note=note, outcome=outcome)


def _joined(lake: Ground, demand: str, horizon_days: int) -> Rewriting:
    """The rewriting of a demand whose times are days."""
    clauses, join = reading.clauses(demand)
    if len(clauses) == 1:
        return _alone(lake, demand, horizon_days)
    each = [_alone(lake, clause, horizon_days) for clause in clauses]
    outcomes = with_antecedents([rewriting.outcome for rewriting in each if rewriting.outcome is not None], clauses)
    doubt = next((rewriting.doubt for rewriting in each if rewriting.doubt), "")
    outcome, notes = (None, [doubt]) if doubt else joined(outcomes, join)
    doubt = doubt if outcome else notes[0]
    matches = {match.text: match for rewriting in each for match in rewriting.matches}
    return Rewriting(
        demand=demand,
        sentences=tuple(dict.fromkeys(sentence for rewriting in each for sentence in rewriting.sentences)),
        phrases=tuple(dict.fromkeys(phrase for rewriting in each for phrase in rewriting.phrases)),
        unwanted=tuple(dict.fromkeys(phrase for rewriting in each for phrase in rewriting.unwanted)),
        matches=tuple(sorted(matches.values(), key=lambda match: (match.negated, -match.similarity))),
        kinds=tuple(dict.fromkeys(kind for rewriting in each for kind in rewriting.kinds)),
        horizon_days=outcome.within_days if outcome else None,
        min_amount=next((rewriting.min_amount for rewriting in each if rewriting.min_amount), None),
        confidence=min(rewriting.confidence for rewriting in each),
        note="; ".join(dict.fromkeys(filter(None, [*notes, *(rewriting.note for rewriting in each)]))),
        by="grounded",
        outcome=outcome,
        doubt=doubt,
    )


def _alone(lake: Ground, demand: str, horizon_days: int) -> Rewriting:
    """The rewriting of a demand that joins no others."""
    read, named = understanding.understand(lake, demand)
    whole, wanted_parts, unwanted_parts = meaning(lake, read)
    limits = floors(lake)
    if read.parts and _names_nothing(lake, read, named, whole, limits):
        crowds = language.languages()[read.language].at("crowds")
        untold = [part for part in read.parts if (read.is_of_who or read.acts.leaves) and part not in crowds]
        lacking = [f"the data does not tell who is “{part}”" for part in untold]
        read = replace(read, parts=(), is_general=True, notes=(*read.notes, *lacking))
        whole, wanted_parts, unwanted_parts = meaning(lake, read)
    parts, notes = list(read.parts), list(read.notes)
    opposed = opposites.of(ground.words(read.subject), lake.items)
    close, doubt, verbatim = 0.0, read.refused, list[int]()
    if not parts:
        if not (read.is_about_acts or named.of_act):
            is_who = read.attributes or read.conditions
            doubt = doubt or ("the demand says who they are and nothing of what they will do" if is_who else NAMELESS)
            notes.append(doubt)
        elif acts_by_name := spelling.acts_by_name(lake, read.kinds, read.named_kinds):
            verbatim = acts_by_name
    else:
        close = float(closeness(lake, whole[None], opposed)[0])
        part_closeness = closeness(lake, wanted_parts, opposed)
        if len(parts) > 1 and limits.confidence(float(part_closeness.min())) >= SURE:  # no item is "a flight and a hotel"
            close = max(close, float(part_closeness.min()))
        in_data = part_closeness >= limits.part
        if close < limits.floor:
            said = read.subject if read.acts.before else demand  # no item that a clause about the past names
            verbatim = _verbatim(lake, said, read.parts) or spelling.alike(lake, read.parts)[: spelling.MOST]
            verbatim = [
                i for i in verbatim if not (opposed[i] or any(_holds(lake.items[i].lower(), part) for part in read.unwanted))
            ]
            doubt = doubt or ("" if verbatim else NOTHING)
            notes += [doubt] if doubt else []
            if verbatim and (is_lost := ~in_data & ~_are_spelled(lake, parts, verbatim)).any():
                notes.append(f"nothing in the data resembles {_quoted(parts, is_lost)}")
        elif in_data.any() and not in_data.all():
            lost = ", ".join(f"“{part}”" for part, known_part in zip(parts, in_data, strict=True) if not known_part)
            notes.append(f"nothing in the data resembles {lost}")
            wanted_parts, parts = (
                wanted_parts[in_data],
                [part for part, is_in_data in zip(parts, in_data, strict=True) if is_in_data],
            )
        if limits.floor <= close < limits.middle:
            notes.append("the data hardly resembles this demand: look at the matches")
        if limits.random:
            notes.append(RANDOM_WEIGHTS)
        elif not limits.measured:
            notes.append("the confidence is a guess: nobody measured the floors of this text encoder")

    doubt = doubt or denial.left_over(lake, read.subject, language.languages()[read.language])
    wanted_words = {word for part in read.parts for word in ground.words(part)}
    unwanted_words = [set(ground.words(part)) - wanted_words for part in read.unwanted]
    wanted_side, unwanted_side = sides(lake, unit(wanted_parts + WHOLE * whole), unwanted_parts, unwanted_words, opposed)
    present = closeness(lake, unwanted_parts) >= max(limits.floor, limits.part)  # as sure as of what is asked for
    unwanted = choose(lake, unwanted_side.about[present])
    chosen = choose(lake, wanted_side.about) if close >= limits.floor else verbatim
    left_out = unwanted_side.about[present].max(0, initial=-1.0) > 0
    same = [i for i in spelling.alike(lake, read.parts) if not (left_out | opposed)[i]] if close >= limits.floor else []
    if same and not set(same) & set(chosen):  # an encoder may know less of a word than its letters say
        chosen = _by_letters(lake, parts, wanted_side.similar, same[: spelling.MOST], chosen)
    elif texts := [i for i in same[: spelling.MOST] if i < lake.texts and _is_category_named(lake, read.parts, chosen)]:
        # of a category that is named, the texts that say it: its bare name may be nearer to another text
        chosen = _by_letters(lake, parts, wanted_side.similar, texts, chosen)
    if close >= limits.floor and not chosen:
        doubt = doubt or "what the demand asks for is what it leaves out"
        notes.append(doubt)
    if not parts and read.unwanted and not present.any():
        doubt = doubt or NOTHING  # what is left is the opposite of what was asked
    if chosen and unwanted and len(wanted_side.similar):
        similar = unit(wanted_parts + WHOLE * whole) @ lake.vectors.T
        if (similar[:, unwanted] < APART * similar.max(1, keepdims=True)).all():
            notes.append(f"{_quoted(read.unwanted, present)} is left out of what counts; {TOO}")
    if not present.all():
        notes.append(f"nothing in the data resembles {_quoted(read.unwanted, ~present)}, which is left out anyway")
    if (inside := present & (unwanted_side.about.max(1, initial=-1.0) <= 0)).any():
        notes.append(f"what is nearest to {_quoted(read.unwanted, inside)} is asked for: nothing is left out for it")
    if close >= limits.floor and len(parts) > 1 and chosen:  # heard with the whole, a "yacht" beside coffee is near to coffee
        own = (wanted_parts @ lake.vectors[chosen].T).max(1)
        if (is_lost := (own < limits.part) & ~_are_spelled(lake, parts, chosen)).any():
            notes.append(f"nothing in the data resembles {_quoted(parts, is_lost)}")
    phrases = list(dict.fromkeys(lake.items[i] for i in chosen))  # a text and a category may be called alike
    items = dict.fromkeys(read.kinds or _common_kinds(lake, wanted_side.similar), phrases)
    items["payment_channel"] = list(named.of_act.get("payment_methods", ())) if phrases else []
    names_out = [lake.items[i] for i in unwanted]
    outcome = None
    if not doubt:
        outcome, doubt, lacking = stated(lake, read, phrases, names_out, named, horizon_days)
        notes += lacking
    if doubt and doubt not in notes:
        notes.append(doubt)
    confidence = round(limits.confidence(close), 3) if parts else float(not doubt)
    confidence = 1.0 if verbatim else confidence
    return Rewriting(
        demand=demand,
        sentences=sentences(items, read.horizon_days or horizon_days),
        phrases=tuple(phrases),
        unwanted=tuple(names_out),
        matches=(*_matches(lake, wanted_side.similar, chosen, False), *_matches(lake, unwanted_side.similar, unwanted, True)),
        kinds=read.kinds,
        horizon_days=read.horizon_days,
        min_amount=read.min_amount,
        confidence=confidence,
        note="; ".join(dict.fromkeys(notes)),
        by="grounded",
        outcome=outcome,
        doubt=doubt,
    )


def _names_nothing(lake: Ground, read: Reading, named: Values, whole: np.ndarray, limits: Floors) -> bool:
    """Whether all that is named is a verb that may name something too, as in "who will book", or who they are, as in "drivers who
    will leave", or what has a status, as in "who will miss an appointment", and nothing here is called so."""
    spoken = language.languages()[read.language]
    if read.acts.leaves and set(read.parts) <= set(spoken.at("crowds")):
        return True  # "riders who will leave" do nothing at all, whatever is called a ride
    is_who = (read.is_of_who and read.is_about_acts) or read.acts.leaves  # who leaves does nothing at all
    is_event = bool(named.of_act.get("statuses")) and set(read.parts) <= set(spoken.at("events"))
    if not (is_who or is_event or (read.kinds and set(read.parts) <= set(spoken.at("telling")))):
        return False
    return float(closeness(lake, whole[None])[0]) < limits.floor and not spelling.alike(lake, read.parts)


def stated(
    lake: Ground, read: Reading, phrases: list[str], left_out: list[str], named: Values, horizon_days: int
) -> tuple[Outcome | None, str, list[str]]:
    """The outcome of a reading about items of the lake; or why there is none; and notes. Arguments as of `build`."""
    clause = read.acts.before
    is_who = clause is not None and clause.is_who
    before: list[str] = []
    if clause is None or not is_who or clause.times:  # what is counted may be an act in other words
        before = _phrases(lake, read.before_parts, clause.words if clause else "")
    if clause and is_who and not before:
        before = [lake.items[i] for i in _spelled(lake, read.before_parts, clause.words)]
    if is_who and not before and (read.before_parts or not (read.before_kinds or named.before)):
        words = ", ".join(read.before_parts) or (clause.clause if clause else "").partition(" ")[2]
        lacking = f"the data does not tell who is “with {words}”"
        past = Before("", None) if read.acts.lapse else None  # who leaves was here
        read = replace(read, acts=replace(read.acts, before=past), before_parts=())
        outcome, doubt, notes = stated(lake, read, phrases, left_out, named, horizon_days)
        return outcome, doubt, [lacking, *notes]
    if read.before_parts and not before:
        return None, f"nothing in the data resembles “{', '.join(read.before_parts)}”", []
    if not read.before_parts or read.acts.before is None:
        before = [lake.items[i] for i in spelling.acts_by_name(lake, read.before_kinds, read.before_named_kinds)]
    lacking = []
    if (
        clause
        and len(read.before_parts) > 1
        and language.languages()[read.language].pattern("acts", "clause_parts").search(clause.words)
    ):
        lacking = [f"of “{', '.join(read.before_parts)}”, which were done before, one is enough"]
    if read.acts.returned and not lake.returns:
        return None, "nothing was ever brought back in this data", []
    try:
        outcome, notes = build(lake, read, phrases, left_out, before, named, horizon_days)
    except ValidationError as error:  # "on ten days in the next week"
        return None, document.reason(error), []
    return outcome, "", [*notes, *lacking]


def _verbatim(lake: Ground, demand: str, parts: tuple[str, ...]) -> list[int]:
    """Items that a demand names in their own words, or that hold the words of a part, the most frequent first: an encoder need not
    know what a code or a number means."""
    text = demand.lower()
    near = [
        i for i, item in enumerate(lake.items) if len(item) > 2 and (item.lower() in text or any(p in item.lower() for p in parts))
    ]
    named = [i for i in near if _holds(text, lake.items[i].lower()) or any(_holds(lake.items[i].lower(), part) for part in parts)]
    return sorted(named, key=lambda i: -lake.events[i])[:MOST_PHRASES]


def _by_letters(lake: Ground, parts: Sequence[str], similar: np.ndarray, same: list[int], chosen: list[int]) -> list[int]:
    """Items that hold the words of a part, in place of those `chosen` for it; `similar` (P, N): of items to parts."""
    is_spelled = [bool(spelling.alike(lake, (part,))) for part in parts]
    others = [i for i in chosen if i not in same and not is_spelled[int(similar[:, i].argmax())]]
    return [*same, *others][:MOST_PHRASES]


def _are_spelled(lake: Ground, parts: Sequence[str], chosen: Sequence[int]) -> np.ndarray:
    """(P,) whether one of the chosen items has the letters of each part."""
    return np.array([bool(set(spelling.alike(lake, (part,))) & set(chosen)) for part in parts])


def _is_category_named(lake: Ground, parts: tuple[str, ...], chosen: list[int]) -> bool:
    """Whether one of the chosen items is a category that a part names by its own name."""
    return any(i >= lake.texts and lake.items[i].lower() in parts for i in chosen)


def _holds(text: str, words: str) -> bool:
    """Whether words stand in a text, whole."""
    return re.search(rf"(?<!\w){re.escape(words)}(?!\w)", text) is not None


def _quoted(parts: Sequence[str], which: np.ndarray) -> str:
    """Some of the parts of a demand, as notes name them."""
    return ", ".join(f"“{part}”" for part, is_meant in zip(parts, which, strict=True) if is_meant)


def _phrases(lake: Ground, parts: tuple[str, ...], clause: str) -> list[str]:
    """Items of the lake that stand for what some words of a clause name."""
    if not parts:
        return []
    limits = floors(lake)
    vectors = lake.ask(list(parts))
    present = closeness(lake, vectors) >= max(limits.floor, limits.part)
    opposed = opposites.of(ground.words(clause), lake.items)
    about = sides(lake, vectors[present], vectors[:0], [], opposed)[0].about
    return [lake.items[i] for i in choose(lake, about) or _spelled(lake, parts, clause)]


def _spelled(lake: Ground, parts: tuple[str, ...], clause: str) -> list[int]:
    """Items that have the letters of what a clause names, and do not say its opposite."""
    opposed = opposites.of(ground.words(clause), lake.items)
    return [i for i in spelling.alike(lake, parts) if not opposed[i]][: spelling.MOST]


def meaning(lake_items: Ground, read: Reading) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is wanted as a whole (E,), its parts (P, E) and what is not wanted (U, E): centred unit vectors, encoded at once."""
    core = " ".join(read.parts)
    vectors = lake_items.ask([read.subject, core, *read.parts, *read.unwanted])
    count = 2 + len(read.parts)
    return unit(vectors[:2].sum(0)), vectors[2:count], vectors[count:]


def sentences(items: dict[str, list[str]], days: int) -> tuple[str, ...]:
    """The sentence of each kind of template that has items, in the order of the templates."""
    return tuple(
        kind["sentence"].format(days=days, items=", ".join(items[name]))
        for name, kind in template_kinds().items()
        if items.get(name)
    )


def _common_kinds(lake_items: Ground, similar: np.ndarray) -> tuple[str, ...]:
    """The kinds in which the nearest items happen."""
    near = np.argsort(-similar.max(0, initial=-1.0), kind="stable")[:NEAR]
    counts = {kind: int(events[near].sum()) for kind, events in lake_items.kinds.items()}
    return tuple(kind for kind, n in counts.items() if n and n >= COMMON * sum(counts.values()))


def _matches(lake_items: Ground, similar: np.ndarray, chosen: list[int], negated: bool) -> list[Match]:
    """The phrases and the nearest items, the closest first."""
    if not len(similar):
        return []
    best = similar.max(0)
    places = {*chosen, *(int(i) for i in np.argsort(-best, kind="stable")[:SHOWN] if best[i] > 0)}
    return [
        Match(
            text=lake_items.items[i],
            kind="text" if i < lake_items.texts else "category",
            similarity=round(float(best[i]), 3),
            events=int(lake_items.events[i]),
            negated=negated,
        )
        for i in sorted(places, key=lambda i: -best[i])
    ]
