"""Connections to Dagster's records: few are opened, all are closed with the instance, and others read what was written at once."""

import contextlib
import os
import sqlite3
from pathlib import Path

import dagster as dg
import pytest

from dagster_defs import connections, event_batches


@dg.asset
def a() -> int:
    return 1


def _open_files(folder: Path) -> set[str]:
    """The SQLite files below a folder that this process has open."""
    links = (Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd"))
    targets = (os.readlink(link) for link in links if link.is_symlink())
    return {Path(t).name for t in targets if t.startswith(str(folder)) and t.endswith(".db")}


def _materialize(instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    with_io = {"io_manager": dg.InMemoryIOManager()}
    return dg.materialize([a], instance=instance, resources=with_io)


def test_a_run_opens_a_file_once_and_the_instance_closes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    connect = sqlite3.dbapi2.connect

    def count(database: str, *args: object, **options: object) -> sqlite3.Connection:
        opened.append(Path(database).name)
        return connect(database, *args, **options)  # pyright: ignore

    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        event_batches.install(instance)
        connections.install(instance)
        assert _materialize(instance).success  # the tables are made, and copied from here on
        monkeypatch.setattr(sqlite3.dbapi2, "connect", count)
        run = _materialize(instance)
        assert run.success
        assert len(opened) <= 3, "of the run, of all runs, and of their table where it is not open yet"
        assert f"{run.run_id}.db" in _open_files(tmp_path)
        with contextlib.closing(sqlite3.connect(tmp_path / "history" / "runs" / f"{run.run_id}.db")) as other:
            assert other.execute("SELECT count(*) FROM event_logs").fetchone()[0] == len(instance.all_logs(run.run_id))
    assert _open_files(tmp_path) == set()
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        assert len(instance.fetch_materializations(dg.AssetKey("a"), limit=9).records) == 2


def test_so_many_files_stay_open_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST", 2)
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        event_batches.install(instance)
        connections.install(instance)
        runs = [_materialize(instance).run_id for _ in range(3)]
        own = {name for name in _open_files(tmp_path) if name.removesuffix(".db") in runs}
        assert len(own) <= 2
        for run in runs:
            assert instance.all_logs(run)
            assert {record.dagster_run.run_id for record in instance.get_run_records()} == set(runs)
