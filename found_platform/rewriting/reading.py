"""What a demand says by its words alone: when, how much, in which way, of what, and of what not; see `languages`."""

import re
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

from found_platform.outcomes.outcome import MOST_STATEMENTS
from found_platform.rewriting import acts, times
from found_platform.rewriting.act_words import Acts
from found_platform.rewriting.language import DEFAULT, Language, alternatives, languages, told_by

OLDEST = 200
"""An age that nobody reaches: no upper limit."""
CENT = 0.01
"""Who spends at most 50 spends less than 50.01."""
MOST_JOINTS = 4
"""Words of joining that are tried in a demand; who writes more of them enumerates."""
JOINS: tuple[Literal["and", "or"], ...] = ("and", "or")


@dataclass(frozen=True)
class Named:
    """Users who are meant by an attribute: a column and values of it, as patterns of their names; or an age, or years of birth."""

    words: str
    column: str
    values: str = ""
    ages: tuple[int, int] | None = None
    born: tuple[int, int] | None = None


@dataclass(frozen=True)
class Reading:
    """The parts of a demand. Parts are what it names, one an item of an enumeration, without words that name nothing."""

    subject: str  # what is left of the demand without times, amounts and what is not wanted
    parts: tuple[str, ...]
    unwanted: tuple[str, ...]
    kinds: tuple[str, ...]  # of templates that its verbs ask for, in order of appearance
    horizon_days: int | None = None
    min_amount: float | None = None  # of one event
    total: float | None = None  # of all events together
    most_total: float | None = None  # they come to less than this
    notes: tuple[str, ...] = ()  # what was read and cannot be used
    refused: str = ""  # why what it says cannot be asked
    language: str = DEFAULT
    acts: Acts = field(default_factory=Acts)
    is_general: bool = False  # whether it asks for acts and names nothing that they are about
    who_parts: tuple[str, ...] = ()  # what it names of who they are, beside what they do
    who: str = ""
    is_of_who: bool = False  # nothing but who they are names something: "drivers who will leave"
    says_it: bool = False  # what is to be done is done to what was named before
    named_kinds: tuple[str, ...] = ()  # of the kinds, those that a text may be called: "log in"
    before_named_kinds: tuple[str, ...] = ()
    before_parts: tuple[str, ...] = ()  # what the clause `acts.before` names
    before_kinds: tuple[str, ...] = ()
    before_min_amount: float | None = None  # of one event of that clause
    before_total: float | None = None
    before_most_total: float | None = None
    attributes: tuple[Named, ...] = ()
    conditions: tuple[str, ...] = ()  # filters on other values of the profile that it names

    @property
    def is_about_acts(self) -> bool:
        """Whether more is asked than to do something that texts name."""
        return self.is_general or not self.acts.is_empty or self.total is not None or self.most_total is not None

    @property
    def is_measured(self) -> bool:
        """Whether it is said how much of it, that it is not done, or that it is done as it was or was not before."""
        acts = self.acts
        counts = (acts.times, acts.days, acts.share, acts.more, acts.less, acts.every, acts.history, self.total)
        counts += (acts.most, acts.most_days, self.most_total)
        return acts.negated or acts.returned or any(value is not None for value in counts)

    @property
    def has_verb(self) -> bool:
        """Whether what is to be done is said by what it is to be like, and not by a kind of act."""
        return self.acts.lapse or self.acts.returned or (self.is_general and self.acts.history == "again")


def unknown_language() -> str:
    """What is said of a demand in a language that is not known."""
    return f"the language was not recognised: demands are read in {_listed()}"


def read(demand: str, spoken: Language | None = None) -> Reading:
    """Reads a demand, in the language that it is known to be in. Nothing is refused: what is not understood stays in `wanted`."""
    language, is_told = (spoken, True) if spoken else told_by(demand)
    text, act_words = acts.read(language.plain(demand), language)
    text, horizon = _horizon(text, language)
    refused = ""
    if horizon is not None and not 0 < horizon <= times.FARTHEST:
        refused = f"{horizon:,} days ahead cannot be asked: say 1 to {times.FARTHEST:,} days, which is ten years"
        horizon = None
    horizon = horizon or act_words.span
    spends = language.pattern("acts", "spends").search(text) is not None
    text, each = _each_span(text, language)
    text, amount, most = _amounts(text, language)
    if each and (amount is not None or most is not None):
        horizon, spans = horizon or each, (horizon or each) / each
        amount, most = amount and amount * spans, most and most * spans
    text, late = times.left_over(text, language)
    named_attributes = attributes_of(language.plain(demand), language)
    text, numbers = _numbers_left(text, named_attributes, language)
    whole = text
    text, unwanted = _without(text, language)
    # who somebody is, is heard with the whole; what they do is what is looked for
    relative = language.pattern("relative")
    who, does = ["", *relative.split(text, maxsplit=1)][-2:]
    kinds = _kinds(whole if language.at("verb_last") else text, language)
    parts = _cores(does, language) or _cores(text, language)
    general_kinds = _general(parts, language)
    is_general = general_kinds is not None and (bool(parts) or bool(kinds) or not act_words.is_empty) and not unwanted
    if act_words.leaves and is_general:  # "subscribers who will leave" do nothing at all, whatever they are called for
        people = rf"\b(?:{alternatives(language.at('acts', 'people'))})\b"
        kinds = _kinds(re.sub(people, " ", whole if language.at("verb_last") else text), language)
    is_total = not act_words.is_once and (act_words.is_total or spends)
    clause = act_words.before.clause if act_words.before else ""
    spent = language.pattern("acts", "spends").search(clause) is not None or bool(act_words.before and act_words.before.in_total)
    clause, before_amount, before_most = _amounts(clause, language)
    clause, earlier = times.left_over(clause, language)
    if act_words.before and act_words.before.unheeded:
        earlier.append(f"“{act_words.before.unheeded}” is not heeded: one thing that was done before can be asked")
    of_one = (most is not None and not is_total) or (before_most is not None and not spent)
    limits = [language.at("upper_limit")] if of_one else []
    clause_notes = act_words.before.notes if act_words.before else ()
    notes = tuple(dict.fromkeys((*act_words.notes, *clause_notes, *limits, *late, *numbers, *earlier)))
    before_parts = _cores(clause, language)
    before_general = _general(before_parts, language)
    kinds = kinds or _kinds(act_words.manner, language) or _general_kinds(act_words.manner, language)
    if not is_told:
        notes = (*notes, unknown_language())
    if act_words.before and act_words.before.is_all:
        notes = (*notes, "the demand speaks of the past alone: it is read as who will do the same again")
    return Reading(
        subject=" ".join(text.split()),
        parts=() if is_general else parts,
        unwanted=tuple(core for clause in unwanted for core in _cores(clause, language)),
        kinds=kinds or (general_kinds or () if is_general else ()),
        horizon_days=horizon,
        min_amount=None if is_total else amount,
        total=amount if is_total else None,
        most_total=most if is_total else None,
        notes=notes,
        refused=refused,
        language=language.code,
        acts=act_words,
        is_general=is_general,
        who_parts=() if parts == _cores(text, language) else _cores(who, language),
        who=who.strip(" ,"),
        is_of_who=bool(who.strip()) and not _cores(does, language) and bool(parts),
        says_it=language.pattern("it").search(does.strip()) is not None,
        named_kinds=_named_kinds(whole, language),
        before_named_kinds=_named_kinds(clause, language),
        before_parts=before_parts if before_general is None else (),
        before_kinds=_kinds(clause, language) or before_general or _kinds_of(act_words, language),
        before_min_amount=None if spent else before_amount,
        before_total=before_amount if spent else None,
        before_most_total=before_most if spent else None,
        attributes=named_attributes,
    )


def clauses(demand: str, most: int = MOST_STATEMENTS) -> tuple[list[str], Literal["and", "or"]]:
    """The demands that a demand joins, and by which word. An enumeration of goods, or of ways to do one thing, is one demand."""
    language, _ = told_by(demand)
    text = language.plain(demand)
    if most > 1 and (other := language.pattern("acts", "switch", "words").match(text)):
        named = {name: part or "" for name, part in other.groupdict().items()}
        return [form.format(**named) for form in language.at("acts", "switch", "as")], "and"
    before = read(text).acts.before
    if most > 1 and (both := language.pattern("acts", "both").match(text)):
        one = f"{both['start']} {both['one']}"
        if language.at("verb_last"):
            return [one + both["verb"], f"{language.at('pronoun')} {both['other']}{both['verb']}"], "and"
        return [one, f"{language.at('pronoun')} {both['verb']} {both['other']}"], "and"
    if most > 1 and (before is None or not before.clause):
        stopped = [match.span() for pattern in language.patterns("acts", "stopped") for match in pattern.finditer(text)]
        for join in JOINS:
            for match in islice(language.pattern("acts", "joints", join).finditer(text), MOST_JOINTS):
                if any(start < match.start() < end for start, end in stopped):
                    continue  # "used to buy gold and no longer do" is one
                first, second = text[: match.start()], f"{language.at('pronoun')} {text[match.end() :]}"
                if _are_two(read(first), read(second), join, second):
                    more, further = clauses(second, most - 1)
                    return [first, *(more if further == join else [second])], join
    return [text], "and"


def _are_two(first: Reading, second: Reading, join: Literal["and", "or"], second_text: str) -> bool:
    """Whether each of two halves is a demand of its own, and at least one is more than doing something."""
    denies = second.acts.negated and bool(first.kinds)
    is_own = second.acts.negated and languages()[second.language].pattern("acts", "denial").match(second_text) is not None
    if is_own and (first.parts or first.is_measured) and (second.parts or second.kinds):
        return join == "and" or first.is_measured
    affirms = languages()[second.language].pattern("acts", "affirmation").match(second_text) is not None
    if join == "and" and affirms and first.acts.negated and (first.parts or first.kinds) and (second.parts or second.kinds):
        return True
    if not (
        (first.parts or first.is_measured or denies) and (first.kinds or first.is_measured) and (second.kinds or second.has_verb)
    ):
        return False
    status = languages()[second.language].at("with_status")
    if (status in first.subject) != (status in second.subject) and first.kinds and second.kinds:
        return True  # "open a ticket or pay late": a status is of one of the two
    if join == "or" and first.acts.negated and not first.acts.lapse and not second.acts.negated:
        return False  # "will not buy gold or order silver" negates both
    return first.is_measured or second.is_measured


def _kinds_of(words: Acts, language: Language) -> tuple[str, ...]:
    """The kinds of acts that the clause about the past counts: "two bookings last month"."""
    clause = words.before.words if words.before and (words.before.times or words.before.on_days) else ""
    return _kinds(clause, language) or _general_kinds(clause, language)


def _listed() -> str:
    names = [language.name for language in languages().values()]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _horizon(text: str, language: Language) -> tuple[str, int | None]:
    """The demand without its time words, and the days they mean. "Soon" and "the coming weeks" mean no number."""
    units = language.at("days")
    for pattern in language.patterns("horizon"):
        match = pattern.search(text)
        if match:
            number = match.groupdict().get("number")
            vague = number is None and re.search(rf"{match['unit']}{language.at('vague')}\b", match[0]) is not None
            count = 1 if number is None else language.value(number)
            days = None if vague else count * units[match["unit"]]
            return text[: match.start()] + " " + text[match.end() :], days
    match = re.search(rf"\b(?:{alternatives(language.at('tomorrow'))})\b", text)
    return (text[: match.start()] + " " + text[match.end() :], 1) if match else (text, None)


def _amounts(text: str, language: Language) -> tuple[str, float | None, float | None]:
    """A demand without its amounts of money, the least one that it names, and what it is to be less than."""
    least, most = None, None
    for name in ("floor", "ceiling"):
        pattern = re.compile(language.expand(language.at(name)) + language.money)
        for match in reversed(list(pattern.finditer(text))):
            plain = not (match["sign"] or match["currency"] or match["scale"])
            after = match["next"] or ""
            if plain and (
                language.pattern("time_units").match(after) or not language.pattern("spending").search(text[: match.start()])
            ):
                continue
            value = language.amount(match["figure"]) * {"k": 1e3, "m": 1e6}.get(match["scale"] or "", 1)
            if name == "floor":
                least = value
            else:
                most = value if match["below"] else value + CENT
            text = text[: match.start()] + " " + after + text[match.end() :]
    return text, least, most


def _each_span(text: str, language: Language) -> tuple[str, int | None]:
    """A demand without the words that say for what span of time an amount is meant, as "200 a month", and its days."""
    match = language.pattern("acts", "each_span").search(text)
    if not match:
        return text, None
    return text[: match.start("each")] + " " + text[match.end("each") :], language.at("days")[match["unit"]]


def _numbers_left(text: str, attributes: tuple[Named, ...], language: Language) -> tuple[str, list[str]]:
    """A demand without the limits that nothing has read, and notes on them; ages are told by the profile."""
    notes = []
    for match in reversed(list(language.pattern("number_left").finditer(text))):
        if not any(match[0] in named.words or named.words in match[0] for named in attributes):
            notes.append(f"“{match[0].strip()}” is not heeded: {language.at('number_reason')}")
            text = f"{text[: match.start()]} {text[match.end() :]}"
    return text, notes


def _without(text: str, language: Language) -> tuple[str, list[str]]:
    """The demand without what it leaves out, and that."""
    left = []
    while match := language.pattern("negation").search(text):
        rest = text[match.end() :]
        end = language.pattern("clause_end").search(rest)
        stop = end.start() if end else len(rest)
        left.append(rest[:stop])
        text = text[: match.start()] + " " + rest[stop:]
    return text, left


def _kinds(text: str, language: Language) -> tuple[str, ...]:
    """The kinds of templates that the verbs ask for; "look for" is a search though "look" may mean more."""
    positions: dict[str, int] = {}
    for kind, verbs in language.kinds.items():
        match = re.search(rf"\b(?:{alternatives(verbs)})\b", text)
        if match:
            positions[kind] = match.start()
    return tuple(sorted(positions, key=positions.__getitem__))


def _named_kinds(text: str, language: Language) -> tuple[str, ...]:
    """The kinds of acts that texts of a log may be called."""
    return tuple(kind for kind in language.at("acts", "by_name") if language.pattern("acts", "by_name", kind).search(text))


def _cores(text: str, language: Language) -> tuple[str, ...]:
    """The items of an enumeration, without the words that name nothing."""
    items = language.pattern("items").split(text)
    return tuple(dict.fromkeys(filter(None, (core(item, language) for item in items))))


def core(part: str, language: Language) -> str:
    """A part of a demand without the words that name nothing."""
    telling = set(language.at("telling"))
    verbs = [v for verbs in language.kinds.values() for v in verbs if v not in telling]
    part = re.sub(rf"\b(?:{alternatives(verbs)})\b", " ", part)
    words_of_part = re.findall(r"[\w'-]+", part)
    dull = {*language.at("audience"), *language.at("grammar")}
    kept = [w.removesuffix(language.at("possessive")) for w in words_of_part if w not in dull and not w.isdigit()]
    return " ".join(kept)


def _general(parts: tuple[str, ...], language: Language) -> tuple[str, ...] | None:
    """The kinds of acts that parts ask for which name no goods ("shop", "log in"); None where a part names something."""
    for part in parts:
        rest = part
        for names in language.at("acts", "general").values():
            rest = re.sub(rf"\b(?:{alternatives(names)})\b", " ", rest)
        if rest.strip():
            return None
    return tuple(dict.fromkeys(kind for part in parts for kind in _general_kinds(part, language)))


def _general_kinds(text: str, language: Language) -> tuple[str, ...]:
    """The kinds of acts that words ask for which name no goods."""
    kinds = []
    for kind, names in language.at("acts", "general").items():
        if kind and re.search(rf"\b(?:{alternatives(names)})\b", text):
            kinds.append(kind)
        text = re.sub(rf"\b(?:{alternatives(names)})\b", " ", text)
    return tuple(kinds)


def attributes_of(text: str, language: Language) -> tuple[Named, ...]:
    """The attributes that a demand names, whether or not the data has them."""
    named = []
    for place, entry in enumerate(language.at("attributes")):
        if match := language.pattern("attributes", str(place), "words").search(text):
            ages = tuple(entry["ages"]) if "ages" in entry else None
            born = tuple(entry["born"]) if "born" in entry else None
            named.append(Named(match[0].strip(), *_called(entry), ages, born))
    if match := language.pattern("decade").search(text):
        first: int = language.at("decades")[match["decade"] or match["some"]]
        named.append(Named(match[0].strip(), _called({})[0], ages=(first, first + 9)))
    if (match := language.pattern("ages").search(text)) and not _is_of_goods(text, match, language):
        groups = {name: int(age) for name, age in match.groupdict().items() if age and age.isdigit()}
        youngest = groups.get("from") or groups.get("least") or groups.get("least2") or groups.get("old", -1) + 1
        oldest = groups.get("to") or groups.get("most") or groups.get("most2") or groups.get("young", OLDEST + 1) - 1
        ages = (youngest, oldest)
        named.append(Named(match[0].strip(), _called({})[0], ages=ages))
    return tuple(named)


def _is_of_goods(text: str, age: re.Match[str], language: Language) -> bool:
    """Whether a bare number stands behind what is done: "who will buy wine under 20"."""
    if not (age["over"] or age["under"]) or not age[0].rstrip()[-1:].isdigit():
        return False
    if age.start() not in (age.start("over"), age.start("under")):  # "aged over 40"
        return False
    relative = language.pattern("relative").search(text[: age.start()])
    return relative is not None and bool(_kinds(text[relative.end() : age.start()], language))


def _called(entry: dict[str, str]) -> tuple[str, str]:
    """What the column and the values of an attribute are called in tables, which need not be in the language of the demand."""
    if "column" not in entry:
        return "|".join(language.at("age_column") for language in languages().values()), ""
    alike = [own for language in languages().values() for own in language.at("attributes") if own["means"] == entry["means"]]
    return "|".join(own["column"] for own in alike), "|".join(own["values"] for own in alike)
