"""The default rewriter: the words of a demand say when, how much and in which way; the nearest items of the lake say of what."""

import datetime as dt
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources

import numpy as np
import yaml
from pydantic import ValidationError

from found_platform.outcomes import Outcome, document
from found_platform.rewriting import ground, language, profile_values, reading, slips, spelling, times, traits, values
from found_platform.rewriting.ground import Ground, template_kinds, unit
from found_platform.rewriting.interface import Match, Rewriting
from found_platform.rewriting.outcome import build, condition, joined, with_antecedents
from found_platform.rewriting.reading import Reading
from found_platform.rewriting.values import Values
from found_platform.settings import Settings

MOST_PHRASES = 5
NEAREST = 2
"""Items whose mean similarity is the closeness of a demand; in a small lake, the nearest alone: it has one item of each thing."""
SMALL = 300
"""Up to so many items a lake is small, and has floors of its own."""
NEAR = 300
"""Items looked at for each part of a demand."""
ABOUT = 0.7
"""An item is about a part when it is at least this share as similar as the part's nearest item."""
WHOLE = 0.5
"""Weight of the whole demand beside a part of it: the "bars" of "gold rings or bars" are not of chocolate."""
OTHER, SAME = 0.4, 0.8
"""Items as little alike as the first are two things, as much as the second one thing in other words."""
ENOUGH = 0.1
"""A further phrase must add this share of what the first one stands for."""
COMMON = 0.1
"""Without a word that says how, the kinds that hold this share of the events of the phrases."""
SHOWN = 8

NAMELESS = "the demand names nothing to look for"
NOTHING = "nothing in the data resembles this demand"
RANDOM_WEIGHTS = "the text encoder of this home has random weights (profile tiny): it knows what texts share words, and no meaning"


@dataclass(frozen=True)
class Floors:
    """When a demand resembles a lake, see `floors.yaml`."""

    floor: float
    part: float
    middle: float
    slope: float
    measured: bool = True
    random: bool = False  # of an encoder that was never trained

    def confidence(self, closeness: float) -> float:
        return 1 / (1 + math.exp(-self.slope * (closeness - self.middle)))


def floors(lake: Ground) -> Floors:
    """The floors for a lake and its encoder, in any precision; where nobody measured them, those of the default encoder."""
    return _floors(lake.encoder.revision, len(lake.vectors) <= SMALL)


@cache
def _floors(revision: str, is_small: bool) -> Floors:
    from models.text_encoder import is_random, whole

    revision, size = whole(revision), "small" if is_small else "large"
    measured = yaml.safe_load((resources.files(language.PACKAGE) / "floors.yaml").read_text())
    is_measured = revision in measured
    return Floors(
        **(measured[revision] if is_measured else next(iter(measured.values())))[size],
        measured=is_measured,
        random=is_random(revision),
    )


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
    spoken, _ = language.told_by(demand)
    text, mended = slips.corrected(lake, demand.lower(), spoken)
    if mended:  # a mended word may tell another language
        spoken, _ = language.told_by(text)
    plain = times.in_usual_words(spoken.plain(text if mended else demand), spoken)
    who = traits.extract(lake, plain, spoken)
    stated = times.resolved(who.text, spoken, lake.today, lake.first)
    rewritten = _joined(lake, stated.text, horizon_days)
    note = "; ".join(dict.fromkeys(filter(None, [*mended, *who.notes, *stated.notes, rewritten.note])))
    outcome = rewritten.outcome
    if outcome is not None and who.conditions:
        where = " AND ".join(filter(None, [*who.conditions, outcome.among.where]))
        outcome = outcome.model_copy(update={"among": outcome.among.model_copy(update={"where": where})})
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
    read, named = understand(lake, demand)
    limits = floors(lake)
    whole, wanted_parts, unwanted_parts = meaning(lake, read)
    parts, notes = list(read.parts), list(read.notes)
    close, doubt, verbatim = 0.0, "", list[int]()
    if not parts:
        if not (read.is_about_acts or named.of_act):
            is_who = read.attributes or read.conditions
            doubt = "the demand says who they are and nothing of what they will do" if is_who else NAMELESS
            notes.append(doubt)
        elif acts_by_name := spelling.acts_by_name(lake, read.kinds):
            verbatim = acts_by_name
    else:
        close = float(closeness(lake, whole[None])[0])
        in_data = closeness(lake, wanted_parts) >= limits.part
        if close < limits.floor:
            verbatim = _verbatim(lake, demand, read.parts) or spelling.alike(lake, read.parts)[: spelling.MOST]
            verbatim = [i for i in verbatim if not any(_holds(lake.items[i].lower(), part) for part in read.unwanted)]
            doubt = "" if verbatim else NOTHING
            notes += [doubt] if doubt else []
        elif in_data.any() and not in_data.all():
            lost = ", ".join(f"“{part}”" for part, known_part in zip(parts, in_data, strict=True) if not known_part)
            notes.append(f"nothing in the data resembles {lost}")
            wanted_parts = wanted_parts[in_data]
        if limits.floor <= close < limits.middle:
            notes.append("the data hardly resembles this demand: look at the matches")
        if limits.random:
            notes.append(RANDOM_WEIGHTS)
        elif not limits.measured:
            notes.append("the confidence is a guess: nobody measured the floors of this text encoder")

    against = unwanted_parts @ lake.vectors.T
    similar = unit(wanted_parts + WHOLE * whole) @ lake.vectors.T
    best = similar.max(0, initial=-1.0), against.max(0, initial=-1.0)  # an item is on one side
    similar, against = np.where(best[0] > best[1], similar, -1.0), np.where(best[1] > best[0], against, -1.0)
    chosen = _choose(lake, similar) if close >= limits.floor else verbatim
    same = spelling.alike(lake, read.parts) if close >= limits.floor else []
    if same and not set(same) & set(chosen):
        chosen = same[: spelling.MOST]  # an encoder may know less of a word than its letters say
    elif texts := [i for i in same[: spelling.MOST] if i < lake.texts and _is_category_named(lake, read.parts, chosen)]:
        chosen = texts  # of a category that is named, the texts that say it: its bare name may be nearer to another text
    in_data = closeness(lake, unwanted_parts) >= limits.part
    unwanted = _choose(lake, against[in_data])
    if not in_data.all():
        lost = ", ".join(f"“{part}”" for part, is_known in zip(read.unwanted, in_data, strict=True) if not is_known)
        notes.append(f"nothing in the data resembles {lost}, which is left out anyway")
    phrases = list(dict.fromkeys(lake.items[i] for i in chosen))  # a text and a category may be called alike
    items = dict.fromkeys(read.kinds or _common_kinds(lake, similar), phrases)
    items["payment_channel"] = list(named.of_act.get("payment_methods", ())) if phrases else []
    left_out = [lake.items[i] for i in unwanted]
    outcome = None
    if not doubt:
        outcome, doubt, lacking = stated(lake, read, phrases, left_out, named, horizon_days)
        notes += lacking
    if doubt and doubt not in notes:
        notes.append(doubt)
    confidence = round(limits.confidence(close), 3) if parts else float(not doubt)
    confidence = 1.0 if verbatim else confidence
    return Rewriting(
        demand=demand,
        sentences=sentences(items, read.horizon_days or horizon_days),
        phrases=tuple(phrases),
        unwanted=tuple(left_out),
        matches=(*_matches(lake, similar, chosen, False), *_matches(lake, against, unwanted, True)),
        kinds=read.kinds,
        horizon_days=read.horizon_days,
        min_amount=read.min_amount,
        confidence=confidence,
        note="; ".join(dict.fromkeys(notes)),
        by="grounded",
        outcome=outcome,
        doubt=doubt,
    )


def stated(
    lake: Ground, read: Reading, phrases: list[str], left_out: list[str], named: Values, horizon_days: int
) -> tuple[Outcome | None, str, list[str]]:
    """The outcome of a reading about items of the lake; or why there is none; and notes. Arguments as of `build`."""
    before = _phrases(lake, read.before_parts, floors(lake))
    if read.before_parts and not before:
        return None, f"nothing in the data resembles “{', '.join(read.before_parts)}”", []
    if not read.before_parts:
        before = [lake.items[i] for i in spelling.acts_by_name(lake, read.before_kinds)]
    if read.acts.returned and not lake.returns:
        return None, "nothing was ever brought back in this data", []
    try:
        outcome, notes = build(lake, read, phrases, left_out, before, named, horizon_days)
    except ValidationError as error:  # "on ten days in the next week"
        return None, document.reason(error), []
    return outcome, "", notes


def _verbatim(lake: Ground, demand: str, parts: tuple[str, ...]) -> list[int]:
    """Items that a demand names in their own words, or that hold the words of a part, the most frequent first: an encoder need not
    know what a code or a number means."""
    text = demand.lower()
    near = [
        i for i, item in enumerate(lake.items) if len(item) > 2 and (item.lower() in text or any(p in item.lower() for p in parts))
    ]
    named = [i for i in near if _holds(text, lake.items[i].lower()) or any(_holds(lake.items[i].lower(), part) for part in parts)]
    return sorted(named, key=lambda i: -lake.events[i])[:MOST_PHRASES]


def _is_category_named(lake: Ground, parts: tuple[str, ...], chosen: list[int]) -> bool:
    """Whether one of the chosen items is a category that a part names by its own name."""
    return any(i >= lake.texts and lake.items[i].lower() in parts for i in chosen)


def _holds(text: str, words: str) -> bool:
    """Whether words stand in a text, whole."""
    return re.search(rf"(?<!\w){re.escape(words)}(?!\w)", text) is not None


def understand(lake: Ground, demand: str) -> tuple[Reading, Values]:
    """The reading of a demand, and the values that it names; the words for values and attributes of this lake name nothing else."""
    spoken, _ = language.told_by(demand)
    plain, unheeded = language.heeded(spoken.plain(demand), spoken)
    filters = profile_values.filters_of(lake, plain, spoken)
    read = reading.read(_cut(plain, [one.words for one in filters]), spoken)
    in_data = tuple(named for named in read.attributes if condition(lake, named))
    clause = read.acts.before.words if read.acts.before else ""
    rest, named_values = values.take(lake, plain, clause, spoken)
    rest, named_values = values.take_bare(lake, rest, named_values, spoken)
    rest = _cut(rest, [*(one.words for one in filters), *(named.words for named in in_data)])
    again = reading.read(rest, spoken)
    unknown = [named.words for named in read.attributes if named not in in_data]
    if again.parts and set(again.parts) <= set(unknown):  # "men who will buy", where the data knows no men
        again = reading.read(_cut(rest, unknown), spoken)
    untold = [word for word in unknown if word not in (*again.parts, *again.before_parts)]
    notes = [f"the data does not tell who is “{', '.join(untold)}”"] if untold else []
    if not language.told_by(demand)[1]:
        notes.append(reading.unknown_language())
    conditions = tuple(filter(None, (one.condition for one in filters)))
    notes = (*again.notes, *notes, *unheeded)
    return replace(again, attributes=in_data, conditions=conditions, notes=notes), named_values


def _cut(text: str, words: Sequence[str]) -> str:
    """A text without the first place of each of some words."""
    for word in words:
        end = r"(?!\w)" if word[-1:].isalnum() else ""
        text = re.sub(rf"(?<!\w){re.escape(word)}{end}", " ", text, count=1)
    return text


def _phrases(lake: Ground, parts: tuple[str, ...], limits: Floors) -> list[str]:
    """Items of the lake that stand for what some words name."""
    if not parts:
        return []
    vectors = lake.ask(list(parts))
    present = closeness(lake, vectors) >= max(limits.floor, limits.part)
    chosen = _choose(lake, vectors[present] @ lake.vectors.T) or spelling.alike(lake, parts)[: spelling.MOST]
    return [lake.items[i] for i in chosen]


def meaning(lake_items: Ground, read: Reading) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is wanted as a whole (E,), its parts (P, E) and what is not wanted (U, E): centred unit vectors, encoded at once."""
    core = " ".join(read.parts)
    vectors = lake_items.ask([read.subject, core, *read.parts, *read.unwanted])
    count = 2 + len(read.parts)
    return unit(vectors[:2].sum(0)), vectors[2:count], vectors[count:]


def closeness(lake_items: Ground, vectors: np.ndarray) -> np.ndarray:
    """(V,) how close each vector is to what the lake holds: its mean similarity to the nearest items, or item of a small lake."""
    if not len(vectors):
        return np.empty(0, np.float32)
    similarity = vectors @ lake_items.vectors.T
    count = 1 if similarity.shape[1] <= SMALL else NEAREST
    return np.partition(similarity, -count, axis=1)[:, -count:].mean(1)


def sentences(items: dict[str, list[str]], days: int) -> tuple[str, ...]:
    """The sentence of each kind of template that has items, in the order of the templates."""
    return tuple(
        kind["sentence"].format(days=days, items=", ".join(items[name]))
        for name, kind in template_kinds().items()
        if items.get(name)
    )


def _choose(lake_items: Ground, similar: np.ndarray) -> list[int]:
    """A few items that stand for all that is about the parts: near, common, and unlike one another.

    Greedy facility location: what is about a part is covered by a phrase as far as it resembles it.
    """
    if not len(similar):
        return []
    best = similar.max(0)
    pools = [np.argsort(-row, kind="stable")[:NEAR] for row in similar]
    pools = [pool[row[pool] > ABOUT * max(row[pool[0]], 0)] for pool, row in zip(pools, similar, strict=True)]
    items = np.unique(np.concatenate(pools))
    if not len(items):
        return []
    weight = np.zeros(len(items))  # every part matters alike, within it what is near and common
    for pool, row in zip(pools, similar, strict=True):
        share = np.log1p(lake_items.events[pool]) * (row[pool] - row[pool].min() + 0.02)
        weight[np.searchsorted(items, pool)] += share / max(share.sum(), 1e-9)
    alike = np.clip((lake_items.vectors[items] @ lake_items.vectors[items].T - OTHER) / (SAME - OTHER), 0, 1)
    worth = best[items] ** 2 * np.log1p(lake_items.events[items]) ** 0.5  # near, and not too rare
    chosen: list[int] = []
    covered, first = np.zeros(len(items)), 0.0
    while len(chosen) < min(MOST_PHRASES, len(items)):
        gain = (np.maximum(alike - covered, 0) @ weight) * worth
        place = int(gain.argmax())
        first = first or float(gain[place])
        if gain[place] < ENOUGH * first:
            break
        chosen.append(place)
        covered = np.maximum(covered, alike[place])
    return [int(items[i]) for i in sorted(chosen, key=lambda i: -best[items[i]])]


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
