"""Opening a home for a source, and staging: good rows by day under `HOME/staging`, bad rows in the quarantine table.

A staged folder is swapped in whole, and only where the share of bad rows is under the threshold.
"""

import contextlib
import datetime as dt
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa

from found_platform import contract, lake
from found_platform.contract import QUARANTINE
from found_platform.errors import BadInput
from found_platform.privacy import holds
from found_platform.settings import Settings
from found_platform.sources import config as source_config
from found_platform.sources import (
    counts,
    discovery,
    erased,
    expired,
    folders,
    growth,
    pulls,
    review,
    sandbox,
    scan,
    simulator,
    spread,
    survey,
    totals,
    workers,
)
from found_platform.sources.config import SourceConfig, Span
from found_platform.sources.discovery import Look
from found_platform.sources.folders import is_staged, manifest, waits
from found_platform.sources.growth import Loss, Removed
from found_platform.sources.profile import ProfileReport, profile_attributes, read_profile
from found_platform.sources.stage_report import StageReport

__all__ = ["discover", "is_staged", "manifest", "open_home", "prepare", "renew", "stage", "waits"]


def discover(settings: Settings, source: SourceConfig, *, another: bool = False) -> SourceConfig:
    """The source as the home would keep it, with its days and its profile schema. Reads times and columns. Rows that are elsewhere,
    in a database for example, are pulled into the home first; nothing else is written.

    A home follows its source: the file may say something else than before, and its days and attributes grow. Only a source that has
    nothing in common with that of the home is refused, unless `another` says that it is meant. Raises BadInput also when the source
    cannot be read.
    """
    kept = source_config.of_home(settings) if (settings.home / "source.yaml").exists() else None
    if kept is not None and kept.is_another(source) and not (another and kept.channels and source.channels):
        remedy = ", or say that it is meant with --another-source" if kept.channels and source.channels else ""
        raise BadInput(
            f"{settings.home} belongs to another source, {kept.name!r} (see its source.yaml): choose another --home{remedy}."
        )
    if settings.home.exists() and not settings.home.is_dir():
        raise BadInput(f"{settings.home} is a file: choose another --home.")
    if source.simulator:
        return kept or simulator.discover(source)
    files = pulls.refresh(source, settings.pulled)[0]
    if kept is not None and kept.asks_the_same(source) and _staged_fingerprint(settings) == _fingerprint(settings, kept):
        return kept
    con = lake.connect(settings.duckdb_memory)
    try:
        with pulls.origins_named(source, settings.pulled):
            looks = None if settings.engine == "duckdb" else workers.look(settings, con, _whole(files))
            read, days = discovered(con, source, files, looks)
    finally:
        con.close()
    schema, _ = growth.schema(kept.profile_schema if kept else None, read.profile_schema or {})
    return source.model_copy(update={"profile_schema": schema, **_days(settings, kept, days)})


def _whole(files: SourceConfig) -> SourceConfig:
    return files.as_asked().model_copy(update={"span": None})


def discovered(
    con: duckdb.DuckDBPyConnection, source: SourceConfig, files: SourceConfig, looks: dict[int, list[Look]] | None = None
) -> tuple[SourceConfig, Span]:
    """A source over `files` as they are, and the days of its data that it asks for. Raises BadInput where none is in its span.

    Args:
        looks: as `discovery.discover`.
    """
    read = discovery.discover(con, _whole(files), looks)
    assert read.span is not None
    assert read.span.end is not None
    return read, growth.clipped(source.span, read.span.start, read.span.end - dt.timedelta(days=1))


def _days(settings: Settings, kept: SourceConfig | None, days: Span) -> dict[str, Span]:
    """What a home keeps of the days of its source: those that were let go are none of them. Raises BadInput where all were."""
    before = (kept.partition_days or kept.data_days or kept.span) if kept else None
    every = growth.union(days, before if before and before.end else None)
    return {"data_days": expired.kept_days(settings, days), "partition_days": expired.kept_days(settings, every)}


def open_home(settings: Settings, source: SourceConfig) -> SourceConfig:
    """Ties a home to a source that `discover` has found, and returns it. Tables with profile attributes get those that are new."""
    source_config.keep(settings, source)
    _add_attributes(settings)
    return source


def _follow(settings: Settings, source: SourceConfig) -> None:
    """Lets an open home know what a scan has found; what the home was made with stays as it is."""
    if source != source_config.of_home(settings):
        source_config.save(settings, source)
        _add_attributes(settings)


def _add_attributes(settings: Settings) -> None:
    for table in ("raw_profile", "user_tabular", "training_set"):
        lake.add_columns(settings.lake, table, contract.profile_schema(settings.home))


def source_fingerprint(settings: Settings) -> str:
    """A hash of the source file and of the size and time of each file behind it: what decides whether to scan again."""
    return _fingerprint(settings, source_config.of_home(settings))


def newest_file(settings: Settings) -> float:
    """When the file of the source that was changed last was changed, in seconds since 1970."""
    return max((f.stat().st_mtime for f in _files(settings, source_config.of_home(settings))), default=0.0)


def _files(settings: Settings, source: SourceConfig) -> list[Path]:
    return [file for _, origin in pulls.local(source, settings.pulled).origins() for file in origin.files()]


def _fingerprint(settings: Settings, source: SourceConfig) -> str:
    files = [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in _files(settings, source)]
    content = json.dumps(
        [
            source.as_asked().model_dump(mode="json"),
            source.profile_schema,
            files,
            settings.quarantine_threshold,
            simulator.VERSION if source.simulator else 0,
        ]
    )
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _staged_fingerprint(settings: Settings) -> str | None:
    return manifest(settings).get("fingerprint") if is_staged(settings) else None


@dataclass(frozen=True)
class Prepared:
    """A source that a home can take up. `notes` say what changes; `rhythms` is empty where nobody asked, and `users` None (how many
    there are), where nothing was scanned."""

    source: SourceConfig
    notes: list[str]
    rhythms: list[survey.Rhythm] = field(default_factory=list)
    users: int | None = None


def prepare(
    settings: Settings,
    source: SourceConfig,
    *,
    removed: Removed | None = None,
    cutoff: dt.date | None = None,
    horizons: Iterable[int] = (),
) -> Prepared:
    """Scans a source that `discover` has found, where it has changed, before anything is made; `stage` takes the scan over.

    Args:
        removed: what is done with staged rows that the source no longer holds; None stops where there are any.
        cutoff, horizons: whose rhythm is measured, see `survey.rhythms`.

    Raises BadInput for implausible days and for a source that has shrunk; then the home, or its absence, is as it was.
    """
    if source.simulator or (
        _staged_fingerprint(settings) == _fingerprint(settings, source) and not (removed == "drop" and manifest(settings)["kept"])
    ):
        return Prepared(source, [])
    try:
        with folders.turn(settings):
            con = _scan(settings, source, removed)
            try:
                lost = _judge(settings, con, source, removed)
                days = [dt.date.fromisoformat(d) for d in growth.source_rows(con)]
                if removed == "keep":
                    days += lost.rows
                if removed != "drop" and is_staged(settings):
                    days += map(dt.date.fromisoformat, manifest(settings).get("kept", {}))
                home = source_config.of_home(settings) if (settings.home / "source.yaml").exists() else None
                if days:
                    source = source.model_copy(update=_days(settings, home, growth.clipped(source.span, min(days), max(days))))
                notes = growth.schema(home.profile_schema, _attributes(settings, con, source))[1] if home else []
                left_out = [*erased.note(con), *expired.note(settings, con)]
                with _asked(settings, con) as asked:
                    measured = survey.rhythms(asked, source.days, cutoff, horizons) if horizons else []
                users = counts.users(con)
            finally:
                con.close()
    except BaseException:
        discard(settings)
        raise
    return Prepared(source, [*notes, *left_out, *([_lost_note(lost, removed)] if lost.rows else [])], measured, users)


def discard(settings: Settings) -> None:
    """Takes back what `prepare` has left; a folder that is no home yet, and holds nothing else, goes with it."""
    folders.clear(settings)
    if not (settings.home / "source.yaml").exists():
        with contextlib.suppress(OSError):
            (settings.home / "locks" / "staging.lock").unlink()
            (settings.home / "locks").rmdir()
            settings.home.rmdir()


def renew(settings: Settings, removed: Removed | None = None) -> list[str]:
    """Lets a home follow the files of its source, where they have changed; says what changes. Raises BadInput as `prepare`."""
    prepared = prepare(settings, discover(settings, source_config.of_home(settings)), removed=removed)
    _follow(settings, prepared.source)
    return prepared.notes


def _lost_note(lost: Loss, removed: Removed | None) -> str:
    what = "stay in the home" if removed == "keep" else "leave the home"
    return f"{sum(lost.rows.values()):,} events of {len(lost.rows):,} days that the source no longer holds {what}"


def _attributes(settings: Settings, con: duckdb.DuckDBPyConnection, source: SourceConfig) -> dict[str, str]:
    profile = pulls.local(source, settings.pulled).profile
    return profile_attributes(con, profile) if profile else {}


def _scan(settings: Settings, source: SourceConfig, removed: Removed | None) -> duckdb.DuckDBPyConnection:
    """Scans a source into the work folder, and leaves beside it what the scan is of."""
    folders.clear(settings)
    work = folders.work(settings)
    (work / "tmp").mkdir(parents=True)
    about = {"fingerprint": _fingerprint(settings, source), "removed": removed}  # before: what changes meanwhile is scanned again
    con = open_scan(settings, source)
    try:
        span = expired.kept_days(settings, source.span or EVER)
        with pulls.origins_named(source, settings.pulled):
            files = pulls.local(source, settings.pulled).model_copy(update={"span": span})
            scan.scan(con, files) if settings.engine == "duckdb" else workers.read(settings, con, files, work / workers.ROWS)
        if users := erased.among(settings, scan.user_ids(con)):
            scan.leave_aside(con, users)
            if erased.leave_out_of_pulled(settings, users):
                about["fingerprint"] = _fingerprint(settings, source)
        with _asked(settings, con) as asked:
            totals.make_all(asked)
    except BaseException:
        con.close()
        raise
    (work / folders.SCANNED).write_text(json.dumps(about))
    return con


def _asked(settings: Settings, con: duckdb.DuckDBPyConnection) -> contextlib.AbstractContextManager[totals.Asked]:
    """Who answers what is asked of all rows of a scan in the work folder."""
    return spread.asked(settings, con, folders.work(settings) / workers.ROWS)


EVER = Span(start=dt.date(1, 1, 2), end=dt.date(9999, 12, 30))
"""The days of a scan where the source file asks for none: implausible ones are asked about, see `survey.check_days`."""


def open_scan(settings: Settings, source: SourceConfig) -> duckdb.DuckDBPyConnection:
    """The database of a scan in the work folder: it reaches the source's files and what is staged, nothing else."""
    work = folders.work(settings)
    con = lake.connect(settings.duckdb_memory, temp=work / "tmp", database=str(work / "scan.duckdb"))
    sandbox.lock_source(con, pulls.local(source, settings.pulled), [work, settings.staging])
    return con


def _prepared(settings: Settings, source: SourceConfig) -> tuple[bool, Removed | None]:
    """Whether the work folder holds a scan of this very source, and what was decided for it."""
    path = folders.work(settings) / folders.SCANNED
    about = json.loads(path.read_text()) if path.exists() else {}
    return about.get("fingerprint") == _fingerprint(settings, source), about.get("removed")


def _judge(settings: Settings, con: duckdb.DuckDBPyConnection, source: SourceConfig, removed: Removed | None) -> Loss:
    """What the home would lose by this scan. Raises BadInput for an empty channel, for implausible days, and for a loss about which
    nothing was decided; a source with too many bad rows is not staged anyway."""
    channels = counts.report(con)
    for channel in source.channels:
        if not any(c.channel == channel and c.rows for c in channels):
            raise BadInput(f"channel {channel!r} is empty: no rows are left in the source; what was staged before stays.")
    check_plausible(con, source)
    if not is_staged(settings) or counts.bad_share(channels) > settings.quarantine_threshold:
        return Loss()
    before = growth.staged_rows(con, settings.staging, manifest(settings))
    lost = growth.loss(before, growth.source_rows(con), source)
    if lost.rows and removed is None:
        raise BadInput(lost.sentence())
    if removed == "drop" and (held := holds.any_of_events(settings)) is not None:
        raise BadInput(
            f"The legal hold {held!r} keeps what this home has taken in: say `--removed keep`, or end it with "
            f"`found hold remove {held}`."
        )
    return lost


def check_plausible(con: duckdb.DuckDBPyConnection, source: SourceConfig) -> None:
    """Raises BadInput for days, ids or texts of a scan that are hardly meant."""
    if not source.span:
        survey.check_days(con)
    review.check_shares(con, source)


def stage(settings: Settings) -> StageReport:
    """Stages the good rows of the home's source by day, from the scan that `prepare` has left or from one of its own; bad rows
    become the quarantine table. The days and attributes of the home follow.

    Raises BadInput as `prepare`; what was staged before stays then.
    """
    timer = lake.Timer()
    home = source_config.of_home(settings)
    source = simulator.generate(settings, home) if home.simulator else home
    with folders.turn(settings):
        scanned, removed = _prepared(settings, source)
        try:
            con = open_scan(settings, source) if scanned else _scan(settings, source, None)
            try:
                lost = Loss() if home.simulator else _judge(settings, con, source, removed if scanned else None)
                schema, _ = growth.schema(home.profile_schema, _attributes(settings, con, source))
                home = home.model_copy(update={"profile_schema": schema})
                report, days = _stage(settings, con, source.model_copy(update={"profile_schema": schema}), lost, removed, timer)
            finally:
                con.close()
            if report.staged:
                folders.swap(settings)
                if days and not home.simulator:
                    home = home.model_copy(update=_days(settings, home, growth.clipped(home.span, min(days), max(days))))
                _follow(settings, home)
        finally:
            folders.clear(settings)
    return report


def _stage(
    settings: Settings, con: duckdb.DuckDBPyConnection, source: SourceConfig, lost: Loss, removed: Removed | None, timer: lake.Timer
) -> tuple[StageReport, list[dt.date]]:
    """Writes the quarantine table and, where few enough rows are bad, the days. Returns the report and the days with rows."""
    channels, refused = counts.report(con), counts.quarantined(con)
    about_profile = ProfileReport()
    if (entry := pulls.local(source, settings.pulled).profile) is not None:
        bad, about_profile = read_profile(con, entry, source.profile_schema or {})
        erased.leave_out_of_profile(settings, con)
        refused = pa.concat_tables([refused, bad.select(refused.column_names)])
    lake.replace(settings.lake, "quarantine", refused.select(QUARANTINE.names).cast(QUARANTINE), schema=QUARANTINE)
    share = round(counts.bad_share(channels), 6)
    equal = counts.equal_rows(con)
    staged = max(share, about_profile.bad_share) <= settings.quarantine_threshold
    written = (
        folders.write(settings, con, entry is not None, source, _fingerprint(settings, source), lost, removed)
        if staged
        else {"days": {}, "kept": {}}
    )
    kept = sum(written["kept"].values())
    report = StageReport(channels, equal, about_profile, share, staged, timer.seconds, sum(lost.rows.values()), kept)
    return report, [dt.date.fromisoformat(d) for d in written["days"]]
