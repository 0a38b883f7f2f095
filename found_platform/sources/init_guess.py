"""A source file for files that no recipe knows: which are events, which the profile, which hold names.

What belongs here: the source file as a whole, its entries and its profile. What does not: what a table is (`init_tables`), what its
columns mean (`init_mapping`, `init_columns`), the form of the text (`init_text`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from found_platform.errors import BadInput
from found_platform.lake import literal
from found_platform.sources.expressions import of_column
from found_platform.sources.init_columns import EXPOSURES, Column, commonest, plain, yes_values
from found_platform.sources.init_files import family
from found_platform.sources.init_ids import Writing, common_writing
from found_platform.sources.init_items import entry_of
from found_platform.sources.init_kinds import SENT, Split, kind_of_events, returns, share_filled, splits_of
from found_platform.sources.init_mapping import columns_of_events, options
from found_platform.sources.init_maps import WhoIsWho, who_is_who
from found_platform.sources.init_sample import Table
from found_platform.sources.init_status import deleted, unfinished, with_question
from found_platform.sources.init_tables import View, names_of, views_of
from found_platform.sources.init_text import Line, located, patterns, text_of
from found_platform.sources.profile import attribute_name

LABELS = {"user_id", "scenario", "cutoff", "label"}
"""The columns of labels, which look like events."""
PERIOD = (
    r"(^|[^0-9])(19|20)\d{2}[-_./ ]?((0?[1-9]|1[0-2])|[qQwW]\d{1,2})?$|"
    r"^(jan|feb|m(a|ä)r|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])[a-zä]*[-_. ']*(\d{2}|\d{4})?$"
)
"""Names of columns that hold the sums of a month, a quarter or a year."""
PERIODS = 3
GENERAL = r"(^|_)(events?|logs?|data|rows?|export|table|file|part|dump|history|all|sheet)(_|$)"
"""Names of tables that say nothing of their rows."""
WHO_IS_WHO = "which ids are of one person"
TYPED = 0.3
"""From this share of searches on, a column of search words is their text."""
FILLED = 0.95
"""Below this share of rows with a person or a text, those without one are left out: refused, they would stop a run."""


@dataclass
class Guess:
    """The text of a source file, and what was recognised of each table, in words."""

    text: str
    roles: dict[str, str] = field(default_factory=dict)  # by the table's first file


def guess(tables: Sequence[Table], folder: Path) -> Guess:
    """A source file over these tables, its paths relative to `folder`. Raises BadInput where none of them holds events."""
    roles = {str(t.files[0]): "not used: labels for `found benchmark run --labels`" for t in tables if t.columns.keys() >= LABELS}
    views = views_of([table for table in tables if str(table.files[0]) not in roles])
    if not views:
        raise BadInput("No events were recognised: these files hold labels of a benchmark alone. Name the files of events.")
    events = [v for v in views if v.is_events]
    if not events:
        raise BadInput(_no_events(views))
    keys = {plain(v.user.name) for v in events if v.user}
    ids = who_is_who(events, [v for v in views if not v.is_events])
    views = [view if ids and view is ids.view else _keyed(view, events) for view in views]
    profiles = [v for v in views if v.is_profile and v.user and (ids is None or v is not ids.view or ids.is_more)]
    profiles = profiles or [v for v in views if v.is_history]
    profile = next((v for v in profiles if v.user and plain(v.user.name) in keys), next(iter(profiles), None))
    lookups = [v for v in views if not v.is_events and v is not profile and (ids is None or v is not ids.view)]
    roles |= {str(v.table.files[0]): "not used: no column of people and of times was recognised in it" for v in lookups}
    drafts: list[tuple[View, str, list[Line]]] = []
    writings: list[Writing | None] = []
    for view in events:
        roles[str(view.table.files[0])] = "events"
        user = ids.user_line(view, folder) if ids and ids.knows(view) else None
        writing = common_writing(view.user, profile.user) if profile and profile.user and view.user and not user else None
        writings.append(writing)
        writing = writing or (ids.number(view) if ids else None)
        for channel, entry in _entries(view, lookups, folder, roles, writing, user, is_one_of_several=len(events) > 1):
            drafts.append((view, channel, entry))
    channels: dict[str, list[list[Line]]] = {}
    for channel, entry in _of_one_log(drafts, folder):
        channels.setdefault(channel, []).append(entry)
    lines = ["channels:\n"]
    for channel, entries in channels.items():
        lines.append(f"  {channel}:\n")
        for entry in entries:
            lines.append(text_of(entry, 2) if len(entries) == 1 else _item(text_of(entry, 3)))
    if ids is not None:
        roles[str(ids.view.table.files[0])] = WHO_IS_WHO
    if profile is not None:
        roles[str(profile.table.files[0])] = _role(profile, events, ids)
        lines += ["profile:\n", text_of(_profile(profile, folder, next(filter(None, writings), None)), 1)]
    return Guess("".join(lines), roles)


def _of_one_log(drafts: Sequence[tuple[View, str, list[Line]]], folder: Path) -> list[tuple[str, list[Line]]]:
    """The entries, those of one log in one: files that gained or lost a column which no entry reads are still one pattern."""
    groups: dict[str, list[tuple[View, str, list[Line]]]] = {}
    for view, channel, entry in drafts:
        same = [(line.key, _values(line.value)) for line in entry if line.key != "path"]
        groups.setdefault(repr((channel, family(view.table.files[0]), same)), []).append((view, channel, entry))
    entries = []
    for group in groups.values():
        files = [file for files in {id(view): view.table.files for view, _, _ in group}.values() for file in files]
        paths = patterns(replace(group[0][0].table, files=files), folder)
        _, channel, entry = group[0]
        if len(group) > 1 and len(paths) == 1:
            entries.append((channel, [replace(line, value=paths[0]) if line.key == "path" else line for line in entry]))
        else:
            entries += [(channel, entry) for _, channel, entry in group]
    return entries


def _values(value: Any) -> Any:
    """What a line says, without its comments."""
    is_nested = isinstance(value, list) and bool(value) and isinstance(value[0], Line)
    return [(line.key, _values(line.value)) for line in value] if is_nested else value


def _keyed(view: View, events: Sequence[View]) -> View:
    """A table of people with the key that events name, such as `id` for their `user_id`, where its own guess is in none of them."""
    if not view.is_profile or view.user is None:
        return view
    for event in events:
        key = names_of(event.user, view) if event.user and event is not view else None
        if key is None or key is view.user or event.user is None:
            continue
        ids = set(event.user.values)
        if len(ids & set(key.values)) > len(ids & set(view.user.values)):
            return replace(view, user=key)
    return view


def _role(profile: View, events: Sequence[View], ids: WhoIsWho | None) -> str:
    if profile in events:
        return "events and profile"
    return f"profile, and {WHO_IS_WHO}" if ids and ids.view is profile else "profile"


def _item(text: str) -> str:
    """An entry of a list: the first key gets the hyphen, comments before it stay."""
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if not line.strip().startswith("#"))
    lines[first] = "    - " + lines[first][6:]
    return "\n".join(lines) + "\n"


def periods_of(view: View) -> list[str]:
    """The columns that are called after months, quarters or years, where most of a table's numbers stand in them."""
    periods = [c.name for c in view.columns.values() if re.search(PERIOD, c.name, re.IGNORECASE) and (c.is_number or not c.values)]
    return periods if len(periods) >= PERIODS else []


def _no_events(views: Sequence[View]) -> str:
    view = max(views, key=lambda v: len(v.columns))
    if not view.columns and view.table.lists:
        inner = view.table.lists[0]
        return (
            f"No events were recognised: {view.table.files[0]} holds one object with the list {inner!r}: write the objects of that "
            f"list one a line, for example with `jq -c '.{inner}[]'`."
        )
    if periods := periods_of(view):
        name = re.sub(r"\W+", "_", view.table.name).strip("_") or "rows"
        first, last = periods[0], periods[-1]
        return (
            f"No events were recognised: {view.table.files[0]} has a column for each period ({first} to {last}), and events have "
            f"a row each. A query turns them: `tables: {{{name}: {view.table.files[0].name}}}` and `query: SELECT * FROM (UNPIVOT "
            f"{name} ON {', '.join(map(of_column, periods[:2]))}, … INTO NAME period VALUE amount)`, with `event_time` from "
            "`period`, such as `period || '-01'` (docs/databases.md)."
        )
    missing = [what for what, column in (("people", view.user), ("times", view.time)) if column is None]
    reason = f"no column of {' and none of '.join(missing)}" if missing else "a row for each person, and no events of theirs"
    names = ", ".join(list(view.columns)[:20])
    return (
        f"No events were recognised: {view.table.files[0]} has {reason} (its columns are {names}): name another file, or write the "
        "source file by hand (docs/sources.md)."
    )


def _named_by_table(view: View, columns: list[Line]) -> list[Line]:
    """Columns with the name of their table as category, where they have none: what is a ticket is called so by its file alone."""
    name = re.sub(r"[\W\d_]+", " ", view.table.name).strip()
    if any(line.key == "category" for line in columns) or not name or re.search(GENERAL, plain(name)):
        return columns
    line = Line("category", literal(name), "the name of the table: no column says of what kind these events are")
    place = next(i for i, column in enumerate(columns) if column.key == "text") + 1
    return [*columns[:place], line, *columns[place:]]


def _entries(
    view: View,
    lookups: Sequence[View],
    folder: Path,
    roles: dict[str, str],
    writing: Writing | None,
    user: Line | None,
    *,
    is_one_of_several: bool,
) -> list[tuple[str, list[Line]]]:
    """The entries that one table of events makes: one for each channel that its kinds of events fall into, and each path."""
    assert view.user is not None
    assert view.time is not None
    kind = kind_of_events(view)
    columns = columns_of_events(view, lookups, folder, roles, kind)
    if writing is not None:
        columns[0] = replace(columns[0], value=writing.expression(view.user), comment=_written(writing))
    columns[0] = user or columns[0]
    columns = _named_by_table(view, columns) if is_one_of_several and kind is None else columns
    types = [Line("types", writing.types(view.user))] if writing and writing.as_number else []
    splits = splits_of(kind) if kind else [_whole(view, columns)]
    channels = [(split, _searched(view, kind, columns, split)) for split in splits]
    splits = [complete for split, own in channels if (complete := _complete(view, kind, own, split)) is not None]
    if missed := unfinished(view):
        splits = [_without(s, *missed) if s.channel == "pay_bill" else s for s in splits]
    if gone := deleted(view):
        splits = [_without(s, *gone) for s in splits]
    entries = []
    for path in patterns(view.table, folder):
        for split in splits:
            head = _location(view, path, [*columns, *returns(view, kind), Line("where", split.where or "")])
            if split.where:
                head.append(Line("where", split.where, questions=split.questions))
            if split.exposure:
                questions = () if split.where else split.questions
                head.append(Line("exposure", True, "done to people: history, never an outcome", questions))
            back = returns(view, kind) if split.channel == "pay_bill" else []
            kept = _searched(view, kind, columns, split)
            kept = kept if split.channel == "pay_bill" or split.exposure else with_question(view, kept)
            text = next(line.value for line in kept if line.key == "text")
            constant = re.fullmatch("'([^']*)'", text) if isinstance(text, str) else None
            head += [Line("confirm", [constant[1]], "the text of all these rows")] if constant else []
            entries.append((split.channel, [*head, *options(view), *types, Line("columns", kept), *back]))
    return entries


def _location(view: View, path: str, lines: Sequence[Line]) -> list[Line]:
    """Where the rows are: files, or a query that makes a row of each value in their lists."""
    place = located(view.table, path)
    if view.items is None:
        asked = _encoding_question(view)
        return [Line(key, value, questions=asked if key == "encoding" else ()) for key, value in place.items()]
    texts = [_read_by(line.value) for line in lines]
    used = [n for n in view.columns if any(re.search(rf"(?<!\w){re.escape(n)}(?!\w)", text) for text in texts)]
    amount = next((line.value for line in lines if line.key == "amount"), "")
    return entry_of(view.table, view.items, place, used, [n for n in used if n in amount and view.columns[n].is_number])


def _encoding_question(view: View) -> tuple[str, ...]:
    """Whether words are read as they were written, where the bytes fit several encodings."""
    if view.table.encoding in (None, "utf-16", "cp1252"):
        return ()
    words = [word for name, column in view.columns.items() for word in (name, *column.values[:20]) if not word.isascii()]
    return (
        f"the bytes do not say their encoding, {view.table.encoding} is a guess: are these words right? {', '.join(words[:3])}",
    )


def _read_by(value: Any) -> str:
    """What a value of `columns` reads of its own row: of a lookup the key."""
    if not isinstance(value, dict):
        return str(value)
    return value.get("on") or value.get("key") or value["column"]


def _searched(view: View, kind: Column | None, columns: list[Line], split: Split) -> list[Line]:
    """The columns of one channel: of searches the words that were typed, where a column of its own has them, and no amount."""
    if split.channel != "search":
        return columns
    typed = (c for c in view.columns.values() if c.is_called("search") and c.has_words and c not in (kind, view.user))
    words = next((c for c in typed if share_filled(view, kind, split, c) > TYPED), None)
    text = next(line for line in columns if line.key == "text")
    kept = [line for line in columns if line.key not in ("amount", "category")]
    return [replace(line, value=words.name, comment=None, questions=()) if words and line is text else line for line in kept]


def _complete(view: View, kind: Column | None, columns: Sequence[Line], split: Split) -> Split | None:
    """A channel without rows that have nobody or no text, where the sample has many; None where it has no others."""
    assert view.user is not None
    text = next(line for line in columns if line.key == "text")
    named = view.columns.get(text.value) if isinstance(text.value, str) else None
    for column, lack in ((view.user, "belong to nobody"), (named, "say nothing")):
        share = share_filled(view, kind, split, column) if column else 1.0
        if column is None or share >= FILLED:
            continue
        if share == 0 and split.kinds:
            return None
        question = f"{1 - share:.0%} of the sampled rows have no {column.name}: they {lack} and are left out"
        split = _without(split, f"{of_column(column.name)} IS NOT NULL", question)
    return split


def _without(split: Split, condition: str, question: str) -> Split:
    """The rows of a channel that fulfil one more condition."""
    where = f"{condition} AND {split.where}" if split.where else condition
    return replace(split, where=where, questions=(question, *split.questions))


def _whole(view: View, columns: Sequence[Line]) -> Split:
    """The channel of a table whose rows are all of one kind; a table called mailings is what was sent to people."""
    channel = _channel(view, columns)
    if channel == "spm" and EXPOSURES.search(plain(view.table.name)):
        return Split(channel, questions=(SENT,), exposure=True)
    return Split(channel)


def _channel(view: View, columns: Sequence[Line]) -> str:
    keys = {c.key for c in columns}
    text = next(c for c in columns if c.key == "text")
    if isinstance(text.value, str) and view.columns.get(text.value, None) and re.search(r"query|search|keyword", plain(text.value)):
        return "search"
    return "pay_bill" if "amount" in keys else "spm"


def _written(writing: Writing) -> str:
    return f"ids of the events and of the profile differ by {writing.reason}"


def _profile(view: View, folder: Path, writing: Writing | None) -> list[Line]:
    assert view.user is not None
    paths = patterns(view.table, folder)
    more = (f"only {paths[0]} is read: a profile is one table",) if len(paths) > 1 else ()
    lines = [Line(key, value, questions=more if key == "path" else ()) for key, value in located(view.table, paths[0]).items()]
    key = writing.expression(view.user) if writing else view.user.name
    comment = _written(writing) if writing else None
    lines += [Line("types", writing.types(view.user))] if writing and writing.as_number else []
    lines.append(Line("key", key, comment))
    as_of = next((c for c in view.columns.values() if c.time is not None and c.is_called("as_of")), None)
    if as_of and as_of.time:
        lines.append(
            Line("as_of", {"column": as_of.name, **as_of.time.options} if as_of.time.options else as_of.name, as_of.time.reason)
        )
        if not as_of.time.zoned:
            lines.append(Line("timezone", "UTC"))
    else:
        question = "no column says since when a row is true: known for ever, it may leak what was learned later"
        lines[-1] = Line("key", key, comment, questions=(question,))
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
        "consent",
        {"column": column.name, "yes": yes or ["yes"]},
        f"true for these; FOUND_CONSENT_COLUMN={attribute_name(column.name)} keeps all others out of audiences",
        tuple(questions),
    )
