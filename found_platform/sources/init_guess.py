"""A source file for files that no recipe knows: which are events, which the profile, which hold names, and what each column means.

What belongs here: the choices, each with its reason or a question. What does not: the signs of one column (`init_columns`), the
form of the text (`init_text`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from found_platform.errors import BadInput
from found_platform.sources.init_columns import (
    EXPOSURES,
    NO_PURCHASES,
    PURCHASES,
    SEARCHES,
    Column,
    columns_of,
    commonest,
    plain,
    yes_values,
)
from found_platform.sources.init_sample import Table
from found_platform.sources.init_text import Line, expression_name, located, patterns, text_of

PROFILES = re.compile(r"customer|user|profile|member|contact|client|kunden|subscriber|visitor|account|people|person", re.IGNORECASE)
"""Names of files that hold people."""
FEW_KINDS = 30
"""Up to so many distinct values a column is a kind of event, a category or a status."""
LABELS = {"user_id", "scenario", "cutoff", "label"}
"""The columns of labels, which look like events."""
FILLED = 0.95
"""Below this share of rows with a person, those without one are left out: refused, they would stop a run."""
RETURNS = re.compile(r"refund|return|cancel|void|chargeback|storn|retour", re.IGNORECASE)


@dataclass
class Guess:
    """The text of a source file, and what was recognised of each table, in words."""

    text: str
    roles: dict[str, str] = field(default_factory=dict)  # by the table's first file


@dataclass(frozen=True)
class Split:
    """The rows of a table of events that go to one channel."""

    channel: str
    where: str | None = None
    questions: tuple[str, ...] = ()
    exposure: bool = False


@dataclass(frozen=True)
class View:
    """A table, its columns, and those that stand for a person and a moment."""

    table: Table
    columns: dict[str, Column]
    user: Column | None
    time: Column | None

    @property
    def is_profile(self) -> bool:
        """Whether it has a row for each person, and nothing that makes a row an event."""
        if self.user is None or not (self.user.unique or self.table.rows == 1):
            return False
        named = PROFILES.search(self.table.name) is not None
        eventful = any(c.is_called(m) for c in self.columns.values() if c is not self.user for m in ("amount", "event_id", "kind"))
        return named or self.time is None or not eventful

    @property
    def is_events(self) -> bool:
        return self.user is not None and self.time is not None and not self.is_profile


def guess(tables: Sequence[Table], folder: Path) -> Guess:
    """A source file over these tables, its paths relative to `folder`. Raises BadInput where none of them holds events."""
    roles = {str(t.files[0]): "not used: labels for `found benchmark run --labels`" for t in tables if t.columns.keys() >= LABELS}
    views = [_view(table) for table in tables if str(table.files[0]) not in roles]
    if not views:
        raise BadInput("No events were recognised: these files hold labels of a benchmark alone. Name the files of events.")
    events = [v for v in views if v.is_events]
    if not events:
        raise BadInput(_no_events(views))
    keys = {plain(v.user.name) for v in events if v.user}
    profiles = [v for v in views if v.is_profile and v.user]
    profile = next((v for v in profiles if v.user and plain(v.user.name) in keys), next(iter(profiles), None))
    lookups = [v for v in views if not v.is_events and v is not profile]
    roles |= {str(v.table.files[0]): "not used: no column of people and of times was recognised in it" for v in lookups}
    channels: dict[str, list[list[Line]]] = {}
    for view in events:
        roles[str(view.table.files[0])] = "events"
        for channel, entry in _entries(view, lookups, folder, roles):
            channels.setdefault(channel, []).append(entry)
    lines = ["channels:\n"]
    for channel, entries in channels.items():
        lines.append(f"  {channel}:\n")
        for entry in entries:
            lines.append(text_of(entry, 2) if len(entries) == 1 else _item(text_of(entry, 3)))
    if profile is not None:
        roles[str(profile.table.files[0])] = "profile"
        lines += ["profile:\n", text_of(_profile(profile, folder), 1)]
    return Guess("".join(lines), roles)


def _item(text: str) -> str:
    """An entry of a list: the first key gets the hyphen, comments before it stay."""
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if not line.strip().startswith("#"))
    lines[first] = "    - " + lines[first][6:]
    return "\n".join(lines) + "\n"


def _no_events(views: Sequence[View]) -> str:
    view = max(views, key=lambda v: len(v.columns))
    missing = [what for what, column in (("people", view.user), ("times", view.time)) if column is None]
    reason = f"no column of {' and none of '.join(missing)}" if missing else "a row for each person, and no events of theirs"
    names = ", ".join(list(view.columns)[:20])
    return (
        f"No events were recognised: {view.table.files[0]} has {reason} (its columns are {names}): name another file, or write the "
        "source file by hand (docs/sources.md)."
    )


def _view(table: Table) -> View:
    columns = columns_of(table)
    user = _best(columns.values(), _user_score)
    times = [c for c in columns.values() if c.time is not None and c is not user]
    return View(table, columns, user, _best(times, _time_score))


def _best(columns: Any, score: Any) -> Column | None:
    scored = [(score(c), -i, c) for i, c in enumerate(columns)]
    return max((s for s in scored if s[0] > 0), default=(0, 0, None))[2]


def _user_score(column: Column) -> float:
    name = plain(column.name)
    if not column.is_called("user") or column.time is not None or column.filled < 0.3 or column.is_called("consent"):
        return 0
    if any(
        word in name for word in ("agent", "type", "segment", "status", "group", "age", "count", "name", "city", "state", "zip")
    ):
        return 0
    exact = re.fullmatch(
        r"(user|customer|client|visitor|member|account|person|shopper|buyer|household|profile|kunden?)_?(id|key|no|nr|number|nummer)?",
        name,
    )
    known = 3 if exact else 2 if name.endswith(("_id", "id", "key", "nr")) else 1
    mail = 0.5 if "mail" in name else 0
    guest = -1.5 if re.search(r"anonym|guest|device|pseudo|session", name) else 0
    return known + mail + guest + column.filled


def _time_score(column: Column) -> float:
    name = plain(column.name)
    if re.search(r"birth|geburt|expir|due|limit|estimated|deadline", name):
        return 0
    called = 2 if column.is_called("time") else 0
    first = 1 if re.search(r"event|created|placed|order|purchase|timestamp|datum|^date|^time|invoice", name) else 0
    later = -2 if column.is_called("arrived") or re.search(r"ship|deliver|approv|paid|fulfil|cancel|return", name) else 0
    clock = 0.5 if column.time and column.time.clock else 0
    return 1 + called + first + later + clock + column.filled


def _text_score(column: Column) -> float:
    name = plain(column.name)
    if not column.has_words or column.distinct < 2 or column.time is not None:
        return 0
    if any(column.is_called(m) for m in ("status", "payment", "consent", "person", "kind")) and not column.is_called("best_text"):
        return 0
    if column.is_called("person") or re.search(
        r"currency|locale|language|device|platform|browser|library|campaign|referr|(^|_)id$|ip$", name
    ):
        return 0
    best = 3 if column.is_called("best_text") else 0
    named = 2 if column.is_called("text") else 0
    category = -1.5 if column.is_called("category") else 0
    long = -1 if column.values and sum(map(len, column.values)) / len(column.values) > 200 else 0
    return max(0.1, 0.5 + best + named + category + long) + min(1, column.distinct / 100) / 10


def _entries(view: View, lookups: Sequence[View], folder: Path, roles: dict[str, str]) -> list[tuple[str, list[Line]]]:
    """The entries that one table of events makes: one for each channel that its kinds of events fall into, and each path."""
    assert view.user is not None
    assert view.time is not None
    columns, used = _columns(view, lookups, folder, roles)
    kind = next((c for c in view.columns.values() if c.is_called("kind") and 1 < c.distinct <= FEW_KINDS and c.has_words), None)
    splits = _splits(kind) if kind and kind.name not in used else []
    if not splits:
        splits = [Split(_channel(view, columns))]
    if view.user.filled < FILLED:
        nobody = f"{1 - view.user.filled:.0%} of the sampled rows have no {view.user.name}: they belong to nobody and are left out"
        known = f"{expression_name(view.user.name)} IS NOT NULL"
        splits = [
            replace(s, where=f"{known} AND {s.where}" if s.where else known, questions=(nobody, *s.questions)) for s in splits
        ]
    entries = []
    for path in patterns(view.table, folder):
        for split in splits:
            head = [Line(key, value) for key, value in located(view.table, path).items()]
            if split.where:
                head.append(Line("where", split.where, questions=split.questions))
            if split.exposure:
                head.append(Line("exposure", True, "done to people: history, never an outcome"))
            kept = columns if split.channel != "search" else [c for c in columns if c.key not in ("amount", "category")]
            entries.append((split.channel, [*head, *_options(view), Line("columns", kept), *_returns(view)]))
    return entries


def _splits(kind: Column) -> list[Split]:
    """The channels that kinds of events fall into: purchases, searches, what was done to people, and all else they looked at."""
    values = commonest(kind, FEW_KINDS)
    purchases = [v for v in values if PURCHASES.search(v) and not NO_PURCHASES.search(v)]
    exposures = [v for v in values if EXPOSURES.search(v) and v not in purchases]
    searches = [v for v in values if SEARCHES.search(v) and v not in exposures]
    rest = [v for v in values if v not in (*purchases, *searches, *exposures)]
    if not purchases:
        return []
    name = expression_name(kind.name)
    question = f"{kind.name} says the kind of an event ({', '.join(values)}): are these the purchases?"
    splits = [Split("pay_bill", f"{name} IN {_listed(purchases)}", (question,))]
    if searches:
        splits.append(Split("search", f"{name} IN {_listed(searches)}"))
    if rest:
        splits.append(Split("spm", f"{name} NOT IN {_listed([*purchases, *searches, *exposures])}"))
    if exposures:
        splits.append(Split("spm", f"{name} IN {_listed(exposures)}", ("is this what you sent to people?",), exposure=True))
    return splits


def _listed(values: Sequence[str]) -> str:
    return "(" + ", ".join("'" + v.replace("'", "''") + "'" for v in values) + ")"


def _channel(view: View, columns: Sequence[Line]) -> str:
    keys = {c.key for c in columns}
    text = next(c for c in columns if c.key == "text")
    if isinstance(text.value, str) and view.columns.get(text.value, None) and re.search(r"query|search|keyword", plain(text.value)):
        return "search"
    return "pay_bill" if "amount" in keys else "spm"


def _columns(view: View, lookups: Sequence[View], folder: Path, roles: dict[str, str]) -> tuple[list[Line], set[str]]:
    """What each contract column is taken from, and the names of the columns that are used."""
    user, time = view.user, view.time
    assert user is not None
    assert time is not None
    assert time.time is not None
    rest = {n: c for n, c in view.columns.items() if c not in (user, time)}
    lines = [_user_line(view, user), Line("event_time", time.name, _time_reason(view, time))]
    text, category = _texts(view, rest, lookups, folder, roles)
    lines += [text, *category]
    used = {line.value for line in lines if isinstance(line.value, str)}
    rest = {n: c for n, c in rest.items() if n not in used}
    if amount := _amount(rest):
        lines.append(amount)
    for meaning, key in (("status", "status"), ("payment", "payment_method")):
        column = next((c for c in rest.values() if c.is_called(meaning) and c.has_words and c.distinct <= FEW_KINDS), None)
        if column and column.name not in used:
            lines.append(Line(key, column.name))
            used.add(column.name)
    if (unique := _event_id(rest, used)) is not None:
        lines.append(unique)
    arrived = next((c for c in rest.values() if c.time is not None and c.is_called("arrived")), None)
    if arrived and arrived.time:
        same = arrived.time.options == time.time.options
        lines.append(Line("arrived_at", arrived.name if same else {"column": arrived.name, **arrived.time.options}))
    return lines, {str(line.value) for line in lines}


def _user_line(view: View, user: Column) -> Line:
    others = [c.name for c in view.columns.values() if c is not user and _user_score(c) > 1]
    questions = [f"{', '.join(others)} may stand for people too: {user.name} was chosen"] if others else []
    counts = {v: user.values.count(v) for v in commonest(user, 1)}
    for value, count in counts.items():
        if user.distinct > 20 and count > 0.2 * len(user.values):
            questions.append(f"{value} holds {count / len(user.values):.0%} of the sampled rows: is that one person?")
    return Line("user_id", user.name, f"{user.distinct:,} in {len(user.values):,} sampled rows", tuple(questions))


def _time_reason(view: View, time: Column) -> str:
    others = [c.name for c in view.columns.values() if c.time is not None and c is not time and not c.is_called("arrived")]
    reason = time.time.reason if time.time else ""
    return reason + (f"; other times: {', '.join(others[:4])}" if others else "")


def _texts(
    view: View, rest: Mapping[str, Column], lookups: Sequence[View], folder: Path, roles: dict[str, str]
) -> tuple[Line, list[Line]]:
    """The text of an event, its own or from a table of names, and a category where there is one."""
    categories = [c for c in rest.values() if c.is_called("category") and c.has_words and c.distinct <= max(50, len(c.values) // 2)]
    own = _best([c for c in rest.values() if c not in categories], _text_score) or _best(rest.values(), _text_score)
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
    lines = [Line("category", categories[0].name)] if categories else []
    if own is not None:
        return Line("text", own.name, "for example " + "; ".join(commonest(own, 3))[:80].replace("\n", " ")), lines
    fallback = next((c for c in rest.values() if c.is_called("text")), next(iter(rest.values()), None))
    if fallback is None:
        raise BadInput(
            f"{view.table.files[0]} has people and times and no third column: an event needs a text, what was bought or seen."
        )
    question = "these texts are numbers or codes, and no sentence finds them: which table holds their names? name its file too"
    return Line("text", fallback.name, questions=(question,)), lines


def _lookup(view: View, lookups: Sequence[View], folder: Path) -> tuple[View, Column, str, dict[str, Any]] | None:
    """A table with names for a column of these events: its view, its names, the column, and the options to read it."""
    for name, column in view.columns.items():
        if column in (view.user, view.time) or column.has_words:
            continue
        for lookup in lookups:
            key = next((c for n, c in lookup.columns.items() if plain(n) == plain(name) and c.unique), None)
            names = _best([c for c in lookup.columns.values() if c is not key], _text_score)
            if key is None or names is None:
                continue
            paths = patterns(lookup.table, folder)
            options = located(lookup.table, paths[0])
            options = {"from": options.pop("path"), **options, "key": key.name}
            return lookup, names, name, options | ({"on": name} if key.name != name else {})
    return None


def _amount(rest: Mapping[str, Column]) -> Line | None:
    numbers = [c for c in rest.values() if c.is_number and c.time is None and not c.is_called("user")]
    amounts = [c for c in numbers if c.is_called("amount") and not re.search(r"(^|_)id$", plain(c.name))]
    quantity = next((c for c in numbers if c.is_called("quantity")), None)
    whole = [c for c in amounts if re.search(r"amount|total|revenue|value|betrag|umsatz|paid|sum", plain(c.name))]
    unit = [c for c in amounts if c not in whole]
    negative = (
        "negative ones are read as returns" if any(c.negatives for c in (*amounts, *([quantity] if quantity else []))) else None
    )
    if not whole and unit and quantity:
        expression = f"{expression_name(quantity.name)} * {expression_name(unit[0].name)}"
        return Line(
            "amount", expression, negative, (f"is {unit[0].name} the price of one piece? then this is the amount of the line",)
        )
    chosen = (whole or unit or [None])[0]
    if chosen is None:
        return None
    others = [c.name for c in amounts if c is not chosen]
    return Line("amount", chosen.name, negative, (f"{', '.join(others)} may be meant instead",) if others and not whole else ())


def _event_id(rest: Mapping[str, Column], used: set[str]) -> Line | None:
    ids = [c for c in rest.values() if c.is_called("event_id") and c.name not in used and c.filled >= 0.99 and c.unique]
    named = [c for c in ids if re.search(r"event|message|insert|uuid|line|^id$", plain(c.name))]
    if named:
        return Line("event_id", named[0].name, "different in each sampled row: a repeat counts once")
    return None


def _options(view: View) -> list[Line]:
    """The options of times and numbers of an entry."""
    assert view.time is not None
    assert view.time.time is not None
    time = view.time.time
    lines = []
    for number, (key, value) in enumerate(time.options.items()):
        lines.append(Line(key, value, time.reason, (time.question,) if time.question and number == 0 else ()))
    if not time.zoned:
        lines.append(Line("timezone", "UTC", questions=(f"{view.time.name} names no time zone: in which one was it written?",)))
    if any(c.comma for c in view.columns.values()):
        lines.append(Line("decimal", ",", "numbers are written as in 12,90"))
    return lines


def _returns(view: View) -> list[Line]:
    for column in view.columns.values():
        if column.is_called("status") and column.distinct <= FEW_KINDS:
            values = [v for v in commonest(column, FEW_KINDS) if RETURNS.search(v)]
            if values:
                question = f"rows whose {column.name} is {', '.join(values)} count as returns, not as purchases"
                return [Line("returns", f"{expression_name(column.name)} IN {_listed(values)}", questions=(question,))]
    return []


def _profile(view: View, folder: Path) -> list[Line]:
    assert view.user is not None
    paths = patterns(view.table, folder)
    more = (f"only {paths[0]} is read: a profile is one table",) if len(paths) > 1 else ()
    lines = [Line(key, value, questions=more if key == "path" else ()) for key, value in located(view.table, paths[0]).items()]
    lines.append(Line("key", view.user.name))
    as_of = next((c for c in view.columns.values() if c.time is not None and c.is_called("as_of")), None)
    if as_of and as_of.time:
        lines.append(
            Line("as_of", {"column": as_of.name, **as_of.time.options} if as_of.time.options else as_of.name, as_of.time.reason)
        )
        if not as_of.time.zoned:
            lines.append(Line("timezone", "UTC"))
    else:
        question = "no column says since when a row is true: known for ever, it may leak what was learned later"
        lines[-1] = Line("key", view.user.name, questions=(question,))
    consents = [c for c in view.columns.values() if c.is_called("consent") and 1 <= c.distinct <= 6 and c.time is None]
    if consents:
        lines.append(_consent(consents))
    if any(c.comma for c in view.columns.values()):
        lines.append(Line("decimal", ","))
    return lines


def _consent(columns: Sequence[Column]) -> Line:
    column = columns[0]
    yes, unknown = yes_values(column)
    questions = []
    if len(columns) > 1:
        questions.append(f"{', '.join(c.name for c in columns[1:])} may say it too: {column.name} was chosen")
    if unknown or not yes:
        questions.append(f"which values of {column.name} mean that a person agrees? it holds {', '.join(commonest(column, 6))}")
    return Line(
        "consent", {"column": column.name, "yes": yes or ["yes"]}, "everybody else is kept out of audiences", tuple(questions)
    )
