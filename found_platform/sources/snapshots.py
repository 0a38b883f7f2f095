"""Snapshots: rows that were read from elsewhere, kept as Parquet files, so that the scan reads them as it reads any file.

What belongs here: writing the files of one reading, and changing a snapshot in one step. What does not: where rows come from
(`databases`, `joins`, `remote`), and which snapshot belongs to which entry (`pulls`).
"""

import contextlib
import datetime as dt
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from found_platform.errors import BadInput
from found_platform.home import make_private, write_whole

ROWS_A_GROUP = 65_536
"""Rows of a Parquet row group: what one batch of a database holds, and what is in memory at once."""
EXACT_WHOLE = 2**53
"""Whole numbers beyond this are not exact as floating-point numbers."""

MOMENT = pa.timestamp("us", tz="UTC")
NAIVE = pa.timestamp("us")


@dataclass(frozen=True)
class State:
    """What a snapshot holds. `tail` is the file of the rows with the newest cursor value: the next reading replaces it."""

    files: tuple[str, ...] = ()
    tail: str | None = None
    cursor: dict[str, str] | None = None
    types: dict[str, str] = field(default_factory=dict)
    readings: int = 0
    originals: dict[str, str] = field(default_factory=dict)  # each file that was read, and what tells whether it changed


class Snapshot:
    """A folder of files and a manifest that names them. A file that the manifest does not name is left of a reading that failed."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.rows = folder / "rows"
        self._manifest = folder / "manifest.json"

    @property
    def exists(self) -> bool:
        return self._manifest.exists()

    def state(self) -> State:
        """What is kept, after files that belong to no complete reading are removed."""
        if not self.exists:
            return State()
        content = json.loads(self._manifest.read_text())
        state = State(**{**content, "files": tuple(content["files"])})
        for file in self.rows.glob("*"):
            if file.name not in state.files:
                file.unlink()
        return state

    def commit(self, state: State, parts: Iterable[tuple[Path, str]]) -> None:
        """Takes new files in under their names and forgets those that `state` does not name."""
        for partial, name in parts:
            partial.replace(self.rows / name)
        write_whole(self._manifest, json.dumps(asdict(state)))
        self.state()

    @contextlib.contextmanager
    def work(self) -> Iterator[Path]:
        """A folder for the files of a reading, which is gone after it."""
        work = self.folder / "work"
        shutil.rmtree(work, ignore_errors=True)
        for folder in (self.folder, self.rows, work):  # raw ids are in here
            make_private(folder)
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)


class PartWriter:
    """Parquet files of one reading, all with the same columns and types.

    A new file begins where the type of a column widens; `close` writes the narrower ones again.
    """

    def __init__(self, folder: Path, names: Sequence[str], types: dict[str, str] | None = None, *, where: str = "source"):
        self._folder = folder
        self._where = where
        self._types: dict[str, pa.DataType] = {n: TYPES.get((types or {}).get(n, ""), pa.null()) for n in names}
        self._writer: pq.ParquetWriter | None = None
        self._parts: list[Path] = []
        self.rows = 0

    @property
    def types(self) -> dict[str, str]:
        """The type of each column by name, as a manifest keeps it; a column without any value has none."""
        return {name: str(kind) for name, kind in self._types.items() if not pa.types.is_null(kind)}

    def write(self, rows: Sequence[Sequence[Any]]) -> None:
        """Adds rows of Python values, in the order of the columns."""
        if not rows:
            return
        columns = dict(zip(self._types, zip(*rows, strict=True), strict=True))
        types = {name: widen(self._types[name], value_type(values)) for name, values in columns.items()}
        if types != self._types:
            self.end_file()
            self._types = types
        arrays = [as_array(values, _stored(types[name])) for name, values in columns.items()]
        self._open().write_table(pa.Table.from_arrays(arrays, names=list(types)), row_group_size=ROWS_A_GROUP)
        self.rows += len(rows)

    def _open(self) -> pq.ParquetWriter:
        if self._writer is None:
            self._parts.append(self._folder / f"part-{len(self._parts):04d}.parquet")
            schema = pa.schema([pa.field(name, _stored(kind)) for name, kind in self._types.items()])
            self._writer = pq.ParquetWriter(self._parts[-1], schema, compression="zstd")
        return self._writer

    def end_file(self) -> None:
        """Lets the next row begin a new file."""
        if self._writer is not None:
            self._writer.close()
        self._writer = None

    def close(self) -> list[Path]:
        """The files, in the order of the rows; one without rows where nothing was written."""
        if not self._parts:
            self._open()
        self.end_file()
        for path in self._parts:
            recast(path, self.types, self._where)
        return self._parts


def recast(path: Path, types: dict[str, str], where: str) -> None:
    """Gives the columns of a file these types; a file that has them stays as it is. Raises BadInput where a number would change."""
    before = pq.read_schema(path)
    schema = pa.schema([pa.field(f.name, TYPES.get(types.get(f.name, ""), f.type)) for f in before])
    if schema == before:
        return
    partial = path.with_suffix(".recast")
    with pq.ParquetFile(path) as file, pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        for batch in file.iter_batches(ROWS_A_GROUP):
            try:
                writer.write_table(pa.Table.from_batches([batch]).cast(schema))
            except pa.ArrowInvalid as error:
                raise BadInput(
                    f"{where}: a column holds whole numbers too large for the fractions beside them ({error}): "
                    "cast it to a text in the query."
                ) from None
    partial.replace(path)


TYPES: dict[str, pa.DataType] = {
    str(kind): kind for kind in (pa.bool_(), pa.int64(), pa.float64(), pa.string(), pa.date32(), NAIVE, MOMENT)
}
"""The types that a snapshot of a database can have, by their names."""


def _stored(kind: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_null(kind) else kind


def widen(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """The type that holds the values of both."""
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    return pa.float64() if {one, other} == {pa.int64(), pa.float64()} else pa.string()


def value_type(values: Sequence[Any]) -> pa.DataType:
    """The type of a column's values. Mixed kinds are texts: a number is never rounded, an id never changed."""
    kinds = {type(value) for value in values if value is not None}
    if not kinds:
        return pa.null()
    if kinds == {bool}:
        return pa.bool_()
    if kinds <= {int, float, Decimal}:
        return _number_type(values, kinds)
    if kinds == {dt.date}:
        return pa.date32()
    if all(issubclass(kind, dt.datetime) for kind in kinds):
        zones = {value.tzinfo is None for value in values if value is not None}
        return pa.string() if len(zones) > 1 else NAIVE if zones == {True} else MOMENT
    return pa.string()


def _number_type(values: Sequence[Any], kinds: set[type]) -> pa.DataType:
    whole = [v for v in values if isinstance(v, int) or (isinstance(v, Decimal) and v.as_tuple().exponent == 0)]
    if len(whole) == sum(v is not None for v in values):
        return pa.int64() if all(-(2**63) <= v < 2**63 for v in whole) else pa.string()
    return pa.string() if any(abs(v) > EXACT_WHOLE for v in whole) else pa.float64()


def as_array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Python values as an Arrow array of this type."""
    if kind == pa.string():
        return pa.array([None if v is None else as_text(v) for v in values], kind)
    if kind in (pa.int64(), pa.float64()):
        convert = int if kind == pa.int64() else float
        return pa.array([None if v is None else convert(v) for v in values], kind)
    return pa.array(values, kind)


def as_text(value: Any) -> str:
    """A value of a database as a person would write it; JSON for what has parts."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=as_text)
    return str(value)
