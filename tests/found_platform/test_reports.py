"""Reports in the Evidently workspace of a home: one a key, whole, its owner's alone, opened by Evidently wherever the home lies."""

import datetime as dt
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from found_platform import reports
from found_platform.housekeeping import garbage, replaced
from found_platform.monitoring import drift
from found_platform.reports import BENCHMARK, FEATURE_DRIFT
from found_platform.settings import Settings

if TYPE_CHECKING:
    from litestar.testing import TestClient

DAY = dt.date(2026, 3, 1)


def snapshot_of(day: dt.date, seed: int = 0) -> Any:
    """Evidently's report of two features among a hundred users."""
    rng = np.random.default_rng(seed)
    current, reference = (pd.DataFrame({n: rng.integers(0, 9, 100) for n in ("events_7d", "events_28d")}) + 1.0 for _ in "ab")
    given: list[Any] = []
    drift.compare(current, reference, ["events_7d", "events_28d"], given.append, day)
    return given[0]


@pytest.fixture(scope="module")
def snapshot() -> Any:
    return snapshot_of(DAY)


@pytest.fixture
def served() -> "Callable[[Path], TestClient[Any]]":
    """Evidently's own server over a workspace, which nobody may write to."""
    from evidently.ui.service.app import create_app, get_config
    from litestar.testing import TestClient

    return lambda folder: TestClient(create_app(get_config(workspace=str(folder), secret="word")))


def test_evidently_shows_the_reports_of_a_home_also_where_it_was_moved(
    snapshot: Any, served: "Callable[[Path], TestClient[Any]]", tmp_path: Path
) -> None:
    reports.keep(tmp_path / "home", FEATURE_DRIFT, str(DAY), snapshot)
    reports.keep(tmp_path / "home", FEATURE_DRIFT, str(DAY + dt.timedelta(days=1)), snapshot)
    reports.keep(tmp_path / "home", BENCHMARK, f"{DAY} tents", snapshot)
    shutil.move(tmp_path / "home", tmp_path / "moved")
    with served(reports.folder(tmp_path / "moved")) as client:
        projects = {p["name"]: p["id"] for p in client.get("/api/projects").json()}
        assert projects == {name: str(reports.project_id(name)) for name in (FEATURE_DRIFT, BENCHMARK)}
        listed = client.get(f"/api{reports.pages(FEATURE_DRIFT)}").json()
        assert {(each["name"], each["id"]) for each in listed} == {
            (key, str(reports.run_id(FEATURE_DRIFT, key))) for key in ("2026-03-01", "2026-03-02")
        }
        assert listed[0]["timestamp"].startswith("2026-03-01T00:00"), "a report is of its day, not of when it was made"
        assert client.delete(f"/api/projects/{projects[FEATURE_DRIFT]}").status_code in (401, 403)


def test_a_report_that_is_made_again_takes_the_place_of_the_one_before(snapshot: Any, tmp_path: Path) -> None:
    reports.keep(tmp_path, FEATURE_DRIFT, str(DAY), snapshot)
    dashboard = reports.path(tmp_path, FEATURE_DRIFT, "").parents[1] / "dashboard.json"
    dashboard.write_text(dashboard.read_text().replace("PSI by day", "Ours"))
    before = reports.path(tmp_path, FEATURE_DRIFT, str(DAY)).read_bytes()
    reports.keep(tmp_path, FEATURE_DRIFT, str(DAY), snapshot_of(DAY, seed=1))
    ((file,), nothing) = reports.files(tmp_path)
    assert file.read_bytes() != before
    assert nothing == []
    assert "Ours" in dashboard.read_text(), "what a person changed of the dashboard stays"
    reports.forget(tmp_path, FEATURE_DRIFT, str(DAY))
    assert list(reports.files(tmp_path)) == [[], []]


def test_a_report_that_cannot_be_written_leaves_nothing(snapshot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(type(snapshot), "to_snapshot_model", fails)
    with pytest.raises(OSError, match="no space left"):
        reports.keep(tmp_path, FEATURE_DRIFT, str(DAY), snapshot)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_reports_are_their_owners_alone_and_hold_counts_of_users(snapshot: Any, tmp_path: Path) -> None:
    reports.keep(tmp_path, FEATURE_DRIFT, str(DAY), snapshot)
    assert all(not path.stat().st_mode & 0o077 for path in reports.folder(tmp_path).rglob("*"))
    results = json.loads(reports.path(tmp_path, FEATURE_DRIFT, str(DAY)).read_text())["metric_results"].values()
    rows = [value for result in results for value in numbers(result["widget"]) if isinstance(value, list)]
    assert rows
    assert max(map(len, rows)) < 100, "no list has an entry a user"


def numbers(part: Any) -> Iterator[Any]:
    """Everything in a document, lists too."""
    if isinstance(part, dict):
        for value in part.values():
            yield from numbers(value)
    else:
        yield part
        if isinstance(part, list):
            for value in part:
                yield from numbers(value)


def test_old_reports_go_but_the_newest_of_each_project(snapshot: Any, tmp_path: Path) -> None:
    settings = Settings.load(tmp_path)
    keys = [(FEATURE_DRIFT, "2026-03-01"), (FEATURE_DRIFT, "2026-03-02"), (BENCHMARK, "2026-03-01 tents")]
    for age, (project, key) in enumerate(reversed(keys)):
        reports.keep(tmp_path, project, key, snapshot)
        moment = time.time() - (200 + age) * 86_400
        os.utime(reports.path(tmp_path, project, key), (moment, moment))
    (collected,) = garbage.collect(settings, [replaced.PAGES], time.time(), dry_run=False)
    assert collected.pieces == 1
    assert collected.after < collected.before
    assert [reports.path(tmp_path, *key).exists() for key in keys] == [False, True, True]
