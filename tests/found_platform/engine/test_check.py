"""What an engine must be able to do is checked before a long run: each thing that does not hold is a sentence."""

import contextlib
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from found_platform import engine
from found_platform.engine import checks
from found_platform.errors import BadInput
from found_platform.settings import Settings


def settings_of(home: Path, address: str) -> Settings:
    return Settings.load(home, profile="tiny", engine=address)


def test_an_engine_that_can_is_told_in_a_line(tmp_path: Path, address: str) -> None:
    assert engine.check(settings_of(tmp_path, address)) == (
        f"Spark 4.0.1 at {address}: UTC, reads and writes the lake, and computes what DuckDB computes"
    )
    assert list((tmp_path / "tmp").iterdir()) == []
    assert "in this process, within 4GB" in engine.check(settings_of(tmp_path, "duckdb"))


def test_nobody_at_the_address(tmp_path: Path, sail: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from found_platform.engine import spark_connect

    monkeypatch.setattr(spark_connect, "SECONDS", 1)
    with socket.socket() as silent:  # listens, and answers nothing
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"sc://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(BadInput, match=rf"No engine answers at {address} within 1 seconds: start it, correct FOUND_ENGINE"):
            engine.check(settings_of(tmp_path, address))


def test_without_the_extra_the_next_step_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(BadInput, match=r"needs the extra `scale`: pip install"):
        engine.of(settings_of(tmp_path, "sc://localhost:1"))


def test_an_address_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"The setting engine \(FOUND_ENGINE, or .*\) is 'spark://host'"):
        settings_of(tmp_path, "spark://host")


def elsewhere_of(settings: Settings, opened: Any) -> Any:
    """An engine whose machines have other files at the path of the lake."""
    from found_platform.engine.spark_connect import SparkConnect, failures

    class Elsewhere(SparkConnect):
        def table(self, name: str, version: int | None = None, days: Any = None) -> None:
            with failures(self.name):
                self.session.read.schema("user_key STRING").parquet("/elsewhere/rows.parquet").createOrReplaceTempView(name)

    return Elsewhere(settings, opened.session)


class Other:
    """A real engine of which one thing is otherwise."""

    def __init__(self, opened: Any, **otherwise: Any):
        self._opened, self._otherwise = opened, otherwise

    def __getattr__(self, name: str) -> Any:
        return self._otherwise.get(name) or getattr(self._opened, name)


def test_an_engine_that_is_too_old_reads_another_zone_or_sees_another_lake_is_refused(tmp_path: Path, address: str) -> None:
    settings = settings_of(tmp_path, address)
    with contextlib.closing(engine.of(settings)) as opened:
        old: Any = Other(opened, session=Other(opened.session, version="3.5.1"))
        with pytest.raises(BadInput, match=r"speaks Spark 3\.5\.1, which is too old: it must be 4\.0 or newer"):
            checks.checked(settings, old)
        elsewhere: Any = Other(opened, of=lambda s: elsewhere_of(s, opened))
        with pytest.raises(BadInput, match=r"(cannot read|sees 0 rows in) .*: every machine of it must see the home's files at"):
            checks.checked(settings, elsewhere)
        opened.session.conf.set("spark.sql.session.timeZone", "Europe/Berlin")
        with pytest.raises(BadInput, match=r"reads times in the zone Europe/Berlin, not in UTC"):
            checks.checked(settings, opened)


def test_an_engine_that_computes_other_rows_is_refused(tmp_path: Path, sail: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([[{"n": 1}], [{"n": 2}]])
    probe: Callable[..., Any] = lambda _: next(answers)  # noqa: E731
    monkeypatch.setattr(checks, "_answers", probe)
    with pytest.raises(BadInput, match=r"computes other rows than DuckDB: \[\{'n': 2\}\] where DuckDB has \[\{'n': 1\}\]"):
        engine.check(settings_of(tmp_path, sail))
