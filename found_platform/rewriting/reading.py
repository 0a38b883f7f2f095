"""What a demand says by its words alone: when, how much, in which way, of what, and of what not. English, see `words.yaml`."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources

import yaml

from found_platform.channels import channels

PACKAGE = "found_platform.rewriting"


@dataclass(frozen=True)
class Reading:
    """The parts of a demand. Parts are what it names, one an item of an enumeration, without words that name nothing."""

    wanted: str  # what is left of the demand without times, amounts and what is not wanted
    parts: tuple[str, ...]
    unwanted: tuple[str, ...]
    kinds: tuple[str, ...]  # of templates that its verbs ask for, in order of appearance
    horizon_days: int | None = None
    min_amount: float | None = None
    notes: tuple[str, ...] = ()  # what was read and cannot be used


@cache
def words() -> dict:
    """The word lists, as `words.yaml` and the channels have them."""
    content = yaml.safe_load((resources.files(PACKAGE) / "words.yaml").read_text())
    return {**content, "kinds": {channel.kind: channel.verbs for channel in channels()}}


def _any(options: Iterable[str]) -> str:
    """A pattern of any of these, the longest first."""
    return "|".join(re.escape(o).replace(r"\ ", r"\s+") for o in sorted(options, key=len, reverse=True))


NEGATION = re.compile(
    r"(?:,\s*)?\b(?:but|and|or)?\s*\b(?:"
    r"without|except(?:\s+for)?|excluding|other\s+than|apart\s+from|rather\s+than|instead\s+of|never"
    r"|(?:who|that|which)\s+(?:will|would|do|does|did|have|has|are|is)\s+(?:not|never)"
    r"|(?:who|that|which)\s+(?:won't|don't|doesn't|didn't|haven't|aren't)"
    r"|(?<=but )(?:will\s+|do\s+|are\s+)?not|(?<=but )no"
    r"|(?<=and )(?:do\s+|will\s+)?not|(?<=, )(?:do\s+|will\s+)?not|not(?=\s+\w+ing\b)"
    r")\b(?!\s+only)"
)
"""Not every "not": the money that "will not last" is no money to leave out."""
CLAUSE_END = re.compile(r"[,;.]|\bbut\b|\b(?:and|or)\s+(?:who|that|which|also|will)\b|\bwho\b")
MONEY = (
    r"(?P<sign>[$€£¥]|\b(?:usd|eur|gbp)\s*)?(?P<number>\d[\d,]*(?:\.\d+)?)\s*(?P<scale>k|m)?\b\s*"
    r"(?P<unit>[$€£¥]|(?:dollars?|euros?|pounds?|yuan|usd|eur|gbp|bucks)\b)?(?P<next>\s*(?:%|[a-z]+))?"
)
FLOOR = re.compile(
    r"\b(?:for\s+|of\s+|at\s+)?(?:more\s+than|over|above|at\s+least|exceeding|upwards\s+of|(?:a\s+)?minimum(?:\s+of)?)\s+" + MONEY
)
CEILING = re.compile(
    r"\b(?:for\s+|of\s+|at\s+)?(?:less\s+than|fewer\s+than|under|below|at\s+most|up\s+to|(?:a\s+)?maximum(?:\s+of)?)\s+" + MONEY
)
SPENDING = re.compile(r"\b(?:spend\w*|pay\w*|cost\w*|worth|amounts?|prices?|orders?|purchases?|buy\w*|donat\w*)\b")
TIME_UNITS = re.compile(r"\s*(?:%|(?:years?|days?|weeks?|months?|hours?|minutes?|times|percent|per\s+cent)\b)")


def read(demand: str) -> Reading:
    """Reads a demand. Nothing is refused: what is not understood stays in `wanted`."""
    text = demand.lower().replace("’", "'").replace("'ll", " will").strip(" .!?")
    text, horizon = _horizon(text)
    text, least, notes = _amounts(text)
    text, unwanted = _without(text)
    # who somebody is, is heard with the whole; what they do is what is looked for
    does = re.split(r"\b(?:who|that|which)\b", text, maxsplit=1)[-1]
    return Reading(
        wanted=" ".join(text.split()),
        parts=_cores(does) or _cores(text),
        unwanted=tuple(core for clause in unwanted for core in _cores(clause)),
        kinds=_kinds(text),
        horizon_days=horizon,
        min_amount=least,
        notes=notes,
    )


def _horizon(text: str) -> tuple[str, int | None]:
    """The demand without its time words, and the days they mean. "Soon" and "the coming weeks" mean no number."""
    units = words()["days"]
    unit = f"(?P<unit>{_any(units)})s?(?:'s?|s')?"
    number = rf"(?:(?P<number>\d+|{_any(words()['numbers'])})\s+)"
    patterns = (
        rf"\b(?:with)?in\s+(?:the\s+)?(?:next|coming|following|upcoming)\s+{number}?{unit}\b",
        rf"\b(?:(?:with)?in|over|during|for)\s+(?:the\s+)?(?:(?:next|coming|following|upcoming)\s+)?{number}{unit}\b(?!\s+old)",
        rf"\b(?:over|during|for|of|this)?\s*(?:the\s+)?(?:next|coming|following|upcoming)\s+{number}?{unit}(?!\w)",
        rf"\b(?:over|during)?\s*this\s+{unit}\b",
    )
    for pattern in patterns:
        match = re.search(pattern, text)
        if match:
            said = match.groupdict().get("number")
            vague = said is None and re.search(rf"{match['unit']}s(?!')\b", match[0]) is not None
            count = 1 if said is None else int(said) if said.isdigit() else words()["numbers"][re.sub(r"\s+", " ", said)]
            days = None if vague or not 0 < count * units[match["unit"]] <= 3650 else count * units[match["unit"]]
            return text[: match.start()] + " " + text[match.end() :], days
    match = re.search(r"\b(today|tonight|tomorrow)\b", text)
    return (text[: match.start()] + " " + text[match.end() :], 1) if match else (text, None)


def _amounts(text: str) -> tuple[str, float | None, tuple[str, ...]]:
    least, notes = None, ()
    for pattern, floor in ((FLOOR, True), (CEILING, False)):
        for match in reversed(list(pattern.finditer(text))):
            plain = not (match["sign"] or match["unit"])
            after = match["next"] or ""
            if plain and (TIME_UNITS.match(after) or not SPENDING.search(text[: match.start()])):
                continue
            value = float(match["number"].replace(",", "")) * {"k": 1e3, "m": 1e6}.get(match["scale"] or "", 1)
            if floor:
                least = value
            else:
                notes = ("an upper limit on amounts is not used",)
            text = text[: match.start()] + " " + after + text[match.end() :]
    return text, least, notes


def _without(text: str) -> tuple[str, list[str]]:
    """The demand without what it leaves out, and that."""
    left = []
    while match := NEGATION.search(text):
        rest = text[match.end() :]
        end = CLAUSE_END.search(rest)
        stop = end.start() if end else len(rest)
        left.append(rest[:stop])
        text = text[: match.start()] + " " + rest[stop:]
    return text, left


def _kinds(text: str) -> tuple[str, ...]:
    """The kinds of templates that the verbs ask for; "look for" is a search though "look" may mean more."""
    positions: dict[str, int] = {}
    for kind, verbs in words()["kinds"].items():
        match = re.search(rf"\b(?:{_any(verbs)})\b", text)
        if match:
            positions[kind] = match.start()
    return tuple(sorted(positions, key=positions.__getitem__))


def _cores(text: str) -> tuple[str, ...]:
    """The items of an enumeration, without the words that name nothing."""
    items = re.split(r"[,;:/]|\b(?:and|or|as well as|plus|who|that|which)\b", text)
    return tuple(dict.fromkeys(filter(None, map(_core, items))))


def _core(part: str) -> str:
    lists = words()
    telling = set(lists["telling"])
    verbs = [v for verbs in lists["kinds"].values() for v in verbs if v not in telling]
    part = re.sub(rf"\b(?:{_any(verbs)})\b", " ", part)
    words_of_part = re.findall(r"[\w'-]+", part)
    dull = {*lists["audience"], *lists["grammar"]}
    kept = [w.removesuffix("'s") for w in words_of_part if w not in dull and not w.isdigit()]
    return " ".join(kept)
