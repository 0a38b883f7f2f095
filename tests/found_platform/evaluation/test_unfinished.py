"""A benchmark that is killed is gone on with; one of other inputs starts afresh; names that there are not are refused."""

import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from found_platform import lake
from found_platform.errors import BadInput
from found_platform.evaluation import extent, scores
from found_platform.evaluation.judging import Answer, Answered, Draw
from found_platform.evaluation.scenario import Scenario
from found_platform.evaluation.unfinished import Unfinished
from found_platform.settings import Settings

CUTOFF = dt.date(2024, 2, 1)
LABELS = np.array([1, 0, 1, 0])
GOLD = Scenario("gold", "people who buy gold", ["a", "b", "c", "d"], LABELS, [])


def answered(method: str) -> Answered:
    draws = [Draw(np.array([0.9, 0.1, np.nan, 0.2]), 0.5, 0), Draw(np.array([np.nan, 0.1, 0.7, 0.8]), 0.4, 1)]
    return Answered(method, "linear_probe", {"gold": Answer(draws)})


def opened(home: Path, made_of: str = "same") -> Unfinished:
    return Unfinished(Settings(home=home), CUTOFF, [GOLD], made_of)


def killed_after_one(home: Path) -> None:
    first = opened(home)
    first.add("linear_probe one", [answered("one")])
    first.write()
    first.add("linear_probe two", [answered("two")])  # kept by nobody: the process ends here


def test_a_killed_run_goes_on_with_the_methods_that_are_missing(tmp_path: Path) -> None:
    killed_after_one(tmp_path)
    again = opened(tmp_path)
    assert list(again.units) == ["linear_probe one"]
    again.add("linear_probe two", [answered("two")])
    again.write()
    assert again.units["linear_probe one"][0]["scenarios"] == again.units["linear_probe two"][0]["scenarios"]
    rows = scores.read(again._settings, CUTOFF)
    assert sorted(set(rows["method"].to_pylist())) == ["one", "two"]
    assert rows.num_rows == 2 * len(GOLD.user_keys)
    by_user = {r["user_key"]: r for r in rows.to_pylist() if r["method"] == "one"}
    assert [by_user[user]["label"] for user in GOLD.user_keys] == LABELS.tolist()
    assert by_user["a"]["scores"] == [pytest.approx(0.9), None]
    assert by_user["c"]["thresholds"] == [pytest.approx(0.5), pytest.approx(0.4)]
    again.finish()
    assert not opened(tmp_path).units


def test_scores_whose_figures_were_not_kept_are_written_again_and_not_twice(tmp_path: Path) -> None:
    killed_after_one(tmp_path)
    settings = Settings(home=tmp_path)
    scores.append(settings, scores.as_table(CUTOFF, [answered("two")], [GOLD]))  # killed between the table and the file
    again = opened(tmp_path)
    assert set(scores.read(settings, CUTOFF)["method"].to_pylist()) == {"one"}
    assert list(again.units) == ["linear_probe one"]


def test_a_run_of_other_inputs_starts_afresh(tmp_path: Path) -> None:
    killed_after_one(tmp_path)
    assert not opened(tmp_path, "other labels").units
    assert lake.read(tmp_path / "lake", scores.TABLE).num_rows == 0


def test_a_method_or_a_scenario_that_there_is_not_is_refused_by_name() -> None:
    extent.check_methods(["found", "few_shot", "oracle"])
    with pytest.raises(BadInput, match=r"There is no method 'fund'.*found"):
        extent.check_methods(["found", "fund"])
    with pytest.raises(BadInput, match=r"There is no scenario 'gould'.*choose among gold"):
        extent.check_scenarios(["gould"], [GOLD])
