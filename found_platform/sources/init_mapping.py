"""What each contract column of events is taken from, and the options that read it: the `columns` of an entry nobody wrote yet.

What belongs here: the choice of a text, an amount, an id, each with its reason or a question. What does not: which rows go to which
channel (`init_kinds`), how columns are scored (`init_tables`).
"""

import contextlib
import datetime as dt
import re
import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from found_platform.errors import BadInput
from found_platform.lake import literal
from found_platform.sources.expressions import of_column
from found_platform.sources.init_amounts import amount_line, mixed_currencies, mixed_units
from found_platform.sources.init_columns import MOST, Column, commonest, plain
from found_platform.sources.init_flags import kind_of_flags
from found_platform.sources.init_status import FEW_KINDS, listed, statuses
from found_platform.sources.init_tables import View, best, is_within_person, names_of, text_score, user_score
from found_platform.sources.init_text import Line, located, patterns

LATE_DAYS = 60
"""A row that became known later than that is hardly one that was only late."""
ZONES = 50
"""Up to so many zones are listed."""
SHARED_IDS = 0.5
"""From this share of ids that stand beside several firms on it is asked whose they are."""


def columns_of_events(view: View, lookups: Sequence[View], folder: Path, roles: dict[str, str], kind: Column | None) -> list[Line]:
    """What each contract column is taken from. The column that cuts the events into channels means nothing else."""
    user, time = view.user, view.time
    assert user is not None
    assert time is not None
    assert time.time is not None
    rest = {
        n: c
        for n, c in view.columns.items()
        if c not in (user, time, kind) and not (c.is_called("returned") and c.distinct <= FEW_KINDS)
    }
    clock = _clock(rest, time) if view.table.kind in ("csv", "jsonl", "sqlite") else None
    moment = f"{of_column(time.name)} || ' ' || {of_column(clock.name)}" if clock else time.name
    zone = zone_of_rows(view)
    if zone and not clock:  # the engine stops at a zone that it does not know: another than these is a bad row
        local = f"timezone({of_column(zone.name)}, TRY_CAST({of_column(time.name)} AS TIMESTAMP))"
        moment = f"CASE WHEN {of_column(zone.name)} IN {listed(commonest(zone, ZONES))} THEN {local} END"
    rest = {n: c for n, c in rest.items() if c is not clock}
    reason = (
        f"in the zone that {zone.name} names; one that is not listed makes a bad row"
        if zone and not clock
        else _time_reason(view, time)
    )
    lines = [_user_line(view, user), Line("event_time", moment, reason)]
    text, category = _texts(view, rest, lookups, folder, roles)
    lines += [text, *category]
    used = {line.value for line in lines if isinstance(line.value, str)}
    rest = {n: c for n, c in rest.items() if n not in used}
    priced = {n: c for n, c in rest.items() if view.items and n in view.items.own}
    if amount := amount_line(priced) or amount_line(rest):
        mixed = mixed_currencies(rest, amount)
        lines.append(replace(amount, questions=(*amount.questions, *filter(None, [mixed]))))
    elif question := mixed_units(rest):
        lines[2] = replace(lines[2], questions=(*lines[2].questions, question))
    for meaning, key in (("status", "status"), ("payment", "payment_method")):
        columns = statuses(view, kind) if meaning == "status" else [c for c in rest.values() if c.is_called(meaning)]
        column = next((c for c in columns if c.name in rest and c.has_words and c.distinct <= FEW_KINDS), None)
        if column and column.name not in used:
            lines.append(Line(key, column.name))
            used.add(column.name)
    if (unique := _event_id(rest, used)) is not None:
        lines.append(unique)
    arrived = next((c for c in rest.values() if c.time and c.is_called("arrived") and _follows_soon(view, c, time)), None)
    if arrived and arrived.time:
        same = arrived.time.options == time.time.options
        lines.append(Line("arrived_at", arrived.name if same else {"column": arrived.name, **arrived.time.options}))
    return lines


def _user_line(view: View, user: Column) -> Line:
    others = [c.name for c in view.columns.values() if c is not user and user_score(c) > 1]
    questions = [f"{', '.join(others)} may stand for people too: {user.name} was chosen"] if others else []
    if not user.is_called("user"):
        questions.append(f"no column is called after people: is {user.name} the id of a person?")
    if question := _firms_question(view, user):
        questions.append(question)
    counts = {v: user.values.count(v) for v in commonest(user, 1)}
    for value, count in counts.items():
        if user.distinct > 20 and count > 0.2 * len(user.values):
            questions.append(f"{value} holds {count / len(user.values):.0%} of the sampled rows: is that one person?")
    return Line("user_id", user.name, f"{user.distinct:,} in {len(user.values):,} sampled rows", tuple(questions))


def _firms_question(view: View, user: Column) -> str | None:
    """A question where the same ids stand beside several firms: each of them may count its own people from 1."""
    for firm in (c for c in view.columns.values() if c is not user and c.is_called("firm") and c.distinct > 1):
        beside: dict[str, set[str]] = {}
        for person, of_firm in zip(view.table.columns[user.name], view.table.columns[firm.name], strict=True):
            if person and of_firm:
                beside.setdefault(person, set()).add(of_firm)
        shared = next((person for person, firms in beside.items() if len(firms) > 1), None)
        if shared and sum(len(firms) > 1 for firms in beside.values()) > SHARED_IDS * len(beside):
            return (
                f"{user.name} {shared} stands beside {', '.join(sorted(beside[shared])[:3])} in {firm.name}: where each of them "
                f"counts its own people, write `user_id: {of_column(firm.name)} || '/' || {of_column(user.name)}`, else they are "
                "one person"
            )
    return None


def _follows_soon(view: View, arrived: Column, time: Column) -> bool:
    """Whether a row's second time is within days of its first: when it was known, and not what it is about, such as an arrival."""
    lags = []
    for first, then in zip(view.table.columns[time.name], view.table.columns[arrived.name], strict=True):
        with contextlib.suppress(ValueError, TypeError):
            lags.append((dt.date.fromisoformat(then[:10]) - dt.date.fromisoformat(first[:10])).days)  # type: ignore[index]
    return not lags or sum(0 <= lag <= LATE_DAYS for lag in lags) >= MOST * len(lags)


def zone_of_rows(view: View) -> Column | None:
    """The column that names the zone of each row's time, where the times say none and are read without a rule."""
    time = view.time.time if view.time else None
    if time is None or time.zoned or time.options or not time.clock or view.table.kind not in ("csv", "jsonl"):
        return None
    zones = {z for z in zoneinfo.available_timezones() if "/" in z or z in ("UTC", "GMT")}  # `CET` and the like mean several
    named = (c for c in view.columns.values() if c.is_called("zone") and c.values and c.filled >= view.time.filled)  # type: ignore[union-attr]
    return next((c for c in named if c.distinct <= ZONES and all(v in zones for v in c.values)), None)


def _clock(rest: Mapping[str, Column], time: Column) -> Column | None:
    """The column with the time of day, where the column of times holds days alone."""
    if time.time is None or time.time.clock or {"format", "unit"} & time.time.options.keys():
        return None
    clocks = [c for c in rest.values() if c.values and all(re.fullmatch(r"\d{2}:\d{2}(:\d{2})?", v) for v in c.values)]
    return next((c for c in clocks if c.filled >= time.filled), None)


def _time_reason(view: View, time: Column) -> str:
    others = [c.name for c in view.columns.values() if c.time is not None and c is not time and not c.is_called("arrived")]
    reason = time.time.reason if time.time else ""
    return reason + (f"; other times: {', '.join(others[:4])}" if others else "")


def _texts(
    view: View, rest: Mapping[str, Column], lookups: Sequence[View], folder: Path, roles: dict[str, str]
) -> tuple[Line, list[Line]]:
    """The text of an event, its own or from a table of names, and a category where there is one."""
    things = [c for c in rest.values() if not is_within_person(c)]
    categories = [c for c in things if c.is_called("category") and c.has_words and c.distinct <= max(50, len(c.values) // 2)]
    categories.sort(key=lambda column: column.is_called("kind"))  # a topic says more than the type of an event
    own = best([c for c in rest.values() if c not in categories], text_score) or best(rest.values(), text_score)
    joined = _lookup(view, lookups, folder)
    if joined and (own is None or not own.is_called("text")):
        lookup, names, key, options = joined
        roles[str(lookup.table.files[0])] = "names of " + key
        category = next((c for c in lookup.columns.values() if c.is_called("category") and c.has_words and c is not names), None)
        more = [Line("category", {**options, "column": category.name})] if category else []
        own_category = [Line("category", categories[0].name)] if categories and not more else []
        return Line("text", {**options, "column": names.name}, f"{key} is a number or code: its name is looked up"), [
            *more,
            *own_category,
        ]
    categories = [c for c in categories if c is not own]
    flags = kind_of_flags(view, rest.values()) if not view.items else None
    lines = [Line("category", categories[0].name)] if categories else [Line("category", *flags)] if flags else []
    if own is not None:
        return Line("text", own.name, _examples(own)), lines
    worded = next((c for c in rest.values() if c.has_words and c.distinct > 1 and c.time is None), None)
    if worded is not None:
        question = f"no column is called after things: does {worded.name} say what an event is about?"
        return Line("text", worded.name, _examples(worded), (question,)), [line for line in lines if line.value != worded.name]
    if flags is not None:
        return Line("text", *flags), [line for line in lines if line.value != flags[0]]
    fallback = next((c for c in rest.values() if c.is_called("text")), next(iter(rest.values()), None))
    if fallback is None:
        lists = view.table.lists
        remedy = (
            f": it may be in the list {lists[0]}, of which `text: {lists[0]}.0.NAME` reads the first place and a `query` makes a "
            "row of each (docs/databases.md)"
            if lists
            else ""
        )
        raise BadInput(
            f"{view.table.files[0]} has people and times and no third column: an event needs a text, what was bought or "
            f"seen{remedy}."
        )
    if _is_measured(fallback):
        text = re.sub(r"[\W\d_]+", " ", view.table.name).strip() or "record"
        question = (
            f"no column says what an event is about, {fallback.name} is measured: all are called {text!r}; name a better word"
        )
        return Line("text", literal(text), questions=(question,)), []
    question = "these texts are numbers or codes, and no sentence finds them: which table holds their names? name its file too"
    return Line("text", fallback.name, questions=(question,)), lines


def _is_measured(column: Column) -> bool:
    """Whether it holds numbers with decimals: nothing is called so."""
    return (
        column.is_number and sum(re.search(r"[.,]\d*[1-9]", value) is not None for value in column.values) > len(column.values) / 2
    )


def _examples(column: Column) -> str:
    return "for example " + "; ".join(commonest(column, 3))[:80].replace("\n", " ")


def _lookup(view: View, lookups: Sequence[View], folder: Path) -> tuple[View, Column, str, dict[str, Any]] | None:
    """A table with names for a column of these events: its view, its names, the column, and the options to read it."""
    for name, column in view.columns.items():
        if column in (view.user, view.time) or (column.has_words and not column.is_code):
            continue
        for lookup in lookups:
            key = names_of(column, lookup)
            names = best([c for c in lookup.columns.values() if c is not key], text_score)
            if key is None or names is None:
                continue
            paths = patterns(lookup.table, folder)
            options = located(lookup.table, paths[0])
            options = {"from": options.pop("path", None) or options, **({} if "url" in options else options), "key": key.name}
            return lookup, names, name, options | ({"on": name} if key.name != name else {})
    return None


def _event_id(rest: Mapping[str, Column], used: set[str]) -> Line | None:
    ids = [c for c in rest.values() if c.is_called("event_id") and c.name not in used and c.filled >= 0.99 and c.unique]
    named = [c for c in ids if re.search(r"event|message|insert|uuid|line|position|^id$", plain(c.name))]
    if named:
        return Line("event_id", named[0].name, "different in each sampled row: a repeat counts once")
    return None


def _zone(view: View, time: Column) -> Line:
    """The time zone of times that do not say it: as the column's name has it, else UTC and a question."""
    if re.search(r"\b(utc|gmt)\b", time.name.replace("_", " "), re.IGNORECASE):
        return Line("timezone", "UTC", f"as {time.name} says")
    beside = next((c for c in view.columns.values() if c.is_called("zone") and c.values), None)
    says = f", and {beside.name} beside it says {', '.join(commonest(beside, 3))}" if beside else ""
    question = f"{time.name} names no time zone{says}: in which one was it written?"
    return Line("timezone", "UTC", questions=(question,))


def options(view: View) -> list[Line]:
    """The options of times and numbers of an entry."""
    assert view.time is not None
    assert view.time.time is not None
    time = view.time.time
    lines = []
    for number, (key, value) in enumerate(time.options.items()):
        lines.append(Line(key, value, time.reason, (time.question,) if time.question and number == 0 else ()))
    if not time.zoned and zone_of_rows(view) is None:
        lines.append(_zone(view, view.time))
    if any(c.comma for c in view.columns.values()):
        lines.append(Line("decimal", ",", "numbers are written as in 12,90"))
    elif any(c.groups for c in view.columns.values()):
        grouped = [c for c in view.columns.values() if c.groups]
        example = next((v for c in grouped for v in c.values if "," in v), "")
        plain = not any("." in v for c in grouped for v in c.values)
        question = (f"{example} is read with its comma between thousands: write `decimal: ','` where it stands before decimals",)
        lines.append(Line("decimal", ".", "numbers are written as in 1,234.50", question if plain else ()))
    return lines
