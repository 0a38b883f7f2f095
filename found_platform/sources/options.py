"""How the rows of a location are read: the options that events, the profile and lookup tables share.

What belongs here: kinds of files, options of text files, rules of times, and their errors. What does not: what the rows mean
(`config`), where they are but in files (`origins`), reading any of them (`files`, `times`).
"""

import codecs
import glob
import itertools
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from found_platform import bounds
from found_platform.errors import BadInput

Kind = Literal["csv", "jsonl", "parquet", "delta"]
SUFFIXES: dict[str, Kind] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
}
"""What a file is, by the end of its name in lower case; a text file may end in `.gz` or `.zst` after it."""
COMPRESSIONS = (".gz", ".zst")

NULLS = ("NULL", "null", "\\N", "undefined", "nan", "NaN", "NaT", "<NA>", "#N/A", "N/A", "n/a", "None", "(null)", "(not set)", "-")
"""Texts that stand for no value where a source does not say `nulls`. An empty text is no value either."""

Unit = Literal["s", "ms", "us", "ns", "excel"]
"""Of a time that is a number: since 1970 in UTC, or `excel`: days since 1899-12-30 in the entry's zone."""

Type = Literal["string", "int", "float", "bool", "date", "time"]
TYPE_NAMES = {"text": "string", "str": "string", "integer": "int", "number": "float", "boolean": "bool", "timestamp": "time"}


class Strict(BaseModel):
    """A part of a source file: unknown keys are errors, nothing changes after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) or value is None else [value]


def _texts(values: Any) -> Any:
    """A list of texts as YAML may write them: `null`, `true` and numbers are meant as they stand in a file."""
    words = {None: "null", True: "true", False: "false"}
    return [words[v] if v is None or isinstance(v, bool) else str(v) for v in _as_list(values)] if values is not None else None


def named_key(raw: Any, name: str) -> Any:
    """The mapping with the key `on` or `yes`, which YAML takes for `true` unless it is quoted."""
    return {name if key is True else key: value for key, value in raw.items()} if isinstance(raw, dict) else raw


Texts = Annotated[list[str], BeforeValidator(_texts)]


def check_zone(zone: str) -> str:
    """The zone. Raises ValueError where it is no IANA time zone."""
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):  # unknown, malformed, or a folder of the zone database
        raise ValueError(f"{zone!r} is no time zone: use an IANA name such as Europe/London") from None
    return zone


class TimeRule(Strict):
    """How a time is written. Nothing given: ISO 8601 alone, with or without an offset."""

    format: Annotated[list[str] | None, BeforeValidator(_as_list)] = None  # strptime, the first that reads a value
    unit: Unit | None = None
    day_first: bool | None = None  # 31/12/2024 (true) or 12/31/2024 (false), also with dots, hyphens and two digits of the year
    timezone: str | None = None  # of times without an offset

    @field_validator("format")
    @classmethod
    def _readable_format(cls, formats: list[str] | None) -> list[str] | None:
        for text in formats or []:
            if not re.search(r"%-?[a-zA-Z]", text):
                raise ValueError(f"{text!r} holds no strptime code: write, for example, '%d/%m/%Y %H:%M'")
        return formats

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, zone: str | None) -> str | None:
        return zone if zone is None else check_zone(zone)


class TimeColumn(TimeRule):
    """A column of times with a rule of its own; what it leaves out is as the entry says."""

    column: str = Field(min_length=1)


class Location(Strict):
    """Files of one kind, or a Delta folder, and how to read them."""

    path: str
    kind: Kind | None = None  # told by the file's name where left out
    delimiter: str | None = None  # of text files; recognised by the header where left out
    decimal: Literal[".", ","] | None = None  # left out: a point, and no sign between thousands; told: both signs are read
    encoding: str | None = None  # left out: UTF-8, or UTF-16 where the file begins with its mark
    skip: int | None = Field(default=None, ge=1, le=1_000)  # lines of a text file above its column names, such as a title
    quote: str = '"'  # an empty text: quotes mean nothing
    escape: str = '"'  # stands before a quote within quotes
    nulls: Texts | None = None  # left out: NULLS
    types: dict[str, Type] = Field(default_factory=dict)  # of columns, as expressions and profile attributes see them

    @field_validator("delimiter", "quote", "escape")
    @classmethod
    def _one_sign(cls, sign: str | None, info: Any) -> str | None:
        sign = {"tab": "\t", "\\t": "\t"}.get(sign, sign) if sign else sign
        if sign is None or len(sign.encode()) == 1 or (sign == "" and info.field_name != "delimiter"):
            return sign
        raise ValueError(f"{info.field_name} is {sign!r}: it takes one ASCII character, for example ';' or '\\t'")

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, encoding: str | None) -> str | None:
        if encoding is None:
            return None
        try:
            return codecs.lookup(encoding).name if "a".encode(encoding) else None
        except (LookupError, ValueError, TypeError):  # unknown, or an encoding of bytes such as zip
            raise ValueError(f"{encoding!r} is no encoding: use a name such as utf-8, latin-1, cp1252 or utf-16") from None

    @field_validator("types", mode="before")
    @classmethod
    def _known_types(cls, types: Any) -> Any:
        if not isinstance(types, dict):
            return types
        named = {column: TYPE_NAMES.get(kind, kind) if isinstance(kind, str) else kind for column, kind in types.items()}
        for column, kind in named.items():
            if kind not in get_args(Type):
                raise ValueError(f"{column} is of type {kind!r}: it can be text, int, float, bool, date or time")
        return named

    @property
    def null_texts(self) -> tuple[str, ...]:
        """The texts that stand for no value, beside the empty one."""
        return NULLS if self.nulls is None else tuple(dict.fromkeys(text.strip() for text in self.nulls if text.strip()))

    def is_delta(self) -> bool:
        return self.kind == "delta" or (self.kind is None and Path(self.path).is_dir())

    def files(self) -> list[Path]:
        """The files behind `path`: one file, a glob, or the data files of a Delta folder. Raises BadInput when there are none."""
        if self.is_delta():
            from deltalake import DeltaTable

            if not DeltaTable.is_deltatable(self.path):
                names = sorted(glob.glob(f"{glob.escape(self.path)}/*"))
                ending = next((s for name in names for s in SUFFIXES if name.lower().endswith(s)), ".parquet")
                raise BadInput(f"{self.path} is a folder but no Delta table: name the files, for example {self.path}/*{ending}.")
            files = [Path(uri) for uri in DeltaTable(self.path).file_uris()]
            for file in files:
                bounds.check_within(file, Path(self.path), self.path)
        elif os.path.exists(self.path):
            files = [Path(self.path)]
        else:
            files = [Path(p) for p in sorted(glob.glob(self.path))]
            for file in files:
                bounds.check_within(file, _folder_of(self.path), self.path)
        for file in files:
            bounds.check_regular(file)
        if not files:
            raise BadInput(f"No file at {self.path}: check `path` in the source file (relative paths start at that file).")
        kinds = {file: self.kind_of(file) for file in files}
        if len(set(kinds.values())) > 1:
            one, other = (next(f for f in files if kinds[f] == kind) for kind in sorted(set(kinds.values()))[:2])
            raise BadInput(f"{self.path} matches files of different kinds ({one.name}, {other.name}): make an entry for each kind.")
        return files

    def kind_of(self, file: Path) -> Kind:
        """What a file is: as told, or by its name in any case. Raises BadInput where neither says."""
        if self.kind or self.is_delta():
            return self.kind or "delta"
        name = file.name.lower()
        for compression in COMPRESSIONS:
            name = name.removesuffix(compression)
        kind = SUFFIXES.get(Path(name).suffix)
        if kind is None or (kind == "parquet" and name != file.name.lower()):
            raise BadInput(
                f"{file} is none of {', '.join(SUFFIXES)} (text files also with {' or '.join(COMPRESSIONS)}): "
                "say `kind: csv`, `jsonl` or `parquet` in the source file, or convert it."
            )
        return kind


def _folder_of(pattern: str) -> Path:
    """The folder that a pattern names before its first sign that stands for others."""
    parts = Path(pattern).parts
    return Path(*itertools.takewhile(lambda part: not glob.has_magic(part), parts))
