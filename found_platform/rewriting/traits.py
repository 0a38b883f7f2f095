"""Traits of the profile that a demand names by more than a value: "born after 1990", "without newsletter", "customers since 2020",
"income over 50k", "more than 50 seats".

What belongs here: finding them among the numbers, dates and yes-or-no columns of this home, and the filter that they make. What
does not: values of texts (`profile_values`), sex and age (`reading`).
"""

import datetime as dt
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from found_platform.rewriting import bands, times
from found_platform.rewriting.bands import Band
from found_platform.rewriting.ground import Ground
from found_platform.rewriting.language import Language, alternatives
from found_platform.rewriting.profile_values import FOLD, one_of, quoted

YES, NO = {"yes", "y", "true", "t", "ja", "j", "1"}, {"no", "n", "false", "f", "nein", "0"}
BIRTH = r"birth_?year|year_?of_?birth|^yob$|geburts_?jahr|^jahrgang$"
BIRTHDAY = r"birth_?da(?:te|y)|date_?of_?birth|^dob$|geburts_?(?:datum|tag)"
SINCE = r"join|sign_?up|since|regist|creat|start|open|seit|beitritt|eintritt|anmeld|kunde_?ab"
INCOME = r"income|salary|earnings|einkommen|gehalt|verdienst"
COUNTS = {"count", "number", "num", "size", "band", "bracket", "range", "group", "level", "anzahl", "klasse"}
"""What a column of numbers may be called beside what is counted."""
FLAG = re.compile(r"^(?:is|has|ist|hat)_")
ENDS = r"end|expir|until|renew|valid|due|ablauf|läuft|laufzeit|bis|fällig|verläng"
DAYS_OF = {"day": 1.0, "week": 7.0, "month": 30.4375, "year": 365.25}
"""Of the units that the name of a column may end with."""


@dataclass
class Traits:
    """A demand in lower case without its traits, the filters that they are, and notes on those that this home does not know."""

    text: str
    conditions: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def extract(lake: Ground, text: str, spoken: Language) -> Traits:
    """The traits that a demand in lower case names, taken out of it."""
    traits = Traits(text)
    _birth(lake, traits, spoken)
    _since(lake, traits, spoken)
    _ending(lake, traits, spoken)
    for column in lake.numbers:
        if not (FLAG.match(column) or re.search(BIRTH, column.lower())):
            _number(column, traits, spoken)
    for column, values in lake.attributes.items():
        if banded := bands.of(values):
            _number(column, traits, spoken, banded)
    flags: dict[str, tuple[str, str]] = {name: (f"{quoted(name)} = true", f"{quoted(name)} = false") for name in lake.flags}
    flags |= {name: (f"{quoted(name)} = 1", f"{quoted(name)} = 0") for name in lake.numbers if FLAG.match(name)}
    for column, values in lake.attributes.items():
        kinds = {value: value.lower() in YES for value in values if value.lower() in YES | NO}
        if len(kinds) == len(values) and len(set(kinds.values())) == len(values) == 2:
            sides = ["'" + value.replace("'", "''") + "'" for value in sorted(values, key=lambda value: not kinds[value])]
            flags[column] = (f"{quoted(column)} IN ({sides[0]})", f"{quoted(column)} IN ({sides[1]})")
    for column, sides in flags.items():
        _flag(column, sides, traits, spoken)
    return traits


def take(traits: Traits, shape: str, spoken: Language, ends: int | None = None) -> re.Match[str] | None:
    """The first match of a shape, taken out of the text; where it is a clause of its own, the next one takes its place.

    With `ends`, where people are said to do something, it must stand before, or be a clause of its own.
    """
    clause = spoken.at("traits", "clause").replace("<shape>", shape)
    match = re.search(clause, traits.text) or re.search(shape, traits.text)
    if match and ends and match.start() >= ends and not match.groupdict().get("joint"):
        return None
    if match:
        kept = f" {spoken.at('pronoun')} " if match.groupdict().get("joint") else " "
        traits.text = f"{traits.text[: match.start()]}{kept}{traits.text[match.end() :]}"
    return match


def born(lake: Ground, first: int | None, last: int | None) -> str | None:
    """A filter of who was born in these years; None where the profile does not tell."""
    for column in lake.numbers:
        if re.search(BIRTH, column.lower()):
            return _between(quoted(column), first, last)
    for column in lake.dates:
        if re.search(BIRTHDAY, column.lower()):
            return _between(quoted(column), dt.date(first, 1, 1) if first else None, dt.date(last, 12, 31) if last else None)
    return None


def of_age(lake: Ground, youngest: int, oldest: int | None) -> str | None:
    """A filter of who is so old at the cutoff, by the year or the day of birth; None where the profile does not tell."""
    if lake.today is None:
        return None
    for column in lake.dates:
        if re.search(BIRTHDAY, column.lower()):
            last = _years_before(lake.today, youngest) if youngest else None
            first = None if oldest is None else _years_before(lake.today, oldest + 1) + dt.timedelta(1)
            return _between(quoted(column), first, last)
    return born(lake, None if oldest is None else lake.today.year - oldest, lake.today.year - youngest if youngest else None)


def _years_before(day: dt.date, years: int) -> dt.date:
    return day.replace(year=day.year - years, day=min(day.day, 28) if day.month == 2 else day.day)


def _between(column: str, lowest: object, highest: object) -> str | None:
    """A filter of values from the lowest to the highest, either open. Days are texts, which may have a time of day behind them."""
    if isinstance(highest, dt.date):
        upper = f"{column} < '{highest + dt.timedelta(1)}'"
    else:
        upper = f"{column} <= {highest}" if highest is not None else ""
    lower = f"'{lowest}'" if isinstance(lowest, dt.date) else lowest
    sides = [f"{column} >= {lower}" if lowest is not None else "", upper]
    return " AND ".join(filter(None, sides)) or None


def _birth(lake: Ground, traits: Traits, spoken: Language) -> None:
    while match := take(traits, spoken.at("traits", "born"), spoken):
        groups = match.groupdict()
        year = int(next(groups[name] for name in ("year", "year2") if groups.get(name)))
        last = int(groups["to"]) if groups.get("to") else year + 9 if groups.get("decade") else year
        if groups.get("after"):
            first, last = year + (0 if groups["after"] in spoken.at("traits", "including") else 1), None
        elif groups.get("before"):
            first, last = None, year - 1
        else:
            first = year
        condition = born(lake, first, last)
        if condition is None and lake.today is not None:  # an age tells it within a year
            ages = [None if year is None else lake.today.year - year for year in (last, first)]
            column = next((name for name in lake.numbers if re.search(spoken.at("age_column"), name.lower())), None)
            condition = _between(quoted(column), *ages) if column else None
        _add(traits, match[0], condition)


def _since(lake: Ground, traits: Traits, spoken: Language) -> None:
    if lake.today is None:
        return
    match = re.search(spoken.at("traits", "joined"), traits.text)
    if not match:
        return
    rest = traits.text[match.end("joined") :]
    period = times.day_range(rest, spoken, lake.today)
    if period is None:
        return
    first, last, length = period
    tail = re.match(spoken.at("traits", "joined_tail"), rest[length:])
    behind = rest[length:].lstrip(" ,")
    if not (match["joined"].strip() or tail or not behind or spoken.pattern("acts", "clause_start").match(behind)):
        return  # "who since March bought coffee"
    length += tail.end() if tail else 0
    words = traits.text[match.start("joined") : match.end("joined")] + rest[:length]
    condition = None
    for column in [*lake.dates, *lake.numbers]:
        if re.search(SINCE, column.lower()):
            name, is_year = quoted(column), column in lake.numbers
            low, high = (day.year if day and is_year else day for day in (first, last))
            condition = _between(name, low, high)
            break
    if condition is None and match.groupdict().get("verb"):
        return  # the log may know who signed up
    take(traits, re.escape(words), spoken)
    if match.groupdict().get("who"):  # "customers since 2020" are customers
        traits.text = f"{match['who']} {traits.text.lstrip()}" if match.start("joined") == 0 else traits.text
    _add(traits, words, condition)


def _ending(lake: Ground, traits: Traits, spoken: Language) -> None:
    """What of somebody's comes to its end: "whose contract ends in the next 30 days"."""
    match = spoken.pattern("traits", "ending").search(traits.text)
    if match is None or lake.today is None:
        return
    kept = f" {spoken.at('pronoun')} " if match["joint"] else " "
    traits.text = f"{traits.text[: match.start()]}{kept}{traits.text[match.end() :]}"
    days = spoken.at("traits", "ends_soon")
    if match["unit"]:
        days = (spoken.value(match["number"].strip()) if match["number"] else 1) * spoken.at("days")[match["unit"]]
    columns = [column for column in lake.dates if re.search(ENDS, column.lower())]
    if len(columns) > 1:
        columns = [column for column in columns if any(word in column.lower() for word in match["what"].split())]
    end = lake.today + dt.timedelta(days - 1)
    words = match[0].removesuffix(match["joint"] or "")
    _add(traits, words, _between(quoted(columns[0]), lake.today, end) if columns else None)


def _number(column: str, traits: Traits, spoken: Language, banded: Sequence[Band] = ()) -> None:
    """A number that is compared: "with an income over 50k", "more than 50 seats"; of one in bands also "with 2 kids"."""
    tokens = [token for token in re.split(r"[_\W]+", column.lower()) if token]
    tokens = [token for token in tokens if not (banded and token in COUNTS)] or tokens
    unit = next((name for name in DAYS_OF if tokens and tokens[-1].startswith(name)), None) if len(tokens) > 1 else None
    tokens = tokens[:-1] if unit else tokens
    name = r"[\s_-]*".join(re.escape(token.removesuffix("s")) + r"s?" for token in tokens)
    is_income = re.search(INCOME, column.lower()) is not None
    if not is_income and not all(token.removesuffix("s") in traits.text for token in tokens):
        return  # a profile may have hundreds of columns
    if is_income:
        name = rf"(?:{name}|{spoken.at('traits', 'income')})"
    acts = {word for names in spoken.at("acts", "general").values() for word in names}
    if len(name) < 3 or acts & {column.lower(), *tokens}:  # "more than 5 orders" are acts, whatever the profile counts
        return
    at = spoken.content["traits"]
    span = rf"(?:\s*(?P<span>{_spans(spoken)})\b)?"
    currency = rf"(?:\s*(?:[$€£¥]|{spoken.at('currencies')}))?"
    figure = rf"[$€£¥]?\s*(?P<figure>\d[\d.,]*\d|\d)\s*(?P<scale>k|m|tsd\.?|mio\.?)?(?!\w|\s+(?:times|mal)\b){currency}"
    second = (figure + span).replace("figure>", "figure2>").replace("scale>", "scale2>").replace("span>", "span2>")
    compared = "|".join(f"(?P<{name}>{at[name]})" for name in ("more", "least", "less", "most", "between"))
    compared = rf"(?:{compared})\s+"
    rest = rf"{figure}{span}(?:\s*(?:{at['and']})\s*{second})?"
    for shape in (
        rf"{at['lead']}\b{name}\s+(?:(?:{at['is']})\s+)?{compared}{rest}",
        rf"{at['lead']}{compared}{figure}\s+{name}\b",
        rf"{at['lead']}{compared}{name}\s+{figure}\b",
    ):
        relative = spoken.pattern("relative").search(traits.text)
        match = take(traits, shape, spoken, relative.start() if relative and shape.endswith(r"\b") else None)
        if match is None:
            continue
        groups = match.groupdict()
        low = _amount(groups["figure"], groups["scale"], groups.get("span"), unit, spoken)
        high = _amount(groups.get("figure2"), groups.get("scale2"), groups.get("span2"), unit, spoken)
        if banded:
            condition = _of_bands(column, banded, groups, low, high)
        elif groups["between"] and high is not None:
            condition = f"{quoted(column)} >= {low} AND {quoted(column)} <= {high}"
        else:
            sign = next(
                sign
                for key, sign in (("more", ">"), ("least", ">="), ("less", "<"), ("most", "<="), ("between", ">="))
                if groups[key]
            )
            condition = f"{quoted(column)} {sign} {low}"
        _add(traits, match[0], condition)
        return
    is_count = tokens != column.lower().split("_") or any(band.low == 0 or math.isinf(band.high) for band in banded)
    if banded and is_count and not is_income:
        _counted(column, name, banded, traits, spoken)


def _of_bands(column: str, banded: Sequence[Band], groups: dict[str, str | None], low: str | None, high: str | None) -> str | None:
    """The bands that a comparison takes in; None where it takes in none, or all."""
    first, last = float(low or 0), float(high) if high else None
    if groups["between"]:
        values = bands.within(banded, first, last)
    elif groups["more"] or groups["least"]:
        values = bands.within(banded, first + (bool(groups["more"]) and first.is_integer() and first < bands.COUNTED), None)
    else:
        values = bands.within(banded, None, first - (bool(groups["less"]) and first.is_integer() and first < bands.COUNTED))
    return one_of(column, values) if 0 < len(values) < len(banded) else None


def _counted(column: str, name: str, banded: Sequence[Band], traits: Traits, spoken: Language) -> None:
    """So many of what a column counts: "with 2 kids", "without kids"."""
    at = spoken.content["traits"]
    figure = rf"(?!an?\b|ein)(?P<figure>\d+|{alternatives(spoken.at('numbers'))})(?P<open>\s+{at['or_more']}|\+)?"
    none = rf"{at['with']}\s+{at['none']}\s+{name}\b|{at['without']}\s+{name}\b"
    ends = rf"(?=\s*(?:$|[,;.]|{spoken.at('relative')}))"
    shape = rf"(?P<none>{none})|{at['with']}\s+{figure}\s+{name}\b|(?P<any>{at['with']}\s+{name}\b{ends})"
    match = take(traits, shape, spoken)
    if match is None:
        return
    count = 0 if match["none"] else 1 if match["any"] else spoken.value(match["figure"])
    if match["any"] or match["open"]:
        values = bands.within(banded, count, None)
    else:
        values = [band.value for band in banded if band.low <= count <= band.high]
    _add(traits, match[0], one_of(column, values) if values else None)


def _spans(spoken: Language) -> str:
    return "|".join(word for words in spoken.at("traits", "spans").values() for word in words)


def _amount(figure: str | None, scale: str | None, span: str | None, unit: str | None, spoken: Language) -> str | None:
    """A figure in the unit of a column, as filters write it."""
    if figure is None:
        return None
    value = spoken.amount(figure) * {"k": 1e3, "t": 1e3, "m": 1e6}.get((scale or " ")[0], 1)
    if span and unit:
        period = next(name for name, words in spoken.at("traits", "spans").items() if span in words)
        value = round(value * DAYS_OF[period] / DAYS_OF[unit])
    return f"{value:.10g}" if value < 1e9 else f"{value:.0f}"


def _flag(column: str, sides: tuple[str, str], traits: Traits, spoken: Language) -> None:
    """A yes or no: "with newsletter", "who are not members", "non-members"."""
    bare = FLAG.sub("", column.lower())
    tokens = [re.escape(token.removesuffix("s")) for token in re.split(r"[_\W]+", bare.translate(FOLD)) if token]
    if not tokens or len("".join(tokens)) < 3:
        return
    name = r"[\s_-]*".join(tokens) + spoken.at("traits", "plural")
    folded = traits.text.translate(FOLD)
    if len(folded) != len(traits.text) or tokens[0] not in folded:
        return
    start = spoken.pattern("relative").search(folded)
    who = start.start() if start and folded[: start.start()].strip() else len(folded)
    for shape in spoken.at("traits", "flags"):
        filled = shape.replace("<name>", f"(?:{name})").replace("(?:<people>)", f"(?:{spoken.people})")
        match = re.search(filled, folded)
        if match is None or (match.start() > who and not match.groupdict().get("joint")):
            continue
        kept = match.groupdict()
        people = kept.get("people") or ""
        pronoun = f" {spoken.at('pronoun')} " if kept.get("joint") else " "
        traits.text = f"{traits.text[: match.start()]} {people}{pronoun}{traits.text[match.end() :]}".strip()
        _add(traits, match[0], sides[1] if kept.get("not") else sides[0])
        return


def _add(traits: Traits, words: str, condition: str | None) -> None:
    if condition is None:
        traits.notes.append(f"the data does not tell who is “{words.strip(' ,')}”")
    else:
        traits.conditions.append(condition)
