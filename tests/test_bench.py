"""The table of `make bench`: goals are judged as they are written, and the page takes it between its marks."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from found_platform.evaluation import extent, methods

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def script(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"bench_{name}", BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


bench, labelled = script("all"), script("labelled")


@pytest.mark.parametrize(
    ("value", "goal", "verdict"),
    [
        (2.0, ">= 2", "met"),
        (1.9, ">= 2", "**missed**"),
        (0.4, "<= 0.5", "met"),
        (0.6, "<= 0.5", "**missed**"),
        (1.0, "= 1", "met"),
        (1.1, "= 1", "**missed**"),
        (1.15, "about 1", "met"),
        (1.3, "about 1", "**missed**"),
        (7.0, "none", ""),
    ],
)
def test_a_goal_is_judged_as_it_is_written(value: float, goal: str, verdict: str) -> None:
    assert bench.Row("x", "y", value, goal).verdict == verdict


def test_the_page_of_benchmarks_takes_the_table_between_its_marks() -> None:
    page = bench.PAGE.read_text()
    written = bench.into_page(page, bench.table([bench.Row("texts", "ours / theirs", 1.5, ">= 1.2")]))
    assert "| texts | ours / theirs | 1.5 | >= 1.2 | met |" in written
    assert written.startswith(page.split(bench.BEGIN)[0])
    assert written.endswith(page.split(bench.END)[1])


def test_every_script_of_the_table_is_there_and_writes_its_goals() -> None:
    for name in bench.SCRIPTS:
        source = (BENCHMARKS / f"{name}.py").read_text()
        assert f"build/bench-{name}.json" in source
        assert "goals" in source
        assert "--small" in source


def test_what_is_timed_beside_the_quick_table_is_every_method_that_needs_no_training() -> None:
    names = labelled.untrained().split(",")
    extent.check_methods(names)
    assert {"auto", "found", "labelled_ceiling", "few_shot", "oracle"} <= set(names)
    assert not {m.name for m in methods.registry() if getattr(m, "slow", False)} & set(names)
