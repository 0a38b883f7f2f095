"""Times: a value becomes a moment in UTC, strictly and row by row, or nothing.

What belongs here: the SQL that reads ISO 8601, numbers since 1970, told formats, days before months or after them; which rule of
the source file would read a value that was refused. What does not: spans (`rows`), rules as YAML (`options`).

A time without an offset is of the rule's zone. Where a clock is set forward, a time that does not exist is read with the offset
before (02:30 becomes 03:30); where it is set back, a time that exists twice is the second one: ICU's rule in DuckDB's `timezone`.
"""

import datetime as dt
import re
from collections.abc import Sequence

import duckdb

from found_platform.lake import literal
from found_platform.sources.options import TimeRule
from found_platform.sources.values import is_float, is_number, is_text, trimmed

CLOCK = r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?"
NAIVE = rf"[0-9]{{4}}[-/][0-9]{{1,2}}[-/][0-9]{{1,2}}([T ]{CLOCK})?"
OFFSET = r"(?:Z|UTC|GMT|[+-](?:0[0-9]|1[0-4])(?::?[0-5][0-9])?)"
ISO_LOOSE = rf"(?i)[0-9]{{4}}[-/][0-9]{{1,2}}[-/][0-9]{{1,2}}([T ]{CLOCK.replace('[.]', '[.,]')} ?{OFFSET}?)?"
DAYS_AND_MONTHS = (
    r"(?i)^([0-9]{1,2})[-/.]([0-9]{1,2})[-/.]([0-9]{4}|[0-9]{2})"
    rf"(?:[T ,]+({CLOCK.replace('(', '(?:')})(?: ?([AP])[.]?M[.]?)?)?(?: ?({OFFSET}))?$"
)
SIMPLE_DAYS_AND_MONTHS = rf"([0-9]{{1,2}})[-/.]([0-9]{{1,2}})[-/.]([0-9]{{4}})( {CLOCK.replace('(', '(?:')})?"
MICROSECONDS = {"s": "* 1000000", "ms": "* 1000", "us": "* 1", "ns": "/ 1000"}
FIRST, LAST = dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31)
EPOCH_RANGE = "BETWEEN -62135596800000000 AND 253402300799999999"  # the years 1 to 9999, in microseconds since 1970
PIVOT = 69  # two digits of a year: 69 to 99 are of the last century, 00 to 68 of this one, as POSIX has it


def can_be_time(kind: str, rule: TimeRule) -> bool:
    """Whether values of a DuckDB type can be read as times: numbers only where a rule says how."""
    return kind == "DATE" or kind.startswith("TIMESTAMP") or is_text(kind) or (is_number(kind) and bool(rule.unit or rule.format))


def moment(value: str, kind: str, rule: TimeRule) -> str:
    """SQL of a TIMESTAMPTZ; null where the value cannot be read. Costs the same for good and bad values."""
    zone = rule.timezone or "UTC"
    if kind == "TIMESTAMP WITH TIME ZONE":
        return value
    if kind == "DATE" or kind.startswith("TIMESTAMP"):
        return _in_zone(f"CAST({value} AS TIMESTAMP)", zone)
    if rule.unit:
        return _of_number(value, rule.unit, zone)
    text = f"({trimmed(value)})" if is_text(kind) else f"CAST({_whole(value, kind)} AS VARCHAR)"
    if rule.format:
        return f"coalesce({', '.join(_of_format(text, f, zone) for f in rule.format)})"
    iso = _of_iso(text, zone)
    return iso if rule.day_first is None else f"coalesce({iso}, {_of_days_and_months(text, rule.day_first, zone)})"


def _whole(value: str, kind: str) -> str:
    return f"TRY_CAST({value} AS BIGINT)" if is_float(kind) else value


def day(moment: str) -> str:
    """SQL of the UTC day of a moment; null for infinity."""
    return f"CAST(make_timestamp(epoch_us({moment})) AS DATE)"


def _in_zone(naive: str, zone: str) -> str:
    if zone == "UTC":  # a third of the time that a look into the zone database takes
        return f"make_timestamptz(epoch_us({naive}))"
    return f"timezone({literal(zone)}, {naive})"


def _of_iso(text: str, zone: str) -> str:
    spaced = f"replace(replace(replace(upper({text}), ',', '.'), ' +', '+'), ' -', '-')"
    with_offset = f"replace(replace(replace(replace({spaced}, ' UTC', 'Z'), ' GMT', 'Z'), 'UTC', 'Z'), 'GMT', 'Z')"
    with_offset = (
        f"regexp_replace({with_offset}, '([T ][0-9]{{1,2}}:[0-9]{{2}}) ?(Z|[+-])', '\\1:00\\2')"  # the cast asks for seconds
    )
    # the form that most files have: without a pattern a cast is as strict, but for a second space
    usual = f"{text} LIKE '____-__-__ __:__:__' AND NOT contains({text}, '  ')"
    has_offset = rf"(?i).*[0-9] ?{OFFSET}"
    after_the_date = f"substr({text}, 11)"  # the hyphens of the date look like offsets
    return (
        f"CASE WHEN {usual} THEN {_in_zone(f'TRY_CAST({text} AS TIMESTAMP)', zone)} "
        # every form has one pattern in common, so that a value which is none of them is matched once
        f"WHEN regexp_full_match({text}, '{ISO_LOOSE}') THEN CASE WHEN regexp_full_match({text}, '{NAIVE}') THEN "
        f"{_in_zone(f'TRY_CAST({text} AS TIMESTAMP)', zone)} WHEN regexp_full_match({after_the_date}, '{has_offset}') "
        f"THEN TRY_CAST(replace({with_offset}, ' Z', 'Z') AS TIMESTAMPTZ) ELSE "
        f"{_in_zone(f'TRY_CAST({spaced} AS TIMESTAMP)', zone)} END END"
    )


def _of_number(value: str, unit: str, zone: str) -> str:
    exact = f"TRY_CAST({value} AS DECIMAL(38, 9))"
    if unit == "excel":
        # Excel keeps days as floats: milliseconds are what they hold for sure
        micros = f"round({exact} * 86400000) * 1000 - 2209161600000000"
        return _in_zone(f"CASE WHEN {micros} {EPOCH_RANGE} THEN make_timestamp(CAST({micros} AS BIGINT)) END", zone)
    micros = f"floor({exact} {MICROSECONDS[unit]})"
    return f"CASE WHEN {micros} {EPOCH_RANGE} THEN make_timestamptz(CAST({micros} AS BIGINT)) END"


def _of_format(text: str, form: str, zone: str) -> str:
    parsed = f"try_strptime({text}, {literal(form)})"
    if "%z" in form or "%Z" in form:
        return parsed
    if "%Y" in form:  # DuckDB reads `24` with it, as the year 24
        parsed = f"CASE WHEN regexp_matches({text}, '[0-9]{{4}}') THEN {parsed} END"
    return _in_zone(parsed, zone)


def _of_days_and_months(text: str, day_first: bool, zone: str) -> str:
    parts = f"regexp_extract({text}, {literal(DAYS_AND_MONTHS)}, ['a', 'b', 'y', 'clock', 'half', 'zone'])"
    day, month = ("a", "b") if day_first else ("b", "a")
    p = "_p"  # evaluated once, bound by a one-row list
    year = f"CASE WHEN strlen({p}.y) = 4 THEN {p}.y WHEN {p}.y >= '{PIVOT}' THEN '19' || {p}.y ELSE '20' || {p}.y END"
    clock = f"CASE WHEN {p}.clock = '' THEN '00:00' ELSE {p}.clock END"
    naive = f"TRY_CAST({year} || '-' || {p}.{month} || '-' || {p}.{day} || ' ' || {clock} AS TIMESTAMP)"
    hour = f"hour({naive})"
    shift = f"CASE WHEN {p}.half = '' THEN 0 WHEN {hour} NOT BETWEEN 1 AND 12 THEN NULL "
    shift += f"WHEN upper({p}.half) = 'P' THEN if({hour} = 12, 0, 12) ELSE if({hour} = 12, -12, 0) END"
    local = f"{naive} + to_hours({shift})"
    offset = f"replace(replace(upper({p}.zone), 'UTC', 'Z'), 'GMT', 'Z')"
    with_offset = f"TRY_CAST(CAST({local} AS VARCHAR) || {offset} AS TIMESTAMPTZ)"
    read = f"CASE WHEN {p}.zone = '' THEN {_in_zone(local, zone)} ELSE {with_offset} END"
    order = r"\3-\2-\1\4" if day_first else r"\3-\1-\2\4"
    simple = f"TRY_CAST(regexp_replace({text}, {literal(SIMPLE_DAYS_AND_MONTHS)}, {literal(order)}) AS TIMESTAMP)"
    return (
        f"CASE WHEN regexp_full_match({text}, {literal(SIMPLE_DAYS_AND_MONTHS)}) THEN {_in_zone(simple, zone)} "
        f"WHEN regexp_matches({text}, {literal(DAYS_AND_MONTHS)}) THEN list_transform([{parts}], lambda {p}: {read})[1] END"
    )


NUMBERS = {8: "format: '%Y%m%d'", 10: "unit: s", 13: "unit: ms", 14: "format: '%Y%m%d%H%M%S'", 16: "unit: us", 19: "unit: ns"}
"""By their digits, what numbers that stand for times mostly are."""
FORMATS = tuple(
    f"{date}{clock}{zone}"
    for date in ("%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%a, %d %b %Y", "%d-%b-%Y", "%d-%b-%y",
                 "%d/%b/%Y", "%Y.%m.%d", "%Y%m%d", "%Y-%b-%d")
    for clock in ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", ":%H:%M:%S", "T%H%M%S", ", %I:%M %p")
    for zone in ("", " %z")
)  # fmt: skip
"""What people's files also hold, tried to find a remedy."""


def remedy(con: duckdb.DuckDBPyConnection, values: Sequence[str]) -> str:
    """What would read these values, as lines of the source file; empty where nothing known does."""
    values = [v.strip() for v in values if v.strip()]
    if not values:
        return ""
    first = values[0]
    if re.fullmatch(r"[0-9]+([.][0-9]+)?", first):
        digits = len(first.split(".")[0])
        if digits == 5:
            return "`unit: excel` (days since 1899-12-30)"
        return f"`{NUMBERS[digits]}`" if digits in NUMBERS else ""
    matches = [m for v in values if (m := re.match(DAYS_AND_MONTHS, v))]
    if matches:
        if any(int(m[1]) > 12 for m in matches):
            return "`day_first: true`"
        if any(int(m[2]) > 12 for m in matches):
            return "`day_first: false`"
        return "`day_first: true` if the day stands first, `day_first: false` if the month does"
    for form in FORMATS:
        row = con.execute(f"SELECT {_of_format('trim(?)', form, 'UTC').replace('trim(?)', literal(first))}").fetchone()
        if row and row[0] is not None:
            return f"`format: '{form}'`"
    if re.search(r"[0-9] [A-Za-z]{3,}(/[A-Za-z_/]+)?$", first):
        cut = "regexp_replace(COLUMN, ' [A-Za-z/_]+$', '')"
        return f"`timezone: ZONE`, and an expression that cuts the zone's name off each value (`event_time: {cut}`),"
    return ""
