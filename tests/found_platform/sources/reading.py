"""Small sources for the tests of how rows are read."""

from pathlib import Path
from typing import Any

import duckdb
import yaml

from found_platform import lake
from found_platform.settings import Settings
from found_platform.sources import config, counts, examination, scan
from found_platform.sources.counts import ChannelReport

COLUMNS = {"user_id": "id", "event_time": "at", "text": "what"}


def write(folder: Path, name: str, rows: list[str], encoding: str = "utf-8") -> Path:
    """A text file of these lines."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(rows) + "\n", encoding=encoding)
    return folder / name


def source(folder: Path, entry: dict[str, Any], profile: dict[str, Any] | None = None, channel: str = "pay_bill") -> Path:
    """A source file with one entry."""
    content: dict[str, Any] = {"name": "s", "channels": {channel: {"columns": COLUMNS, **entry}}}
    if profile:
        content["profile"] = profile
    path = folder / "source.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True))
    return path


def examined(
    folder: Path, entry: dict[str, Any], profile: dict[str, Any] | None = None, channel: str = "pay_bill"
) -> examination.Examined:
    """What `found source check` knows of it."""
    return examination.examine(Settings.load(folder / "none"), config.load(source(folder, entry, profile, channel)))


def shares(report: examination.Examined) -> list[str]:
    """The refusals that ask for a confirmation."""
    return [part for sentence in report.refusals if "confirm" in sentence for part in sentence.split("; channel ")]


def scanned(folder: Path, entry: dict[str, Any], channel: str = "pay_bill") -> tuple[duckdb.DuckDBPyConnection, ChannelReport]:
    """A connection with the scan of one entry, and its report."""
    con = lake.connect()
    scan.scan(con, config.load(source(folder, entry, None, channel)))
    (report,) = counts.report(con)
    return con, report


def column(con: duckdb.DuckDBPyConnection, name: str) -> list[Any]:
    """A column of the good rows, in their order."""
    value = f"timezone('UTC', {name})" if name in ("event_time", "arrived_at") else name
    return [row[0] for row in con.execute(f"SELECT {value} FROM scanned WHERE reason IS NULL ORDER BY file, row_number").fetchall()]


def csv(folder: Path, text: str | bytes, name: str = "events.csv") -> str:
    """Writes a file and returns its name."""
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return name
