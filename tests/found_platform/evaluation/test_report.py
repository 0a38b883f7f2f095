"""The page of a benchmark: what is on it, in which order, and that it is read offline and names nobody."""

import datetime as dt
import html
import re

import pytest
from conftest import copy_of

from found_platform.evaluation import methods, report, scores
from found_platform.settings import Settings


@pytest.fixture(scope="module")
def reported(settings: Settings, cutoff: dt.date, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A copy of the demo's home with the page of its benchmark."""
    copy = copy_of(settings, tmp_path_factory.mktemp("report"))
    assert report.write(copy, cutoff) is not None
    return copy


@pytest.fixture(scope="module")
def page(reported: Settings, cutoff: dt.date) -> str:
    return report.path(reported, cutoff).read_text()


def test_the_page_says_what_every_method_is_and_has_the_honest_rows_on_top(page: str, settings: Settings, cutoff: dt.date) -> None:
    answered = set(scores.read(settings, cutoff, ["method"])["method"].to_pylist())
    for method in methods.registry():
        assert (f"<td>{html.escape(method.about)}</td>" in page) == (method.name in answered)
    tables = page.split("<h2>")[1:]
    first = {
        heading: re.findall(r'<tr class="(\w*)"><td>([^<]+)</td>', table) for table in tables for heading in [table.split("<")[0]]
    }
    for heading, ours in (("zero-shot", "auto"), ("probes", "found")):
        sorts = [sort for sort, _ in first[heading]]
        assert sorts[: sorts.count("honest")] == ["honest"] * sorts.count("honest")
        assert ("ours", ours) in first[heading]
    assert {"ROC", "Precision by reach", "Calibration", "AUC by scenario", "How to read it"} <= set(first)


def test_the_page_is_read_offline_and_names_nobody(page: str, settings: Settings, cutoff: dt.date) -> None:
    assert not re.findall(r"""(?:src|href)=["'](?!data:|classification-)""", page)
    assert "<script" not in page
    for user in scores.read(settings, cutoff, ["user_key"])["user_key"].unique().to_pylist()[:20]:
        assert user not in page


def test_every_scenario_has_evidentlys_page(page: str, reported: Settings, cutoff: dt.date) -> None:
    scenarios = set(scores.read(reported, cutoff, ["scenario"])["scenario"].to_pylist())
    linked = dict(re.findall(r'<a href="(classification-\d+\.html)">([^<]+)</a>', page))
    assert set(linked.values()) == scenarios
    assert all((report.path(reported, cutoff).parent / name).stat().st_size > 100_000 for name in linked)
