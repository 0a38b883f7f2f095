"""The page of a benchmark: what is on it, in which order, and that it is read offline and names nobody."""

import datetime as dt
import html
import re
import shutil
from pathlib import Path

import pyarrow.dataset as pad
import pytest
from conftest import copy_of

from found_platform import lake, reports, workers
from found_platform.app import process
from found_platform.evaluation import methods, over_time, report, scores
from found_platform.evaluation.run import TABLE
from found_platform.settings import Settings


@pytest.fixture(scope="module")
def reported(settings: Settings, cutoff: dt.date, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A copy of the demo's home with the page of its benchmark."""
    copy = copy_of(settings, tmp_path_factory.mktemp("report"))
    shutil.copytree(settings.truth, copy.truth)
    assert report.write(copy, cutoff) is not None
    return copy


@pytest.fixture(scope="module")
def page(reported: Settings, cutoff: dt.date) -> str:
    return report.path(reported, cutoff).read_text()


def test_the_page_says_what_every_method_is_and_has_the_honest_rows_on_top(page: str, settings: Settings, cutoff: dt.date) -> None:
    answered = set(scores.read(settings, cutoff, ["method"])["method"].to_pylist())
    for method in methods.registry():
        assert (f"<td>{html.escape(method.about)}</td>" in page) == (method.name in answered), method.name
    tables = page.split("<h2>")[1:]
    first = {
        heading: re.findall(r'<tr class="(\w*)"><td>([^<]+)</td>', table) for table in tables for heading in [table.split("<")[0]]
    }
    for heading, ours in (("zero-shot", "auto"), ("probes", "found")):
        sorts = [sort for sort, _ in first[heading]]
        assert sorts[: sorts.count("honest")] == ["honest"] * sorts.count("honest")
        assert ("ours", ours) in first[heading]
    assert {"ROC", "Precision by reach", "Calibration", "AUC by scenario", "How to read it"} <= set(first)
    assert {"Seeds and tuned prompts", "Users by attribute"} <= set(first)


def test_the_page_is_read_offline_and_names_nobody(page: str, settings: Settings, cutoff: dt.date) -> None:
    assert not re.findall(r"""(?:src|href)=["'](?!data:|classification-|over-time)""", page)
    assert "<script" not in page
    for user in scores.read(settings, cutoff, ["user_key"])["user_key"].unique().to_pylist()[:20]:
        assert user not in page


def test_every_scenario_has_evidentlys_page(page: str, reported: Settings, cutoff: dt.date) -> None:
    scenarios = set(scores.read(reported, cutoff, ["scenario"])["scenario"].to_pylist())
    linked = dict(re.findall(r'<a href="(classification-\d+\.html)">([^<]+)</a>', page))
    assert set(linked.values()) == scenarios
    assert all((report.path(reported, cutoff).parent / name).stat().st_size > 100_000 for name in linked)
    assert all(reports.path(reported.home, reports.BENCHMARK, f"{cutoff} {scenario}").exists() for scenario in scenarios)


def test_mlflow_has_the_figures_and_the_pictures(reported: Settings) -> None:
    from found_platform.registry import artifacts, benchmark_runs, tracking

    client = tracking.client(reported)
    experiment = client.get_experiment_by_name(benchmark_runs.EXPERIMENT)
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert {"zero_shot/auto/auc", "linear_probe/found/auc"} <= set(run.data.metrics)
    files = {path.name for path in artifacts.place(reported, str(run.info.artifact_uri)).iterdir()}
    assert {"roc.png", "calibration.png", "seeds-and-tuned-prompts.png", "users-by-attribute.png", "report.html"} <= files


DAYS = [dt.date(2026, 1, 1), dt.date(2026, 2, 1)]
AUTO = ("zero_shot", "auto")


def test_figures_of_several_cutoffs_are_drawn_and_judged_for_drift(tmp_path: Path) -> None:
    scenarios = [f"s{number}" for number in range(12)]
    rows = {
        day: {AUTO: {s: 0.6 + shift + 0.01 * place for place, s in enumerate(scenarios)}}
        for day, shift in zip(DAYS, (0, 0.2), strict=True)
    }
    assert over_time.picture(rows, {AUTO: "#1f6feb"}).startswith(b"\x89PNG")
    assert over_time.picture({DAYS[0]: rows[DAYS[0]]}, {AUTO: "#1f6feb"}) == b"", "one cutoff is no time"
    assert over_time.drift(rows, DAYS[0], tmp_path / "page.html", tmp_path) is None, "there is none before it"
    assert over_time.drift(rows, DAYS[1], tmp_path / "page.html", tmp_path) == DAYS[0]
    assert "auto (zero_shot)" in (tmp_path / "page.html").read_text()
    assert reports.path(tmp_path, reports.BENCHMARK, f"{DAYS[1]} over time").exists()


def test_maps_are_drawn_beside_the_page_and_are_the_same_picture_each_time(reported: Settings, cutoff: dt.date) -> None:
    results = report.Results(lake.read(reported.lake, TABLE, pad.field("cutoff") == cutoff).to_pylist())
    alone = {title: drawn() for title, drawn in report._maps(reported, cutoff, results).items()}
    with workers.beside(*process.FITS):
        beside, again = ({title: drawn() for title, drawn in report._maps(reported, cutoff, results).items()} for _ in range(2))
    assert list(alone) == list(beside) == [report.SEEDS, report.ATTRIBUTES]
    assert all(alone.values())
    assert beside == again
