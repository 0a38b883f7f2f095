"""A benchmark that was not finished: what its methods answered so far, so that the next run goes on from there.

Figures lie in a file of the home, scores of users in their table of the lake (`scores`), where a person can be forgotten.
"""

import datetime as dt
import json
import time
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from found_platform import lake
from found_platform.evaluation import scores
from found_platform.evaluation.judging import Answered, Unit
from found_platform.evaluation.scenario import Scenario
from found_platform.home import write_whole
from found_platform.settings import Settings

SECONDS = 15.0
"""Between two times at which answers are kept: each is a commit of the lake, and at most so much is lost to whoever is killed."""

Figures = dict[str, Any]
"""Of one method of a task: its name, its task, and by scenario the metrics of its draws and the AUCs of other wordings."""


class Unfinished:
    """The answers of a run, kept as they come. A run of other inputs or of another extent starts afresh."""

    def __init__(self, settings: Settings, cutoff: dt.date, scenarios: list[Scenario], made_of: str):
        self._settings, self._cutoff, self._scenarios, self._made_of = settings, cutoff, scenarios, made_of
        self._path = settings.home / "benchmark" / f"unfinished-{cutoff}.json"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._waiting: list[Answered] = []
        self._written = time.monotonic()
        self.units: dict[Unit, list[Figures]] = self._kept()
        self._forget_scores_of_others()

    def _kept(self) -> dict[Unit, list[Figures]]:
        if not (self._made_of and self._path.exists()):
            return {}
        content = json.loads(self._path.read_text())
        return content["units"] if content["made_of"] == self._made_of else {}

    def _forget_scores_of_others(self) -> None:
        """Leaves the scores of those alone whose figures are kept."""
        if not lake.exists(self._settings.lake, scores.TABLE):
            return
        methods = [f"{f['task']} {f['method']}" for figures in self.units.values() for f in figures]
        rows = scores.SCHEMA.empty_table()
        if methods:
            rows = scores.read(self._settings, self._cutoff)
            names = pc.binary_join_element_wise(rows["task"], rows["method"], " ")  # pyright: ignore
            rows = rows.filter(pc.is_in(names, pa.array(methods)))  # pyright: ignore
        scores.replace(self._settings, self._cutoff, rows)

    def add(self, unit: Unit, answered: list[Answered]) -> None:
        """Keeps what a unit answered, at once or with what follows within SECONDS."""
        by_name = {scenario.name: scenario for scenario in self._scenarios}
        self.units[unit] = [figures_of(a, by_name) for a in answered]
        self._waiting += answered
        if time.monotonic() - self._written > SECONDS:
            self.write()

    def write(self) -> None:
        """Keeps what waits to be kept."""
        if table := scores.as_table(self._cutoff, self._waiting, self._scenarios):
            scores.append(self._settings, table)
        write_whole(self._path, json.dumps({"made_of": self._made_of, "units": self.units}))
        self._waiting, self._written = [], time.monotonic()

    def finish(self) -> None:
        """There is nothing to go on with any more."""
        self._path.unlink(missing_ok=True)


def figures_of(answered: Answered, scenarios: dict[str, Scenario]) -> Figures:
    """The metrics of every draw of a method, by scenario."""
    return {
        "method": answered.method,
        "task": answered.task,
        "scenarios": {
            name: {"draws": [draw.metrics(scenarios[name]) for draw in answer.draws], "reworded": list(answer.reworded)}
            for name, answer in answered.answers.items()
        },
    }
