"""The review of a scan: what the whole of a source says that no single row does, in sentences for the person who brings it.

What belongs here: shares of ids and texts, ids that nearly agree, times that look like slips, what was left aside, remedies. What
does not: single rows (`rows`), the days of a source (`survey`).
"""

import datetime as dt
import re
from collections.abc import Sequence

import duckdb

from found_platform.errors import BadInput
from found_platform.lake import literal
from found_platform.sources import expressions, scan, sieve, times, totals
from found_platform.sources.config import ChannelEntry, SourceConfig
from found_platform.sources.counts import ChannelReport
from found_platform.sources.origins import Lookup
from found_platform.sources.profile import ProfileReport
from found_platform.sources.rows import LOST_DIGITS

NAMED = 3  # examples in a sentence
SAMPLES = 1000  # refused values that are looked at for a remedy

SENTINELS = ("0001-01-01", "1900-01-01", "1899-12-30", "1899-12-31", "1970-01-01", "9999-12-31", "2099-12-31")
"""Days that programs write where they know no time."""
CANONICAL = r"ltrim(lower(trim(regexp_replace({0}, '\.0+$', ''))), '0')"
"""An id without what exports change: letters in another case, spaces, zeros before it, `.0` after it."""
MISREAD = "[ÃÂ][\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]|â€"
"""What two bytes of UTF-8 become in Latin-1 or cp1252: `MÃ¼sli`."""
MOSTLY = 0.5  # of the texts of a channel
PEOPLE = 20
"""Users of an entry below which it may have nobody in common with another by chance."""
HARDLY_ANY = 0.05  # share of users with a profile row below which the key is doubted


def _implausible_shares(con: duckdb.DuckDBPyConnection, config: SourceConfig) -> list[str]:
    """A sentence for each id or text that holds an implausible share of a channel's events and is not confirmed."""
    sentences = []
    frequent = (
        f"SELECT value, n, total, many FROM {totals.table(con, 'frequent')} WHERE channel = ? AND name = ? ORDER BY n DESC, value"
    )
    for channel, entries in config.channels.items():
        confirmed = {text for entry in entries for text in entry.confirm}
        for column in totals.LEAST_SHARE:
            for value, n, total, many in con.execute(frequent, [channel, column]).fetchall():
                if value in confirmed:
                    continue
                whose = "one of" if column == "user_id" else "the text of"
                kind = "users" if column == "user_id" else "texts"
                sentences.append(
                    f"channel {channel!r}: {column} {value!r} holds {n / total:.0%} of the events ({n:,} of "
                    f"{total:,}), and is only {whose} "
                    f"{many:,} {kind}: if it stands for nobody or nothing, add it to `nulls:` of the entry; if it is real, write "
                    f"`confirm: [{value!r}]` there"
                )
    return sentences


def check_shares(con: duckdb.DuckDBPyConnection, config: SourceConfig) -> None:
    """Raises BadInput where an id or a text holds an implausible share of the events and nobody has confirmed it."""
    if sentences := _implausible_shares(con, config):
        raise BadInput("; ".join(sentences[:NAMED]) + ".")


def notes(
    con: duckdb.DuckDBPyConnection,
    config: SourceConfig,
    reports: list[ChannelReport],
    profile: ProfileReport,
    titles: Sequence[str],
) -> list[str]:
    """What a person should know of the source, a sentence each, most particular first; `titles` are what its entries are called."""
    lines = [note for (note,) in con.execute("SELECT DISTINCT note FROM scan_notes ORDER BY 1").fetchall()]
    for report in reports:
        lines += [f"channel {report.channel!r}: {line}" for line in _aside(report, config.channels[report.channel])]
        entry = config.channels[report.channel][0]
        lines += [f"channel {report.channel!r}: {line}" for line in _refused(con, report, _of_users(entry))]
    lines += _times(con) + _numbers(con) + _misread(con) + _ids(con) + _strangers(con, titles)
    if config.profile:
        lines += _join(con, config) + _profile(con, profile)
    return lines


def _listed(counts: dict[str, int]) -> str:
    first = [f"{n:,} times {item.split(': ', 1)[1]!r} in {item.split(': ', 1)[0]}" for item, n in list(counts.items())[:NAMED]]
    return ", ".join(first) + (f" and {len(counts) - NAMED} others" if len(counts) > NAMED else "")


def _times_met(n: int) -> str:
    return "once" if n == 1 else f"{n:,} times"


def _aside(report: ChannelReport, entries: list[ChannelEntry]) -> list[str]:
    lines = []
    if report.left_out:
        lines.append(f"{report.left_out:,} of {report.left_out + report.rows:,} rows are left out by `where`")
    if report.repeats:
        lines.append(f"{report.repeats:,} rows repeat an event_id that came before: the first row counts, the others are skipped")
    if report.outside:
        lines.append(f"{report.outside:,} rows are dated outside the span: they are left aside")
    if report.erased:
        lines.append(f"{report.erased:,} rows are of users who were erased: they are left out")
    if report.returns:
        how = (
            "as `returns` says"
            if any(e.returns for e in entries)
            else "their amount is negative; `returns:` can say it in another way"
        )
        lines.append(f"{report.returns:,} rows bring something back ({how}): they are returns, and never count as a purchase")
    nulls = {item: n for item, n in report.nulls.items() if not item.endswith(": no match")}
    if nulls:
        lines.append(f"no value: {_listed(nulls)}; `nulls: []` reads such texts as they are")
    for item, n in report.nulls.items():
        if item == "category: no match":
            lines.append(f"{n:,} rows have no match in the lookup table of category: they have none")
    return lines


def _refused(con: duckdb.DuckDBPyConnection, report: ChannelReport, user: str) -> list[str]:
    """The first row of each kind of fault, with its value, where it has one, and what would read it."""
    lines = []
    rows = con.execute(
        "SELECT reason, count(*), coalesce(min((file, row_number)) FILTER (value IS NOT NULL), min((file, row_number))), "
        f"min_by(value, (file, row_number), {SAMPLES}) FILTER (value IS NOT NULL) FROM {scan.refused()} WHERE channel = ? "
        "GROUP BY 1 ORDER BY 1",
        [report.channel],
    ).fetchall()
    for reason, n, (file, number), samples in rows:
        if not samples:
            remedy = (
                "; `encoding: cp1252` in the source file reads what Excel writes in Western Europe"
                if reason == sieve.ENCODING
                else ""
            )
            lines.append(f"{reason}, {_times_met(n)}: first in {file}, row {number:,}{remedy}")
            continue
        remedy = ""
        if reason.startswith("unparsable"):
            remedy = times.remedy(con, samples)
            remedy = f"; {remedy} in the source file would read it" if remedy else ""
        elif reason == "amount is not a number" and any("," in s for s in samples):
            remedy = '; `decimal: ","` in the source file reads a comma as the decimal sign'
        elif reason == LOST_DIGITS:
            remedy = ": such numbers stand for several ids each, write them as integers or texts"
        lines.append(f"{reason}, {_times_met(n)}: {file}, row {number:,} has {samples[0]!r}{remedy}")
    for reason, n in report.bad.items():
        if reason == "no user_id" and n >= 0.01 * report.rows:
            name = _expression(user)
            lines.append(f"{n:,} rows have no user_id: `where: '{name} IS NOT NULL'` leaves them out")
    return lines


def _times(con: duckdb.DuckDBPyConnection) -> list[str]:
    lines = []
    days = ", ".join(f"DATE {literal(day)}" for day in SENTINELS)
    tomorrow = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1)
    day = times.day("event_time")
    for what, condition in (
        ("a day that programs write where they know no time", f"{day} IN ({days})"),
        ("in the future", f"{day} > DATE '{tomorrow}' AND {day} NOT IN ({days})"),
    ):
        row = con.execute(
            f"SELECT count(*), arg_min(file, row_number), min(row_number), CAST(arg_min({day}, row_number) AS "
            f"VARCHAR) FROM {scan.numbered(f'isfinite(event_time) AND {condition}')}"
        ).fetchone()
        if row and row[0]:
            dated = "row is" if row[0] == 1 else "rows are"
            lines.append(f"{row[0]:,} {dated} dated {row[3]}, {what} (first {row[1]}, row {row[2]:,})")
    return lines


def _numbers(con: duckdb.DuckDBPyConnection) -> list[str]:
    rows = con.execute(
        "SELECT channel, count_if(numeral), count(*), min(text) FILTER (numeral) FROM (SELECT channel, text, "
        r"regexp_full_match(text, '[-+.,0-9 ]*[0-9][-+.,0-9 ]*') AS numeral FROM scanned WHERE reason IS NULL GROUP BY ALL) "
        f"GROUP BY 1 HAVING count_if(numeral) >= {MOSTLY} * count(*) ORDER BY 1"
    ).fetchall()
    return [
        f"channel {channel!r}: {n:,} of {total:,} texts are numbers, such as {example!r}, and a sentence cannot find "
        f"them: if their names "
        "stand in another file, write `text: {from: FILE, key: COLUMN, column: NAME}`"
        for channel, n, total, example in rows
    ]


def _misread(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Texts of which the bytes of UTF-8 were taken for signs of a Western European encoding."""
    rows = con.execute(
        "SELECT channel, count_if(misread), count(*), min(text) FILTER (misread) FROM (SELECT channel, text, "
        f"regexp_matches(text, {literal(MISREAD)}) AS misread FROM scanned WHERE reason IS NULL GROUP BY ALL) "
        "GROUP BY 1 HAVING count_if(misread) > 0 ORDER BY 1"
    ).fetchall()
    return [
        f"channel {channel!r}: {n:,} of {total:,} texts, such as {example!r}, look like UTF-8 that was read in another encoding: "
        "check `encoding:`, or the program that wrote the file"
        for channel, n, total, example in rows
    ]


def _ids(con: duckdb.DuckDBPyConnection) -> list[str]:
    row = con.execute(
        f"SELECT count(*), any_value(ids) FROM (SELECT list(user_id ORDER BY user_id)[:2] AS ids, count(*) AS n FROM "
        f"(SELECT DISTINCT user_id "
        f"FROM scanned WHERE reason IS NULL) GROUP BY {CANONICAL.format('user_id')} HAVING n > 1)"
    ).fetchone()
    if row and row[0]:
        one, other = row[1]
        return [
            f"{row[0]:,} users have several ids that differ by {_difference(one, other)} alone, such as {one!r} and "
            f"{other!r}: they count as several"
        ]
    return []


def _strangers(con: duckdb.DuckDBPyConnection, titles: Sequence[str]) -> list[str]:
    """Entries whose users are nobody of the others: the same people may have other ids there."""
    entries = con.execute(
        "SELECT entry, any_value(channel), min(user_id) FROM scanned WHERE reason IS NULL "
        f"GROUP BY 1 HAVING count(DISTINCT user_id) >= {PEOPLE} ORDER BY 1"
    ).fetchall()
    if len(entries) < 2:
        return []
    pairs = con.execute(
        "WITH users AS (SELECT DISTINCT entry, user_id FROM scanned WHERE reason IS NULL) "
        "SELECT DISTINCT a.entry, b.entry FROM users a JOIN users b USING (user_id) WHERE a.entry < b.entry"
    ).fetchall()
    acquainted = {entries[0][0]}
    while more := {e for pair in pairs if acquainted & {*pair} for e in pair} - acquainted:
        acquainted |= more
    first, _, example = entries[0]
    return [
        f"channel {channel!r}: nobody of {titles[entry]} ({user!r}) is in {titles[first]} ({example!r}): where these are other ids "
        "of the same people, a table that holds both says who is who: "
        "`user_id: {from: FILE, key: COLUMN, on: COLUMN, column: COLUMN}`"
        for entry, channel, user in entries
        if entry not in acquainted
    ]


def _difference(one: str, other: str) -> str:
    parts = []
    if one.strip() != one or other.strip() != other:
        parts.append("spaces")
    a, b = one.strip(), other.strip()
    if a.endswith(".0") != b.endswith(".0"):
        parts.append("`.0`")
    a, b = a.removesuffix(".0"), b.removesuffix(".0")
    if a.lower().lstrip("0") == b.lower().lstrip("0") and a.lower() != b.lower():
        parts.append("zeros before them")
    if a.lstrip("0").lower() == b.lstrip("0").lower() and a.lstrip("0") != b.lstrip("0"):
        parts.append("upper and lower case")
    return " and ".join(parts) or "their writing"


def _join(con: duckdb.DuckDBPyConnection, config: SourceConfig) -> list[str]:
    """How many users have a profile row, and why so few do."""
    assert config.profile is not None
    con.execute("CREATE OR REPLACE TEMP TABLE event_users AS SELECT DISTINCT user_id FROM scanned WHERE reason IS NULL")
    con.execute("CREATE OR REPLACE TEMP TABLE profile_users AS SELECT DISTINCT user_id FROM profile_scanned WHERE reason IS NULL")
    row = con.execute(
        "SELECT (SELECT count(*) FROM event_users), (SELECT count(*) FROM event_users SEMI JOIN profile_users USING (user_id)), "
        "(SELECT count(*) FROM profile_users)"
    ).fetchone()
    assert row is not None
    users, matched, profile_rows = row
    if not users:
        return []
    lines = [f"{matched:,} of {users:,} users have a profile row"]
    near = con.execute(
        f"SELECT count(*), any_value(u), any_value(p) FROM (SELECT e.user_id AS u, min(p.user_id) AS p FROM (FROM "
        f"event_users ANTI JOIN "
        f"profile_users USING (user_id)) e JOIN profile_users p ON {CANONICAL.format('e.user_id')} = "
        f"{CANONICAL.format('p.user_id')} GROUP BY 1)"
    ).fetchone()
    assert near is not None
    if near[0]:
        lines.append(
            f"{near[0]:,} more would have one, but their ids differ by {_difference(near[1], near[2])} alone: {near[1]!r} in the "
            f"events, {near[2]!r} in the profile; {_agreement(config, near[1], near[2])}"
        )
    elif not profile_rows:
        lines.append("the profile has no rows: nothing is known of anybody")
    elif matched < HARDLY_ANY * users:
        examples = con.execute("SELECT (SELECT min(user_id) FROM event_users), (SELECT min(user_id) FROM profile_users)").fetchone()
        assert examples is not None
        lines.append(
            f"the profile is about (nearly) nobody of the events: their ids are like {examples[0]!r}, the profile's "
            f"like {examples[1]!r}; "
            "check its `key:`"
        )
    return lines


def _of_users(entry: ChannelEntry) -> str:
    """What an entry has for the ids of users; of those that are looked up, what they are looked up by."""
    column = entry.columns["user_id"]
    return column.on or column.key if isinstance(column, Lookup) else str(column)


def _expression(text: str) -> str:
    """What `columns` has for an id, within an expression: text with brackets is one already."""
    return text if "(" in text else expressions.of_column(text)


def _agreement(config: SourceConfig, one: str, other: str) -> str:
    """What makes the ids of the events and of the profile the same, as lines of the source file."""
    assert config.profile is not None
    users = dict.fromkeys(_of_users(entry) for entries in config.channels.values() for entry in entries)
    columns = [*users, config.profile.key]
    if re.fullmatch(r"\d+([.]0+)?", one.strip()) and re.fullmatch(r"\d+([.]0+)?", other.strip()):
        return f"write `types: {{{columns[0]}: int}}` into the events' entries and `types: {{{columns[-1]}: int}}` into the profile"
    alike = [f"lower(trim({_expression(column)}))" for column in columns]
    return f"write `user_id: {alike[0]}` in the `columns` of the events and `key: {alike[-1]}` in the profile"


def _profile(con: duckdb.DuckDBPyConnection, profile: ProfileReport) -> list[str]:
    refused = con.execute(
        "SELECT reason, count(*), min((file, row_number)) FROM (SELECT reason, file, row_number FROM profile_scanned "
        "UNION ALL SELECT reason, file, row_number FROM profile_unread) WHERE reason IS NOT NULL GROUP BY 1 ORDER BY 1"
    ).fetchall()
    lines = [f"profile: {reason}, {_times_met(n)}: first in {file}, row {number:,}" for reason, n, (file, number) in refused]
    lines += [f"profile: {n:,} cells are left empty, for {reason}" for reason, n in profile.lost.items()]
    if profile.nulls:
        lines.append(f"profile: no value: {_listed(profile.nulls)}; `nulls: []` reads such texts as they are")
    return lines
