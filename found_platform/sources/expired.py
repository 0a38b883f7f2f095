"""Days that a home keeps no longer, and its sources: whatever a source still holds of them stays out, and what was staged goes.

What belongs here: leaving events of such days out of a scan, of what is staged, and of files of the source that lie in the home.
What does not: which days are kept (`privacy.retention`), the other stores of a home (`housekeeping.expiry`).
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at run time)

import contextlib
import datetime as dt
import glob
import json
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from found_platform import lake
from found_platform.contract import midnight
from found_platform.errors import BadInput
from found_platform.home import write_whole
from found_platform.privacy import parquet_rows, retention
from found_platform.settings import Settings
from found_platform.sources import config as source_config
from found_platform.sources import folders, growth, pulls, scan, simulator, totals
from found_platform.sources.config import ChannelEntry, SourceConfig, Span
from found_platform.sources.rows import OUTSIDE

OF_A_DAY = ("days", "source", "kept")
"""Parts of a manifest that are told by day."""


def kept_days(settings: Settings, span: Span) -> Span:
    """The days of a span that a home keeps. Raises BadInput where it keeps none of them."""
    first = retention.kept_from(settings)
    if first is None or first <= span.start:
        return span
    if span.end is not None and span.end <= first:
        raise BadInput(
            f"All events are from {span.start} to before {span.end}, and {settings.home} keeps none of before {first}: they were "
            "let go by the setting retention, and are not taken in again. Choose another --home for them."
        )
    return span.model_copy(update={"start": first})


def note(settings: Settings, con: duckdb.DuckDBPyConnection) -> list[str]:
    """What there is to say of a scan."""
    first = retention.kept_from(settings)
    if first is None:
        return []
    query = f"SELECT coalesce(sum(n), 0) FROM {totals.table(con, 'row_counts')} WHERE reason = ? AND day < ?"
    ((count,),) = con.execute(query, [OUTSIDE, first]).fetchall()
    return [f"{count:,} events of before {first} are left out: this home keeps them no longer"] if count else []


def leave_out_of_staging(settings: Settings, first: dt.date) -> int:
    """Takes the days before `first` out of what is staged, and of its manifest; returns the number of rows."""
    if not folders.is_staged(settings):
        return 0
    with folders.turn(settings):
        files = [*(settings.staging / "events").rglob("*.parquet"), settings.staging / growth.KEPT]
        count = sum(_leave_days_out(file, first) for file in sorted(files) if file.exists())
        manifest = folders.manifest(settings)
        parts = {part: {d: n for d, n in manifest.get(part, {}).items() if d >= str(first)} for part in OF_A_DAY}
        content = {**manifest, **{part: days for part, days in parts.items() if part in manifest}}
        if content != manifest:
            write_whole(settings.staging / folders.MANIFEST, json.dumps(content))
    return count


def _leave_days_out(file: Path, first: dt.date) -> int:
    def older(rows: pa.Table, _: int) -> pa.Array:
        if "event_date" not in rows.column_names:  # an earlier version staged a folder for each day
            day = dt.date.fromisoformat(file.parent.name.partition("=")[2])
            return pa.array([day < first] * rows.num_rows, pa.bool_())
        return pc.less(rows["event_date"], pa.scalar(first, pa.date32())).combine_chunks()

    return parquet_rows.leave_out_rows(file, older)


def leave_out_of_own_files(settings: Settings, first: dt.date) -> int:
    """Takes rows of before a day out of the Parquet files of the home that its source reads: what was simulated, and what was
    pulled from elsewhere. Returns the number of rows. Text files that were copied from a store stay as they are.
    """
    own = _own(settings)
    if not own.channels:
        return 0
    with contextlib.closing(lake.connect(settings.duckdb_memory, temp=settings.home / "tmp")) as con:
        scan.scan(con, own)
        older = con.execute(
            "SELECT file, row_number FROM scanned WHERE event_time < ? GROUP BY ALL ORDER BY ALL", [midnight(first)]
        ).to_arrow_table()
    count = 0
    for file in older["file"].unique().to_pylist():
        numbers = pc.subtract(older.filter(pc.equal(older["file"], file))["row_number"], 1).combine_chunks()

        def among(rows: pa.Table, start: int, numbers: pa.Array = numbers) -> pa.Array:
            return pc.is_in(pa.array(range(start, start + rows.num_rows), pa.int64()), numbers)

        count += parquet_rows.leave_out_rows(Path(file), among)
    return count


def _own(settings: Settings) -> SourceConfig:
    """The source over its Parquet files that lie in the home, every row of them: `where` leaves none out."""
    source = source_config.of_home(settings)
    if source.simulator:
        if not (settings.home / "simulated").is_dir():
            return source.model_copy(update={"simulator": None})
        source = simulator.generate(settings, source)
    else:
        source = pulls.local(source, settings.pulled)
    entries: dict[str, list[ChannelEntry]] = {}
    seen: set[str] = set()
    inside = f"{settings.home}/", f"{glob.escape(str(settings.home))}/"
    for channel, several in source.channels.items():
        for entry in several:
            files = entry.files() if entry.path.startswith(inside) else []
            times = f"{entry.path} {entry.columns['event_time']} {entry.time_rule('event_time')}"
            if files and all(file.suffix == ".parquet" for file in files) and times not in seen:
                seen.add(times)  # entries of several channels may read the same rows
                entries.setdefault(channel, []).append(entry.model_copy(update={"where": None, "returns": None}))
    return source.model_copy(update={"channels": entries, "profile": None, "span": None})
