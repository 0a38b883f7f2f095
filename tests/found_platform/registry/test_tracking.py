"""MLflow's database of a home is there with all its tables, or not at all."""

import sqlite3
from pathlib import Path

import pytest

from found_platform.registry import tracking
from found_platform.settings import Settings


def test_a_database_that_was_made_in_part_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was killed among MLflow's migrations leaves columns that the next one adds again."""
    settings = Settings.load(tmp_path / "home", profile="tiny")
    settings.home.mkdir()
    make_tables = tracking.make_tables

    def dies(uri: str) -> None:
        make_tables(uri)
        with sqlite3.connect(uri.removeprefix("sqlite:///")) as con:
            con.execute("UPDATE alembic_version SET version_num = (SELECT '451aebb31d03')")  # the first migration alone
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tracking, "make_tables", dies)
        with pytest.raises(KeyboardInterrupt):
            tracking.client(settings)
    assert not tracking.exists(settings)
    assert [experiment.name for experiment in tracking.client(settings).search_experiments()] == ["Default"]
    assert [path.name for path in (settings.home / "mlflow").iterdir()] == ["mlflow.db"]
