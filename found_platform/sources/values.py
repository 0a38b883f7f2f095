"""Values: how one cell of a file becomes a text, a number, an id, in SQL.

What belongs here: placeholders, numbers with their decimal sign, ids to the digit, declared types. What does not: times (`times`),
which cell a contract column takes (`mapping`).
"""

from found_platform.lake import literal
from found_platform.sources.options import Location

EXACT = {"DOUBLE": 2**53, "FLOAT": 2**24}
"""From which number on a float no longer holds every whole number: an id in it may be another person's."""
GROUPS = "[ '\u00a0\u202f\u2019{other}]"
"""What may stand between thousands, beside the sign that is not the decimal one."""


def is_text(kind: str) -> bool:
    return kind == "VARCHAR"


def is_float(kind: str) -> bool:
    return kind in EXACT


def is_number(kind: str) -> bool:
    return is_float(kind) or kind.startswith("DECIMAL") or kind.rstrip("0123456789").endswith(("INT", "INTEGER"))


def is_plain(kind: str) -> bool:
    """Whether a value is one thing, and no list, structure or JSON of several."""
    return not (kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION")) or kind == "JSON")


def trimmed(text: str) -> str:
    """A text without spaces around: `trim` looks at each sign, and few texts have any."""
    return f"CASE WHEN prefix({text}, ' ') OR suffix({text}, ' ') THEN trim({text}) ELSE {text} END"


FIRST_SIGNS = 20
"""Up to so many signs with which placeholders begin, a list of them is looked at before the placeholders are."""


def without_placeholders(text: str, nulls: tuple[str, ...]) -> str:
    """A text, null where it is empty or one of the placeholders, with or without spaces around."""
    if not nulls:
        return f"CASE WHEN trim({text}) <> '' THEN {text} END"
    listed = ", ".join(map(literal, ("", *nulls)))
    signs = {0, ord(" "), *(ord(n[0]) for n in nulls)}  # an empty text has the number 0
    # most cells begin with another sign than any placeholder, or are longer: that is all that is looked at
    other = f"ascii({text}) NOT IN ({', '.join(map(str, sorted(signs)))})" if len(signs) <= FIRST_SIGNS else "false"
    long = f"NOT prefix({text}, ' ') AND NOT suffix({text}, ' ') AND strlen({text}) > {max(len(n.encode()) for n in nulls)}"
    # no IN: of a long list the engine makes a join, which every row goes through
    return f"CASE WHEN {other} OR {long} THEN {text} WHEN NOT list_contains([{listed}], trim({text})) THEN {text} END"


def number(text: str, decimal: str | None) -> str:
    """A text as a DOUBLE; null where it is no number. A decimal comma and signs between thousands are read where told."""
    if decimal is None:
        return f"CASE WHEN NOT contains({text}, '_') THEN TRY_CAST({trimmed(text)} AS DOUBLE) END"
    groups = GROUPS.format(other="." if decimal == "," else ",")
    point = f"[{decimal}]"
    shape = rf"\s*[+-]?([0-9]{{1,3}}({groups}[0-9]{{3}})+|[0-9]+)?({point}[0-9]*)?([eE][+-]?[0-9]+)?\s*"
    plain = f"regexp_replace({text}, {literal(groups)}, '', 'g')"
    return (
        f"CASE WHEN regexp_full_match({text}, {literal(shape)}) THEN TRY_CAST(replace({plain}, {literal(decimal)}, '.') AS DOUBLE) "
        f"WHEN lower(trim({text})) IN ('inf', '-inf', 'infinity', '-infinity') THEN TRY_CAST(trim({text}) AS DOUBLE) END"
    )


def plain_number(text: str, decimal: str | None) -> str:
    """Whether a text is a number that nobody would take for a name: no zeros or plus sign before it, no spaces within."""
    point = "[,]" if decimal == "," else "[.]"
    return f"regexp_full_match(trim({text}), {literal(f'-?(0|[1-9][0-9]*)({point}[0-9]+)?([eE][+-][0-9]+)?')})"


def as_text(value: str, kind: str) -> str:
    """A value as a text, to the digit: a whole number in a column of floats has no `.0`, and none whose digits are lost."""
    if is_text(kind):
        return value
    if is_float(kind):
        whole = f"abs({value}) < {EXACT[kind]} AND {value} = trunc({value})"
        integer, other = f"CAST(CAST({value} AS BIGINT) AS VARCHAR)", f"CAST({value} AS VARCHAR)"
        return f"CASE WHEN {whole} THEN {integer} WHEN isfinite({value}) THEN {other} END"
    if kind.startswith("DECIMAL") and not kind.endswith(",0)"):
        return (
            f"CASE WHEN {value} = trunc({value}) THEN CAST(CAST({value} AS HUGEINT) AS VARCHAR) ELSE CAST({value} AS VARCHAR) END"
        )
    return f"CAST({value} AS VARCHAR)"


def lost_digits(value: str, kind: str) -> str:
    """Whether a value is a whole number in a column of floats that cannot tell it from its neighbours."""
    return f"coalesce(isfinite({value}) AND abs({value}) >= {EXACT[kind]}, false)" if is_float(kind) else "false"


def as_number(value: str, kind: str, location: Location) -> str:
    """A value as a DOUBLE; null where it is no number. Minus zero is zero."""
    read = number(value, location.decimal) if is_text(kind) else f"TRY_CAST({value} AS DOUBLE)"
    return f"({read}) + 0"


TEXTS = {
    "bool": "CASE lower(trim({0})) WHEN 'true' THEN true WHEN 'false' THEN false END",
    # a cast alone rounds; a fraction of zeros is what an integer column with gaps becomes on its way through pandas
    "int": "CASE WHEN regexp_full_match(trim({0}), '[+-]?[0-9]+([.]0+)?') THEN TRY_CAST(split_part(trim({0}), '.', 1) "
    "AS BIGINT) END",
    "date": "TRY_CAST(trim({0}) AS DATE)",
    "time": "TRY_CAST(trim({0}) AS TIMESTAMP)",
    "string": "{0}",
}
"""How a text is read as a value of each type but float: null where it is none."""
SQL_TYPES = {"bool": "BOOLEAN", "int": "BIGINT", "float": "DOUBLE", "date": "DATE", "time": "TIMESTAMP", "string": "VARCHAR"}


def as_type(value: str, kind: str, declared: str, decimal: str | None) -> str:
    """A value as a declared type; null where it is none."""
    if declared == "string":
        return as_text(value, kind)
    if is_text(kind):
        return number(value, decimal) if declared == "float" else TEXTS[declared].format(value)
    if declared == "int" and is_float(kind):
        return f"CASE WHEN {value} = trunc({value}) THEN TRY_CAST({value} AS BIGINT) END"
    return f"TRY_CAST({value} AS {SQL_TYPES[declared]})"
