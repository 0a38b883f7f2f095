"""Mapping: from the columns of a file to the values that a source file asks for, in SQL.

What belongs here: names, nested fields and expressions; typed values of text columns; lookup tables. What does not: whether a value
is good (`rows`, `profile`), how one value is read (`values`, `times`).

A relation is built in layers, each a subquery of the next: `r0, r1, ...` are the cells as the file has them, `c0, c1, ...` the same
without placeholders, `v0, v1, ...` those that are typed, and above them the wanted values.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import duckdb

from found_platform.errors import BadInput
from found_platform.lake import literal, quote
from found_platform.sources import expressions, values
from found_platform.sources.expressions import Expression, Refused
from found_platform.sources.files import JSON_LINE, JSON_SAMPLE, Part, first_line, forget_rejects, json_keys, json_pointer, parts
from found_platform.sources.options import Location, Type
from found_platform.sources.origins import LOOKED_UP, Lookup

Path = tuple[str, ...]
IDS = ("user_id", "event_id", "key", "key_user_id")
"""What is read as a text to the digit, in expressions too."""
LOOKUP = "{{from: FILE, key: COLUMN, column: {}}}"
MOST_SHOWN = 400
"""Characters of an expression that a message repeats."""
CONDITIONS = ("where", "returns")
"""What is always an expression, and true or false."""
Types = dict[Path, Type]
"""How expressions see the columns of text files, by path in lower case."""


@dataclass
class Cells:
    """The cells that are read of one file."""

    con: duckdb.DuckDBPyConnection
    part: Part
    location: Location
    where: str  # what errors begin with
    paths: list[Path] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    typed: dict[int, Type] = field(default_factory=dict)

    def at(self, path: Path) -> int | None:
        """The place of a column or nested field among the cells; None where the file does not have it."""
        if path in self.paths:
            return self.paths.index(path)
        kind = self._kind(path)
        if kind is None:
            return None
        self.paths.append(path)
        self.kinds.append(kind)
        return len(self.paths) - 1

    def position(self, text: str) -> int | None:
        """The cell of a name as a source file writes it: a column whatever is in its name, else a nested field with points."""
        if text in self.part.columns:
            return self.at((text,))
        steps = text.split(".")
        for split in range(len(steps) - 1, 0, -1):
            if (column := ".".join(steps[:split])) in self.part.columns:
                return self.at((column, *steps[split:]))
        return None

    def read(self, path: Path) -> int | None:
        """The cell of a name in an expression, where letters in another case are the same."""
        lowered = {column.lower(): column for column in self.part.columns}
        column = path[0] if path[0] in self.part.columns else lowered.get(path[0].lower())
        if column is not None:
            return self.at((column, *path[1:]))
        return self.position(".".join(path))

    def _kind(self, path: Path) -> str | None:
        """The DuckDB type of a cell; None where there is none. Raises BadInput for an object where a value is wanted."""
        if self.part.json:
            return self._kind_in_json(path)
        if path[0] not in self.part.columns:
            return None
        if len(path) == 1:
            return self.part.columns[path[0]]
        try:
            row = self.con.execute(f"DESCRIBE SELECT {self._sql(path)} FROM {self.part.relation}").fetchone()
        except duckdb.Error:
            return None
        return row[1] if row else None

    def _kind_in_json(self, path: Path) -> str | None:
        for rows in (f"SELECT * FROM {self.part.relation} LIMIT {JSON_SAMPLE}", f"SELECT * FROM {self.part.relation}"):
            kind = f"CASE WHEN json_valid({JSON_LINE}) THEN json_type({JSON_LINE}, {literal(json_pointer(*path))}) END"
            row = self.con.execute(
                f"SELECT any_value(kind), count(*) FROM (SELECT {kind} AS kind FROM ({rows})) WHERE kind <> 'NULL'"
            ).fetchone()
            forget_rejects(self.con)
            assert row is not None
            if row[1] > 0:
                break
        else:
            return "VARCHAR" if path[0] in self.part.columns and len(path) == 1 else None
        if row[0] == "OBJECT":
            fields = json_keys(self.con, self.part, json_pointer(*path))
            name = ".".join(path)
            raise BadInput(
                f"{self.where}: {name!r} of {self.part.file} is an object: name a field of it, such as {name}.{fields[0]}."
            )
        return "VARCHAR"

    def _sql(self, path: Path) -> str:
        return "struct_extract(" * (len(path) - 1) + quote(path[0]) + "".join(f", {literal(step)})" for step in path[1:])

    def columns(self) -> list[str]:
        """What errors list of a file: its columns, and the fields of its objects and structures."""
        names = []
        for column, kind in self.part.columns.items():
            if self.part.json:
                fields = json_keys(self.con, self.part, json_pointer(column), 1000)
            else:
                fields = _fields(self.con, self.part, column) if kind.startswith("STRUCT") else []
            names += [f"{column}.{name}" for name in fields] or [column]
        return names

    def missing(self, name: str, what: str = "", remedy: str = "") -> BadInput:
        """The error of a name that the file does not have."""
        return BadInput(f"{self.where}: {self.part.file} has no column {name!r}{what}; it has {', '.join(self.columns())}{remedy}.")

    def relation(self, keep_empty: int | None = None, numbered: bool = False) -> str:
        """The cells as SQL: `r`, `c` and `v`, the row's number `_row`, which of the files it is of (`_file`), whether a line is
        JSON (`_json`) or empty (`_blank`).

        Args:
            keep_empty: of this cell, an empty text is no placeholder.
            numbered: whether `_row` is wanted: where rows are counted while they are read, one thread reads them all.
        """
        number = self.part.number if numbered else "CAST(NULL AS BIGINT)"
        if self.part.json:
            listed = ", ".join(literal(json_pointer(*path)) for path in self.paths) or "'$'"
            inner = (
                f"(SELECT *, {JSON_LINE} IS NULL AS _blank, json_valid({JSON_LINE}) AS _json, {self.part.number} AS "
                f"_row, CASE WHEN "
                f"json_valid({JSON_LINE}) THEN json_extract_string({JSON_LINE}, [{listed}]) END AS _j FROM {self.part.relation})"
            )
            raw = [f"_j[{i + 1}] AS r{i}" for i in range(len(self.paths))]
            first = f"(SELECT {', '.join(['_row', '0 AS _file', '_json', '_blank', JSON_LINE, *raw])} FROM {inner})"
        else:
            raw = [f"{self._sql(path)} AS r{i}" for i, path in enumerate(self.paths)]
            columns = [f"{number} AS _row", f"{self.part.place} AS _file", "true AS _json", "false AS _blank", *raw]
            first = f"(SELECT {', '.join(columns)} FROM {self.part.relation})"
        clean = []
        for i, kind in enumerate(self.kinds):
            sql = f"r{i}"
            if values.is_text(kind):
                sql = values.without_placeholders(sql, self.location.null_texts)
                if i == keep_empty:
                    sql = f"CASE WHEN trim(r{i}) = '' THEN r{i} ELSE {sql} END"
            elif values.is_float(kind):
                sql = f"CASE WHEN NOT isnan(r{i}) THEN r{i} END"
            clean.append(f"{sql} AS c{i}")
        second = f"(SELECT *, {', '.join(clean)} FROM {first})" if clean else first
        typed = [f"{values.as_type(f'c{i}', self.kinds[i], kind, self.location.decimal)} AS v{i}" for i, kind in self.typed.items()]
        return f"(SELECT *, {', '.join(typed)} FROM {second})" if typed else second

    def placeholder(self, name: str, i: int) -> str:
        """SQL of a remark: which placeholder stands in a cell; null where none does."""
        return f"CASE WHEN r{i} IS NOT NULL AND c{i} IS NULL AND trim(r{i}) <> '' THEN {literal(name + ': ')} || trim(r{i}) END"


def _fields(con: duckdb.DuckDBPyConnection, part: Part, column: str) -> list[str]:
    rows = con.execute(f"DESCRIBE SELECT unnest({quote(column)}) FROM {part.relation}").fetchall()
    return [row[0] for row in rows]


def label(name: str) -> str:
    """What a source file calls a wanted value: the key of a lookup table stands beside it as `on`."""
    return f"{name.removeprefix('key_')}.on" if name.startswith("key_") else name


def short(text: str) -> str:
    """An expression in a message."""
    return text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "…"


def expressions_in(con: duckdb.DuckDBPyConnection, cells: Cells, texts: dict[str, str]) -> dict[str, Expression]:
    """Those of some texts (by what they are for) that name no column of a file, parsed. Raises BadInput for what is neither."""
    parsed = {}
    for name, text in texts.items():
        if name not in CONDITIONS and cells.position(text) is not None:
            continue
        try:
            parsed[name] = expressions.parse(con, text)
        except Refused as problem:
            if name not in CONDITIONS and expressions.is_name(text):
                raise cells.missing(text) from None
            raise BadInput(f"{cells.where}: `{label(name)}` cannot be read: `{short(text)}` {problem}.") from None
        for path in parsed[name].columns:
            if cells.read(path) is None:
                alone = parsed[name].columns == (path,) and name not in CONDITIONS and text.strip('" ') == ".".join(path)
                if alone and name in LOOKED_UP and len(path) > 1:
                    raise cells.missing(text, "", f"; if it stands in another file, write `{name}: {LOOKUP.format(path[-1])}`")
                raise cells.missing(text if alone else ".".join(path), "" if alone else f", which `{label(name)}` reads (`{text}`)")
    return parsed


def declared(location: Location, path: Path) -> Type | None:
    """The declared type of a column or nested field, its name in any case."""
    name = ".".join(path).lower()
    return next((kind for column, kind in location.types.items() if column.lower() == name), None)


def text_types(
    con: duckdb.DuckDBPyConnection, location: Location, files: Sequence[Part], where: str, columns: Iterable[Path]
) -> Types:
    """How expressions see columns of text files: as declared, else as a number or a truth where every value is one, else as text.

    A number with zeros or a plus sign before it is a text: it is a name. All files of the location decide together.
    """
    types: Types = {}
    undeclared = []
    for path in dict.fromkeys(tuple(step.lower() for step in path) for path in columns):
        if kind := declared(location, path):
            types[path] = kind
        else:
            undeclared.append(path)
    if not undeclared:
        return types
    counts = {path: [0, 0, 0, 0] for path in undeclared}
    for part in files:
        cells = Cells(con, part, location, where)
        places = {path: place for path in undeclared if (place := cells.read(path)) is not None}
        texts = {p: i for p, i in places.items() if part.texts and values.is_text(cells.kinds[i])}
        if not texts:
            continue
        questions = ", ".join(
            f"count(c{i}), count_if({values.plain_number(f'c{i}', location.decimal)}), "
            f"count_if(regexp_full_match(trim(c{i}), '-?[0-9]{{1,18}}')), count_if(lower(trim(c{i})) IN ('true', 'false'))"
            for i in texts.values()
        )
        try:
            row = con.execute(f"SELECT {questions} FROM {cells.relation()}").fetchone()
        except duckdb.Error as error:
            raise BadInput(f"{where}: {part.file} cannot be read: {first_line(error)}.") from None
        forget_rejects(con)
        assert row is not None
        for n, path in enumerate(texts):
            counts[path] = [a + (b or 0) for a, b in zip(counts[path], row[4 * n : 4 * n + 4], strict=True)]
    for path, (filled, numbers, whole, truths) in counts.items():
        if filled and numbers == filled:
            types[path] = "int" if whole == filled else "float"
        elif filled and truths == filled:
            types[path] = "bool"
    return types


@dataclass(frozen=True)
class Value:
    """A wanted value over the cells: its SQL, its DuckDB type, and the cell it is where it is one."""

    sql: str
    kind: str
    cell: int | None = None


def values_of(cells: Cells, texts: dict[str, str], parsed: dict[str, Expression], types: Types) -> dict[str, Value]:
    """The wanted values of one file, by what they are for. Raises BadInput for an expression that does not fit its columns."""
    columns: dict[str, Value] = {}
    for name, text in texts.items():
        if name not in parsed:
            place = cells.position(text)
            if place is None:
                raise cells.missing(text)
            columns[name] = Value(f"c{place}", cells.kinds[place], place)
    for name, expression in parsed.items():
        places = {path: cells.read(path) for path in expression.columns}
        for path, place in places.items():
            if place is None:
                raise cells.missing(".".join(path), f", which `{label(name)}` reads (`{expression.text}`)")
            kind = types.get(tuple(step.lower() for step in path))
            # an id is the text as it stands: numbers would lose its zeros
            if kind and (name not in IDS or declared(cells.location, path)):
                cells.typed[place] = kind  # pyright: ignore[reportArgumentType]
    for name, expression in parsed.items():
        columns[name] = _described(cells, name, expression)
    return columns


def _described(cells: Cells, name: str, expression: Expression) -> Value:
    """An expression with its columns as typed; where the engine cannot take them so, as the texts they are in the file."""
    places = {path: cells.read(path) for path in expression.columns}
    as_text = name in IDS
    problem: duckdb.Error | None = None
    for typed in (True, False) if not as_text else (True,):
        aliases = {p: f"v{i}" if i in cells.typed and typed else f"c{i}" for p, i in places.items() if i is not None}
        sql = expression.sql(cells.con, aliases)
        try:
            row = cells.con.execute(f"DESCRIBE SELECT {sql} FROM {cells.relation()}").fetchone()
        except duckdb.Error as error:
            problem = problem or error
            continue
        assert row is not None
        return Value(sql, row[1])
    assert problem is not None
    names = {f"{sign}{i}": ".".join(p) for p, i in places.items() for sign in "vc"}
    texts = [".".join(p) for p, i in places.items() if i is not None and values.is_text(cells.kinds[i]) and i not in cells.typed]
    hint = f": {', '.join(texts)} is text, `types: {{{texts[0]}: float}}` reads it as a number" if texts else ""
    raise BadInput(
        f"{cells.where}: `{label(name)}` cannot be read: `{expression.text}` does not fit its columns "
        f"({expressions.engine_words(problem, names)}){hint}."
    )


def _id_text(cells: Cells, place: int) -> str:
    """A cell of a lookup table as a text, of its declared type where it has one."""
    kind, kept = declared(cells.location, cells.paths[place]), cells.kinds[place]
    if kind is None:
        return values.as_text(f"c{place}", kept)
    return values.as_text(f"({values.as_type(f'c{place}', kept, kind, cells.location.decimal)})", values.SQL_TYPES[kind])


def lookup_table(con: duckdb.DuckDBPyConnection, lookup: Lookup, table: str, where: str) -> int:
    """Makes the temporary table (key, value) of a lookup; a key's first row counts. Returns how many keys have several values."""
    selects = []
    for number, part in enumerate(parts(con, lookup, where)):
        cells = Cells(con, part, lookup, where)
        key, column = (cells.position(name) for name in (lookup.key, lookup.column))
        if key is None or column is None:
            raise cells.missing(lookup.key if key is None else lookup.column)
        selects.append(
            f"SELECT {_id_text(cells, key)} AS key, {_id_text(cells, column)} AS value, {number} AS part, _row "
            f"FROM {cells.relation(numbered=True)}"
        )
    try:
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT trim(key) AS key, arg_min(value, (part, _row)) AS value, "
            "count(DISTINCT value) AS n "
            f"FROM ({' UNION ALL '.join(selects)}) WHERE key IS NOT NULL GROUP BY 1"
        )
    except duckdb.Error as error:
        raise BadInput(f"{where}: {lookup.title} cannot be read: {first_line(error)}.") from None
    forget_rejects(con)
    row = con.execute(f"SELECT count(*) FROM {table} WHERE n > 1").fetchone()
    return int(row[0]) if row else 0
