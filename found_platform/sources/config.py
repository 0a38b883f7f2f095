"""The source file: YAML in, a checked object out, and the copy that a home keeps.

What belongs here: the shape of the file and its errors. What does not: reading any event.
"""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from found_platform import documents, home
from found_platform.contract import CHANNELS, EVENT_OPTIONAL, EVENT_REQUIRED, MAX_PARTITIONS
from found_platform.errors import BadInput
from found_platform.settings import Settings
from found_platform.sources.options import Strict, Texts, TimeColumn, TimeRule, named_key
from found_platform.sources.origins import LOOKED_UP, Lookup, Origin

TIMES = ("event_time", "arrived_at")
Column = str | TimeColumn | Lookup
"""Where a contract column comes from: a column, a nested field or an expression; a time with a rule of its own; a lookup table."""


class ChannelEntry(TimeRule, Origin):
    """One location that feeds one channel."""

    columns: Mapping[str, Column]
    where: str | None = None
    timezone: str = "UTC"  # of times without an offset
    exposure: bool = False
    returns: str | None = None  # an expression that is true of a row that brings something back; left out: a negative amount
    confirm: Texts = Field(default_factory=list)  # ids and texts that are real, however many of the events they hold

    @model_validator(mode="before")
    @classmethod
    def _one_database(cls, raw: Any) -> Any:
        """A lookup table that names no database is of the entry's."""
        if not isinstance(raw, dict) or not raw.get("url") or not isinstance(raw.get("columns"), dict):
            return raw
        columns = dict(raw["columns"])
        for name, column in columns.items():
            place = column.get("from") if isinstance(column, dict) else None
            if isinstance(place, dict) and not place.keys() & {"url", "path", "tables"}:
                columns[name] = {**column, "from": {"url": raw["url"], **place}}
        return {**raw, "columns": columns}

    @property
    def lookups(self) -> dict[str, Lookup]:
        """The lookup tables by the contract column they fill."""
        return {name: column for name, column in self.columns.items() if isinstance(column, Lookup)}

    @field_validator("columns", mode="before")
    @classmethod
    def _known_columns(cls, columns: Any) -> Any:
        if not isinstance(columns, dict):
            raise ValueError("columns is a mapping of contract columns to columns of yours")
        if missing := [c for c in EVENT_REQUIRED if c not in columns]:
            raise ValueError(f"columns must map {', '.join(missing)}")
        if unknown := [c for c in columns if c not in EVENT_REQUIRED + EVENT_OPTIONAL]:
            raise ValueError(f"columns maps {', '.join(map(str, unknown))}, known are {', '.join(EVENT_REQUIRED + EVENT_OPTIONAL)}")
        return {name: _column(name, column) for name, column in columns.items()}

    def time_rule(self, name: str) -> TimeRule:
        """The rule of a time column: its own where it has one, and the entry's for what that leaves out."""
        return combine(self, self.columns[name])


def combine(entry: "ChannelEntry | ProfileEntry", column: Column) -> TimeRule:
    """How a column of times is read: as its own rule says, and as the entry says for what that leaves out."""
    own = column.model_dump(exclude={"column"}, exclude_none=True) if isinstance(column, TimeColumn) else {}
    written = own if own.keys() & {"format", "unit", "day_first"} else entry.model_dump(include={"format", "unit", "day_first"})
    return TimeRule(**{**written, "timezone": own.get("timezone", entry.timezone)})


FORMS = {TimeColumn: ", or {column: NAME, format: FORMAT}", Lookup: ", or {from: FILE, key: COLUMN, column: COLUMN}"}


def _column(name: str, column: Any) -> Column:
    """One entry of `columns`. Raises ValueError that names it."""
    if (isinstance(column, str) and column.strip()) or isinstance(column, TimeColumn | Lookup):
        return column
    kind = TimeColumn if name in TIMES else Lookup if name in LOOKED_UP else None
    if not isinstance(column, dict) or kind is None:
        other = FORMS[kind] if kind else ""
        quoted = "; a name that YAML takes for a number or a truth, such as 1 or yes, stands in quotes"
        quoted = quoted if isinstance(column, bool | int | float) else ""
        raise ValueError(f"{name} is {documents.brief(column)}: it takes the name of a column or an expression{other}{quoted}")
    try:
        return kind.model_validate(column)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in (name, *first["loc"]))
        raise ValueError(f"{key}: {first['msg'].removeprefix('Value error, ')}") from None


class Consent(Strict):
    """Which values of a profile column mean that a user agrees: the attribute is true for them and false for any other value."""

    column: str
    yes: Annotated[Texts, Field(min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def _unquoted_yes(cls, raw: Any) -> Any:
        return named_key(raw, "yes")

    @field_validator("yes", mode="before")
    @classmethod
    def _yaml_truths(cls, values: Any) -> Any:
        listed = values if isinstance(values, list) else [values]
        return [text for value in listed for text in (("true", "yes") if value is True else (value,))]


def _listed(value: Any) -> Any:
    return () if value is None else value if isinstance(value, (list, tuple)) else [value]


class ProfileEntry(TimeRule, Origin):
    """The profile table: every column but the key and `as_of` is an attribute."""

    key: str  # a column or an expression
    as_of: str | TimeColumn | None = None
    timezone: str = "UTC"
    consent: Annotated[tuple[Consent, ...], BeforeValidator(_listed)] = ()  # one, or a list of them


class Span(Strict):
    """The days `[start, end)`. A null `end` is open: new days may come."""

    start: dt.date
    end: dt.date | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end is not None and self.end <= self.start:
            raise ValueError(f"end is {self.end}, which is not after start {self.start}; end is the first day that is left out")
        return self


Drift = Literal["new_product_line", "dead_channel", "shifted_population", "broken_units", "changed_prices", "bot_traffic"]


class Simulation(Strict):
    """What the simulator is asked for."""

    users: int = Field(2000, ge=10, le=1_000_000)
    days: int = Field(120, ge=14, le=3650)
    seed: int = Field(0, ge=0)
    start: dt.date = dt.date(2026, 1, 1)
    drifts: dict[Drift, dt.date] = Field(default_factory=dict)  # what goes wrong, and from which day on
    world: Literal[1, 2] = Field(1, exclude_if=lambda world: world == 1)  # 2 has returns; homes of world 1 do not name it


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


class SourceConfig(Strict):
    """A source file. Either `channels` (files of yours) or `simulator`."""

    name: str = Field(min_length=1)
    channels: dict[str, Annotated[list[ChannelEntry], Field(min_length=1)]] = Field(default_factory=dict)
    simulator: Simulation | None = None
    profile: ProfileEntry | None = None
    span: Span | None = None
    # what a home adds, and keeps in HOME/source.yaml
    profile_schema: dict[str, str] | None = None  # attributes and their types: new ones are added, none is ever removed
    data_days: Span | None = None  # the days of the data: the span where it has an end, else up to the last event of the last scan
    partition_days: Span | None = None  # every day this home has had: only grows

    @field_validator("channels")
    @classmethod
    def _known_channels(cls, channels: dict[str, Any]) -> dict[str, Any]:
        if unknown := [name for name in channels if name not in CHANNELS]:
            raise ValueError(f"{unknown[0]!r} is no channel: there are {', '.join(CHANNELS)}")
        return channels

    @field_validator("channels", mode="before")
    @classmethod
    def _entries(cls, channels: Any) -> Any:
        return {k: _as_list(v) for k, v in channels.items()} if isinstance(channels, dict) else channels

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if bool(self.channels) == bool(self.simulator):
            raise ValueError("give `channels` with at least one of " + ", ".join(CHANNELS) + ", or `simulator`")
        return self

    @property
    def days(self) -> list[dt.date]:
        """First day, and the day after the last one that is known to hold data."""
        span = self.data_days or self.span
        assert span is not None
        return [span.start, span.end or dt.datetime.now(dt.UTC).date()]

    def as_asked(self) -> "SourceConfig":
        """The same config without what a home adds to it."""
        return self.model_copy(update=dict.fromkeys(HOME_KEEPS))

    def asks_the_same(self, other: "SourceConfig") -> bool:
        """Whether two configs ask for the same, whatever a home has added to either."""
        return self.as_asked() == other.as_asked()

    def is_another(self, other: "SourceConfig") -> bool:
        """Whether two configs have nothing in common: neither the name nor a location, or a simulation is not the same one."""
        if self.simulator or other.simulator:
            return self.simulator != other.simulator
        return self.name != other.name and not self._paths() & other._paths()

    def _paths(self) -> set[str]:
        return {path for _, origin in self.origins() if (path := origin.url or origin.path)}

    def origins(self) -> list[tuple[str, Origin]]:
        """All that rows are read from, with what errors of each begin with: entries, their lookup tables, the profile."""
        origins: list[tuple[str, Origin]] = []
        for channel, entries in self.channels.items():
            for entry in entries:
                origins.append((f"channel {channel!r}", entry))
                origins += [(f"channel {channel!r}, {name}", lookup) for name, lookup in entry.lookups.items()]
        return origins + ([("profile", self.profile)] if self.profile else [])


HOME_KEEPS = ("profile_schema", "data_days", "partition_days")


def load(path: Path) -> SourceConfig:
    """Reads a source file. Relative paths in it start at its folder. Raises BadInput that names the file and the key."""
    return resolve(_parsed(documents.load(path, "source file"), str(path)), path.resolve().parent)


def parse_text(text: str, where: str) -> SourceConfig:
    """Checks the text of a source file; `where` is named in errors."""
    return _parsed(documents.parse(text, where), where)


def _parsed(raw: Any, where: str) -> SourceConfig:
    if not isinstance(raw, dict):
        raise BadInput(f"{where} holds no mapping: start it with `name:` and `channels:`.")
    # as in Docker Compose: a key `x-...` holds what several entries share by a YAML anchor
    return parse({key: value for key, value in raw.items() if not str(key).startswith("x-")}, where)


def parse(raw: dict[str, Any], where: str) -> SourceConfig:
    """Checks the content of a source file; `where` is named in errors."""
    try:
        return SourceConfig.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the top level"
        raise BadInput(f"{where}: at {key}: {first['msg'].removeprefix('Value error, ')}.") from None


def resolve(config: SourceConfig, folder: Path) -> SourceConfig:
    """The same config with absolute paths."""

    def absolute(entry: Any) -> Any:
        changes = entry.absolutes(folder)
        if isinstance(entry, ChannelEntry):
            changes["columns"] = {**entry.columns, **{name: absolute(lookup) for name, lookup in entry.lookups.items()}}
        return entry.model_copy(update=changes)

    return config.model_copy(
        update={
            "channels": {channel: [absolute(e) for e in entries] for channel, entries in config.channels.items()},
            "profile": absolute(config.profile) if config.profile else None,
        }
    )


def of_home(settings: Settings) -> SourceConfig:
    """The source of a home. Raises BadInput when nothing has run in it yet."""
    path = settings.home / "source.yaml"
    if not path.exists():
        raise BadInput(f"Nothing has run in {settings.home} yet: start with `found demo{home.option(settings.home)}`.")
    return parse(documents.load(path, "source of the home"), str(path))


def keep(settings: Settings, config: SourceConfig) -> None:
    """Ties a home to a source: writes what it is made with, and `HOME/source.yaml`."""
    check_days(config)
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        settings.keep()
        save(settings, config)
    except OSError as error:
        raise no_home(settings, error) from None


def check_days(config: SourceConfig) -> None:
    """Raises BadInput where a source has more days than a home can have."""
    if (config.days[1] - config.days[0]).days >= MAX_PARTITIONS:
        raise BadInput(
            f"The days of {config.name!r} from {config.days[0]} to {config.days[1]} are over {MAX_PARTITIONS:,}: "
            "write `span: {start: YYYY-MM-DD}` into the source file; rows outside it are left aside."
        )


def save(settings: Settings, config: SourceConfig) -> None:
    """Writes `HOME/source.yaml`, atomically."""
    path = settings.home / "source.yaml"
    partial = path.with_suffix(".partial")
    partial.write_text(yaml.safe_dump(config.model_dump(mode="json", exclude_none=True), sort_keys=False))
    partial.replace(path)


def no_home(settings: Settings, error: OSError) -> BadInput:
    """What to say of a folder that cannot be written."""
    return BadInput(f"{settings.home} cannot be a home ({error.strerror}): choose a --home that can be written.")
