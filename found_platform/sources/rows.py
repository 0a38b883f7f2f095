"""Rows: the SQL that makes a contract row of a row of a file, with the first fault it has.

What belongs here: the checks of a row and their order, the normal form of a text. What does not: running it (`scan`), one value
(`values`, `times`).
"""

from found_platform.contract import MAX_AMOUNT, MAX_TEXT, RETURN
from found_platform.lake import literal
from found_platform.sources import times, values
from found_platform.sources.entries import Entry
from found_platform.sources.files import Part
from found_platform.sources.mapping import Cells, Value

# the second form costs three times as much, and few texts need it
PLAIN = r"regexp_matches(text, '[^ -~]|  |^ | $')"
NORMALISED = rf"CASE WHEN {PLAIN} THEN trim(regexp_replace(nfc_normalize(text), '[\t\n\f\r ]+', ' ', 'g'), ' ') ELSE text END"
TEXT_ID = "CAST(CAST(md5_number_lower(text) AS BIT) AS BIGINT)"
"""A 64-bit hash of the normalised text: the second half of its MD5, little-endian, signed."""


REPEATED, OUTSIDE = "repeated event_id", "event_time outside the span"
ERASED = "user was erased"
ASIDE = (REPEATED, OUTSIDE, ERASED)
"""Reasons that are no faults: the rows are counted and left aside."""
SEPARATOR = "\x1f"  # between remarks on a row


GOOD = ("text", "category", "amount", "status", "payment_method", "event_id", "arrived_at")
"""Columns that only good rows have in a scan."""
LOST_DIGITS = "user_id is a float without its last digits"
TOO_LARGE = f"amount of {MAX_AMOUNT:.0e} or more".replace("e+", "e")


def in_order(entry: Entry, part: Part) -> bool:
    """Whether the order in which a file's rows are inserted numbers them: then several threads may read it."""
    return part.rejects and not entry.lookups


def _raw(entry: Entry, cells: Cells, columns_of_row: dict[str, Value]) -> str:
    """SQL of one part: `_row`, `_file`, `keep` (null: no row at all), and `x_` of each contract column, as `wanted` has it."""
    keep = f"coalesce({columns_of_row['where'].sql}, false)" if "where" in columns_of_row else "true"
    user = columns_of_row["user_id"].cell if "user_id" in columns_of_row else None
    columns = [
        f"CASE WHEN _blank THEN NULL WHEN NOT coalesce(_json, false) THEN true ELSE {keep} END AS keep",
        "_json",
        "_row",
        "_file",
    ]
    columns += [f"CASE WHEN {keep} THEN {value.sql} END AS x_{name}" for name, value in columns_of_row.items() if name != "where"]
    remarks = [
        cells.placeholder(name, value.cell)
        for name, value in columns_of_row.items()
        if value.cell is not None and values.is_text(cells.kinds[value.cell]) and not name.startswith("key_")
    ]
    listed = f"nullif(concat_ws('{SEPARATOR}', {', '.join(remarks)}), '')" if remarks else "NULL"
    columns.append(f"CASE WHEN {keep} THEN {listed} END AS remarks")
    return f"(SELECT {', '.join(columns)} FROM {cells.relation(user, numbered=not in_order(entry, cells.part))})"


def _event(entry: Entry, part: Part, columns: dict[str, Value], raw: str) -> str:
    """SQL of one file's rows in contract columns, unchecked."""

    def text(name: str) -> str:
        if name in entry.lookups:
            return f"{entry.lookups[name][1]}.value"
        return values.as_text(f"x_{name}", columns[name].kind) if name in columns else "CAST(NULL AS VARCHAR)"

    def time(name: str) -> str:
        if name not in columns:
            return "CAST(NULL AS TIMESTAMPTZ)"
        return times.moment(f"x_{name}", columns[name].kind, entry.entry.time_rule(name))

    def present(name: str) -> str:
        return f"x_{name} IS NOT NULL" if name in columns else "false"

    def cell(name: str) -> str:
        return f"CAST(x_{name} AS VARCHAR)" if name in columns else "NULL"

    amount = values.as_number("x_amount", columns["amount"].kind, entry.entry) if "amount" in columns else "CAST(NULL AS DOUBLE)"
    id_of_row = "user_id" if "user_id" in columns else "key_user_id"
    unmatched = {name: f"x_key_{name} IS NOT NULL AND {table}.key IS NULL" for name, (_, table) in entry.lookups.items()}
    remarks = ["remarks", *(f"CASE WHEN {no} THEN {literal(name + ': no match')} END" for name, no in unmatched.items())]
    joins = "".join(
        f" LEFT JOIN {table} ON {table}.key = trim({values.as_text(f'x_key_{name}', columns[f'key_{name}'].kind)})"
        for name, (_, table) in entry.lookups.items()
    )
    return f"""
        SELECT keep, _file, {"CAST(NULL AS BIGINT)" if in_order(entry, part) else "_row"} AS row_number,
            coalesce(_json, false) AS readable,
            {text("user_id")} AS user_id, {cell(id_of_row)} AS raw_user,
            {values.lost_digits(f"x_{id_of_row}", columns[id_of_row].kind)} AS lost_digits,
            {time("event_time")} AS event_time, {cell("event_time")} AS raw_time, {present("event_time")} AS has_time,
            {unmatched.get("user_id", "false")} AS unmatched_user,
            {text("text")} AS text, {unmatched.get("text", "false")} AS unmatched, {text("category")} AS category,
            {amount} AS amount, {cell("amount")} AS raw_amount, {present("amount")} AS has_amount,
            {text("status")} AS status, {text("payment_method")} AS payment_method,
            nullif({values.trimmed(text("event_id"))}, '') AS event_id,
            {time("arrived_at")} AS arrived_at, {cell("arrived_at")} AS raw_arrived, {present("arrived_at")} AS has_arrived,
            {"coalesce(x_returns, false)" if "returns" in columns else "false"} AS returned,
            nullif(concat_ws('{SEPARATOR}', {", ".join(remarks)}), '') AS remarks
        FROM {raw} raw{joins}"""


def insertion(entry: Entry, part: Part, cells: Cells, columns: dict[str, Value], number: int) -> str:
    """SQL that inserts one part, whose files are numbered from `number` on.

    Its parameters are the first day of the span and the day after the last one.
    """
    event = _event(entry, part, columns, _raw(entry, cells, columns))
    back = "returned OR coalesce(amount < 0, false)" if entry.channel == "pay_bill" and not entry.entry.exposure else "returned"
    unmatched = {name: f"{lookup.on or lookup.key} is not in {lookup.title}" for name, (lookup, _) in entry.lookups.items()}
    # of a row with a fault no more is kept than what names it
    columns_of_good = {name: name for name in GOOD} | {"text_id": TEXT_ID}
    good = ", ".join(f"CASE WHEN keep AND reason IS NULL THEN {sql} END AS {name}" for name, sql in columns_of_good.items())
    return f"""
        INSERT INTO scan_rows BY NAME
        SELECT part, row_number, keep, user_id, event_time, exposure, reason, remarks, {good}, CASE reason
                WHEN 'unparsable event_time' THEN raw_time WHEN 'amount is not a number' THEN raw_amount
                WHEN 'amount is not finite' THEN raw_amount WHEN '{TOO_LARGE}' THEN raw_amount
                WHEN 'unparsable arrived_at' THEN raw_arrived
                WHEN '{LOST_DIGITS}' THEN raw_user WHEN {literal(unmatched.get("user_id", ""))} THEN raw_user END AS value
        FROM (SELECT {number} + _file AS part, row_number, keep, user_id, event_time, text, category, amount,
            CASE WHEN {back} THEN '{RETURN}' ELSE status END AS status, payment_method, event_id,
            greatest(event_time, coalesce(arrived_at, event_time)) AS arrived_at, {str(entry.entry.exposure).lower()} AS exposure,
            raw_user, raw_time, raw_amount, raw_arrived, remarks,
            CASE WHEN keep IS NOT TRUE THEN NULL
                 WHEN NOT readable THEN 'not readable as JSON'
                 WHEN lost_digits THEN '{LOST_DIGITS}'
                 WHEN unmatched_user THEN {literal(unmatched.get("user_id", ""))}
                 WHEN user_id IS NULL THEN 'no user_id'
                 WHEN trim(user_id) = '' THEN 'empty user_id'
                 WHEN NOT has_time THEN 'no event_time'
                 WHEN event_time IS NULL THEN 'unparsable event_time'
                 WHEN event_time < CAST(? AS TIMESTAMPTZ) OR event_time >= CAST(? AS TIMESTAMPTZ) THEN '{OUTSIDE}'
                 WHEN unmatched THEN {literal(unmatched.get("text", "text"))}
                 WHEN coalesce(text, '') = '' THEN 'empty text'
                 WHEN length(text) > {MAX_TEXT} THEN 'text over {MAX_TEXT} characters'
                 WHEN has_amount AND amount IS NULL THEN 'amount is not a number'
                 WHEN NOT isfinite(amount) THEN 'amount is not finite'
                 WHEN abs(amount) >= {MAX_AMOUNT} THEN '{TOO_LARGE}'
                 WHEN has_arrived AND arrived_at IS NULL THEN 'unparsable arrived_at'
            END AS reason
        FROM (SELECT * REPLACE (CASE WHEN user_id IS NOT NULL AND event_time IS NOT NULL THEN {NORMALISED} END AS text)
            FROM ({event})))"""
