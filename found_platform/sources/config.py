"""The source file: YAML in, a checked object out, and the copy that a home keeps.

What belongs here: the shape of the file and its errors. What does not: reading any event.
"""

import datetime as dt
import glob
import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from found_platform import home
from found_platform.contract import CHANNELS, EVENT_OPTIONAL, EVENT_REQUIRED, MAX_PARTITIONS
from found_platform.errors import BadInput
from found_platform.settings import Settings

SUFFIXES = (".parquet", ".csv", ".csv.gz")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Location(_Strict):
    path: str

    def is_delta(self) -> bool:
        return Path(self.path).is_dir()

    def files(self) -> list[Path]:
        """The files behind `path`: one file, a glob, or the data files of a Delta folder. Raises BadInput when there are none."""
        if self.is_delta():
            from deltalake import DeltaTable

            if not DeltaTable.is_deltatable(self.path):
                raise BadInput(f"{self.path} is a folder but no Delta table: name the files, for example {self.path}/*.parquet.")
            found = [Path(uri) for uri in DeltaTable(self.path).file_uris()]
        elif Path(self.path).exists():
            found = [Path(self.path)]
        else:
            found = [Path(p) for p in sorted(glob.glob(self.path))]
        if not found:
            raise BadInput(f"No file at {self.path}: check `path` in the source file (relative paths start at that file).")
        for file in found:
            if not file.name.endswith(SUFFIXES):
                raise BadInput(f"{file} is none of {', '.join(SUFFIXES)}: convert it, or name another file.")
        return found


class ChannelEntry(Location):
    """One location that feeds one channel."""

    columns: dict[str, str]
    where: str | None = None
    timezone: str = "UTC"
    exposure: bool = False

    @field_validator("columns")
    @classmethod
    def _known_columns(cls, columns: dict[str, str]) -> dict[str, str]:
        if missing := [c for c in EVENT_REQUIRED if c not in columns]:
            raise ValueError(f"columns must map {', '.join(missing)}")
        if unknown := [c for c in columns if c not in EVENT_REQUIRED + EVENT_OPTIONAL]:
            raise ValueError(f"columns maps {', '.join(unknown)}, known are {', '.join(EVENT_REQUIRED + EVENT_OPTIONAL)}")
        return columns

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError):  # unknown, malformed, or a folder of the zone database
            raise ValueError(f"{zone!r} is no time zone: use an IANA name such as Europe/London") from None
        return zone


class ProfileEntry(Location):
    """The profile table: every column but the key and `as_of` is an attribute."""

    key: str
    as_of: str | None = None


class Span(_Strict):
    """The days `[start, end)`. A null `end` is open: new days may come."""

    start: dt.date
    end: dt.date | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end is not None and self.end <= self.start:
            raise ValueError(f"end is {self.end}, which is not after start {self.start}; end is the first day that is left out")
        return self


Drift = Literal["new_product_line", "dead_channel", "shifted_population", "broken_units", "changed_prices", "bot_traffic"]


class Simulation(_Strict):
    """What the simulator is asked for."""

    users: int = Field(2000, ge=10, le=1_000_000)
    days: int = Field(120, ge=14, le=3650)
    seed: int = Field(0, ge=0)
    start: dt.date = dt.date(2026, 1, 1)
    drifts: dict[Drift, dt.date] = Field(default_factory=dict)  # what goes wrong, and from which day on


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


class SourceConfig(_Strict):
    """A source file. Either `channels` (files of yours) or `simulator`."""

    name: str = Field(min_length=1)
    channels: dict[str, Annotated[list[ChannelEntry], Field(min_length=1)]] = Field(default_factory=dict)
    simulator: Simulation | None = None
    profile: ProfileEntry | None = None
    span: Span | None = None
    profile_schema: dict[str, str] | None = None  # found at the first run, kept in HOME/source.yaml

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
        assert self.span is not None
        return [self.span.start, self.span.end or dt.datetime.now(dt.UTC).date()]

    def asks_the_same(self, other: "SourceConfig") -> bool:
        """Whether a source file still asks for what this config, as a home keeps it, was made from."""
        found = {"span", "profile_schema"}
        if other.span is not None and other.span != self.span:
            return False
        return self.model_dump(exclude=found) == other.model_dump(exclude=found)


def load(path: Path) -> SourceConfig:
    """Reads a source file. Relative paths in it start at its folder. Raises BadInput that names the file and the key."""
    try:
        text = path.read_text()
    except OSError as error:
        raise BadInput(f"The source file {path} cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise BadInput(f"The source file {path} is not UTF-8 text: save it as UTF-8.") from None
    try:
        raw = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise BadInput(f"{path} is not YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(raw, dict):
        raise BadInput(f"{path} holds no mapping: start it with `name:` and `channels:`.")
    return resolve(parse(raw, str(path)), path.resolve().parent)


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
        return entry.model_copy(update={"path": os.path.normpath(folder / entry.path)})

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
    return parse(yaml.safe_load(path.read_text()), str(path))


def keep(settings: Settings, config: SourceConfig) -> None:
    """Writes `HOME/source.yaml`, atomically."""
    assert config.span is not None
    if len(range((config.days[1] - config.days[0]).days)) >= MAX_PARTITIONS:
        raise BadInput(
            f"The span of {config.name!r} from {config.span.start} holds over {MAX_PARTITIONS:,} days: "
            "set `span:` in the source file, rows outside it go to quarantine."
        )
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        settings.keep()
        path = settings.home / "source.yaml"
        partial = path.with_suffix(".partial")
        partial.write_text(yaml.safe_dump(config.model_dump(mode="json", exclude_none=True), sort_keys=False))
        partial.replace(path)
    except OSError as error:
        raise BadInput(f"{settings.home} cannot be a home ({error.strerror}): choose a --home that can be written.") from None
