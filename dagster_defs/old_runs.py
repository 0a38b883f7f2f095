"""Old runs and ticks of a home's Dagster instance, which Dagster itself never removes.

What belongs here: which may go. A run whose materialisation is the newest of a partition stays, since its fingerprint says whether
the partition is up to date; its step events and captured output go by age like any other's.
"""

import datetime as dt
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import sqlalchemy as sql
from dagster import DagsterEventType
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable as Events
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.schedules.schema import JobTickTable as Ticks
from dagster._core.storage.tags import SENSOR_NAME_TAG

from dagster_defs.execution import open_instance
from dagster_defs.queueing import UNFINISHED
from found_platform.housekeeping.garbage import DAY, Garbage, Kind, free_pages, size_of
from found_platform.settings import Settings

FINISHED = [status for status in dg.DagsterRunStatus if status not in {*UNFINISHED, dg.DagsterRunStatus.QUEUED}]


def _runs(settings: Settings, now: float) -> Iterator[Garbage]:
    """Runs that ended `keep_runs_days` ago; of those that are the newest of something, the events of their steps."""
    if not settings.dagster_home.exists():
        return
    before = dt.datetime.fromtimestamp(now - settings.keep_runs_days * DAY, dt.UTC)
    with open_instance(settings) as instance:
        records = instance.get_run_records(dg.RunsFilter(statuses=FINISHED, updated_before=before))
        needed = _newest_of_a_partition(instance) | _newest_of_a_sensor(instance)
        for record in records:
            run_id = record.dagster_run.run_id
            files = _files(settings, instance, run_id)
            size = sum(map(size_of, files))
            if run_id not in needed:
                size += _size_of_events(instance, run_id)
                yield Garbage(size, lambda run_id=run_id, files=files: _forget(instance, run_id, files))
            elif files:
                yield Garbage(size, lambda files=files: _remove(files), counts=0)
        for path in settings.dagster_home.glob("storage/*"):  # of runs that were removed by hand, in the UI
            if path.stat().st_mtime < before.timestamp() and not instance.has_run(path.name):
                yield Garbage(size_of(path), lambda path=path: _remove([path]))
    yield from free_pages(settings.dagster_home / "history" / "runs" / "index.db")
    yield from free_pages(settings.dagster_home / "history" / "runs.db")


def _newest_of_a_partition(instance: dg.DagsterInstance) -> set[str]:
    """The runs of the newest materialisation of each partition of each asset."""
    of_kind = Events.c.dagster_event_type == DagsterEventType.ASSET_MATERIALIZATION.value
    newest = sql.select(sql.func.max(Events.c.id)).where(of_kind).group_by(Events.c.asset_key, Events.c.partition)
    with instance.event_log_storage.index_connection() as con:  # pyright: ignore[reportAttributeAccessIssue]
        rows = con.execute(sql.select(Events.c.run_id).where(Events.c.id.in_(newest)).distinct()).fetchall()
    return {run_id for (run_id,) in rows}


def _newest_of_a_sensor(instance: dg.DagsterInstance) -> set[str]:
    """A sensor's newest run tells by its key what was asked for already."""
    newest: dict[str, str] = {}
    for record in instance.get_run_records(dg.RunsFilter(tags={SENSOR_NAME_TAG: _sensors(instance)})) if _sensors(instance) else ():
        newest.setdefault(record.dagster_run.tags[SENSOR_NAME_TAG], record.dagster_run.run_id)  # they come newest first
    return set(newest.values())


def _sensors(instance: dg.DagsterInstance) -> list[str]:
    return sorted({name for _, names in instance.get_run_tags([SENSOR_NAME_TAG]) for name in names})


def _files(settings: Settings, instance: dg.DagsterInstance, run_id: str) -> list[Path]:
    """The log of a run by itself, and what its steps printed; on Postgres a run has no file of its own."""
    files = [settings.dagster_home / "storage" / run_id]
    if isinstance(storage := instance.event_log_storage, SqliteEventLogStorage):
        log = Path(storage.path_for_shard(run_id))
        files += [log, *(log.with_name(log.name + end) for end in ("-wal", "-shm", "-journal"))]
    return [path for path in files if path.exists()]


def _size_of_events(instance: dg.DagsterInstance, run_id: str) -> int:
    with instance.event_log_storage.index_connection() as con:  # pyright: ignore[reportAttributeAccessIssue]
        total = sql.select(sql.func.sum(sql.func.length(Events.c.event))).where(Events.c.run_id == run_id)
        return int(con.execute(total).scalar() or 0)


def _forget(instance: dg.DagsterInstance, run_id: str, files: list[Path]) -> None:
    """The run's own row goes last: while it is there, the next collection meets it again."""
    instance.event_log_storage.delete_events(run_id)
    _remove(files)
    instance.run_storage.delete_run(run_id)


def _remove(files: list[Path]) -> None:
    for path in files:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _ticks(settings: Settings, now: float) -> Iterator[Garbage]:
    """Ticks of schedules and sensors, but for the newest of each, and evaluations of automation."""
    if not settings.dagster_home.exists():
        return
    before = now - settings.keep_versions_days * DAY
    newest = sql.select(sql.func.max(Ticks.c.id)).group_by(Ticks.c.selector_id)
    old = sql.and_(Ticks.c.timestamp < dt.datetime.fromtimestamp(before, dt.UTC).replace(tzinfo=None), Ticks.c.id.not_in(newest))
    with open_instance(settings) as instance:
        storage = instance.schedule_storage
        assert storage is not None
        with storage.connect() as con:  # pyright: ignore[reportAttributeAccessIssue]
            total = sql.select(sql.func.count(), sql.func.sum(sql.func.length(Ticks.c.tick_body))).where(old)
            count, size = con.execute(total).one()

        def purge() -> None:
            with storage.connect() as con:  # pyright: ignore[reportAttributeAccessIssue]
                con.execute(Ticks.delete().where(old))
            storage.purge_asset_evaluations(before)

        yield Garbage(int(size or 0), purge, counts=count)
    yield from free_pages(settings.dagster_home / "schedules" / "schedules.db")


def _history(settings: Settings) -> int:
    return size_of(settings.dagster_home / "history") + size_of(settings.dagster_home / "storage")


RUNS = Kind("runs", "of long ago, and their logs", _history, _runs)
TICKS = Kind("ticks", "of schedules and sensors", lambda s: size_of(s.dagster_home / "schedules"), _ticks)
