"""What a full run begins in forks, before its turn, comes out as it would in one process."""

import datetime as dt
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from dagster_defs import beside as early
from found_platform import lake, registry, workers
from found_platform.evaluation import beside, scenarios
from found_platform.evaluation import run as benchmark
from found_platform.evaluation.extent import QUICK
from found_platform.monitoring import drift
from found_platform.settings import Settings
from found_platform.sources import config

METHODS = ("labelled_ceiling", "gbdt_aggregates", "tfidf_activity")
"""One that is fitted on most of the labels, and two probes: an early fork fits all of its methods in the same way."""


@pytest.fixture
def home(settings: Settings, tmp_path: Path) -> Settings:
    return Settings.load(Path(shutil.copytree(settings.home, tmp_path / "found")))


@pytest.mark.slow
def test_fits_of_a_benchmark_that_begin_early_change_no_figure(home: Settings, cutoff: dt.date) -> None:
    version, (tasks, _) = registry.of_cutoff(home, str(cutoff)), scenarios.load(home, cutoff)
    most = sorted(tasks, key=lambda task: -int(task.labels.sum()))[:2]
    extent = replace(QUICK, methods=METHODS, scenarios=[task.name for task in most])
    chosen = extent.selection(tasks)
    tables, reads = [], []
    with workers.beside():
        beside.begin(home, cutoff, version, chosen, extent, "early")
        for made_of in ("early", "alone"):
            with lake.recorded_reads() as read:
                tables.append(benchmark.run(home, cutoff, version, tasks, extent, made_of)[1])
            reads.append({table: number for table, number in read.items() if table != "benchmark_results"})
            assert not any(home.home in key for key in beside._begun)  # of other tests some may be left
    early, alone = tables
    assert {*METHODS} == {*early["method"].to_pylist()}
    assert early.equals(alone)
    assert reads[0] == reads[1], "the fingerprint counts what forks read"


@pytest.mark.slow
def test_a_look_at_drift_that_begins_early_says_the_same(home: Settings) -> None:
    day = config.of_home(home).days[1] - dt.timedelta(days=1)
    reports, reads = [], []
    with workers.beside():
        drift.begin(home, day, "early")
        for made_of in ("early", "alone"):
            with lake.recorded_reads() as read:
                reports.append(drift.of(home, day, made_of))
            reads.append(read)
            assert not any(home.home in key for key in drift._begun)
    assert reports[0] == reports[1]
    assert reports[0].html is not None, "Evidently has judged"
    assert reads[0] == reads[1] != {}


def test_what_a_failed_run_has_begun_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, other = Settings.load(tmp_path / "own"), Settings.load(tmp_path / "other")
    monkeypatch.setattr(beside, "_begun", {(each.home, dt.date(2026, 1, 1), "1", "", ""): [] for each in (own, other)})
    monkeypatch.setattr(drift, "_begun", {})
    with workers.beside(), early.a_run(own):
        for each in (own, other):
            drift.begin(each, dt.date(2026, 1, 1), "")
    assert [key[0] for key in beside._begun] == [key[0] for key in drift._begun] == [other.home]
