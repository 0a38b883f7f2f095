"""Homes that benchmarks compare models in: the graph as far as vectors of users, labels of some of them, rows of the benchmark."""

import datetime as dt
import json
import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from found_platform.app import graph
from found_platform.app.context import Actor, Context, account
from found_platform.app.progress import AssetDone, Event, Opened, Working
from found_platform.evaluation.scenario import MIN_CLASS, Scenario
from found_platform.home import write_whole
from found_platform.settings import Settings

ROWS = (
    *("oracle", "aligned", "late", "replay", "frozen_text", "activity_count"),
    *("activity", "tfidf_activity", "gbdt_aggregates", "untrained_activity"),
    *("stage1_activity", "concatenation_activity", "aligned_activity", "found"),
)
"""The methods that both curves ask: the parts of FOUND, and what they are held against."""

COLORS = {
    "aligned": "#1f6feb",
    "late": "#00a3a3",
    "replay": "#7b3fbf",
    "found": "#0b3d91",
    "stage1_activity": "#d9730d",
    "untrained_activity": "#e8b04a",
    "concatenation_activity": "#c2477f",
    "tfidf_activity": "#2a9d5c",
    "gbdt_aggregates": "#7a8793",
    "activity_count": "#b5bcc4",
}
"""The methods that figures draw, each always in its colour. The oracle is in the tables: it would leave the others no room."""


class _Embedded(Exception):
    """Everybody has a vector: what comes after it in the graph is not needed here."""


@dataclass(frozen=True)
class Embedded:
    """A home whose users have vectors at a cutoff, and the seconds that each asset took in this run."""

    settings: Settings
    cutoff: dt.date
    seconds: dict[str, float]


def embedded(home: Path, request: graph.Run) -> Embedded:
    """Runs the graph of a home as far as the vectors of its users; what is made is not made again."""
    seconds: dict[str, float] = {}
    cutoff = ""

    def tell(event: Event) -> None:
        nonlocal cutoff
        if isinstance(event, Opened):
            cutoff = str(event.cutoff)
        elif isinstance(event, Working):
            bar.set_postfix_str(event.on)
        elif isinstance(event, AssetDone):
            seconds[event.asset] = round(event.seconds, 1)
            bar.update()
            if event.asset == "user_embeddings":
                raise _Embedded

    with tqdm(desc=f"{home}", unit="asset", disable=None, leave=False) as bar:
        try:
            graph.run(Context(home, Actor(account(), "benchmarks"), tell), request)
        except _Embedded:
            return Embedded(Settings.load(home), dt.date.fromisoformat(cutoff), seconds)
    raise AssertionError("the graph has an asset `user_embeddings`")


def limited(scenarios: Collection[Scenario], labels: int) -> list[Scenario]:
    """Each scenario with labels of at most so many users, drawn by chance, as long as enough of either kind are among them."""
    parts = []
    for scenario in scenarios:
        users = len(scenario.user_keys)
        order = np.argsort(scenario.user_keys)  # keys are hashes: their order is by chance, and the same users lead everywhere
        places = np.sort(order[: min(labels, users)])
        kept = [None if part is None else part[places] for part in (scenario.oracle, scenario.hard)]
        users_kept = [scenario.user_keys[place] for place in places]
        part = replace(scenario, user_keys=users_kept, labels=scenario.labels[places], oracle=kept[0], hard=kept[1])
        if MIN_CLASS <= part.labels.sum() <= len(places) - MIN_CLASS:
            parts.append(part)
    return parts


def budget(settings: Settings, cutoff: dt.date) -> dict[str, dict[str, Any]]:
    """What training each stage of a cutoff took: users, rows, steps, passes over the rows, seconds."""
    stages = {}
    for name in ("behavior", "tabular", "align"):
        folder = settings.home / "training" / str(cutoff) / name
        if (folder / "outcome.json").exists():
            outcome, run = (json.loads((folder / file).read_text()) for file in ("outcome.json", "run.json"))
            steps, rows = outcome["step"], outcome["rows"]
            passes = round(steps * run["options"]["batch"] / rows, 2)
            figures = {
                "users": outcome["users"],
                "rows": rows,
                "steps": steps,
                "passes": passes,
                "seconds": round(outcome["seconds"]),
            }
            stages[name] = figures | {"seconds": round(outcome["seconds"])}
    return stages


def about_budget(stages: dict[str, dict[str, Any]]) -> str:
    """The same for people."""
    return "; ".join(
        f"{name}: {s['steps']} steps, {s['passes']} passes over {s['rows']:,} rows of {s['users']:,} users, {s['seconds']} s"
        for name, s in stages.items()
    )


class Points:
    """What has been measured, in a file of JSON: a killed run goes on with what is not there."""

    def __init__(self, path: Path):
        self._path = path
        self.all: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []

    def of(self, **key: Any) -> dict[str, Any] | None:
        """The point with these values, if it has been measured."""
        return next((point for point in self.all if all(point.get(name) == value for name, value in key.items())), None)

    def add(self, point: dict[str, Any]) -> None:
        """Keeps a point."""
        self.all.append(point)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self._path, json.dumps(self.all, indent=1))


def means(rows: Collection[dict[str, Any]], scenarios: Collection[str], metric: str = "auc") -> dict[tuple[str, str], float]:
    """By task and method, the mean of a metric over some scenarios, of the methods that answered all of them."""
    values: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if row["metric"] == metric and row["scenario"] in scenarios:
            values.setdefault((row["task"], row["method"]), []).append(row["value"])
    return {key: float(np.mean(of)) for key, of in values.items() if len(of) == len(scenarios)}


class Clock:
    """Minutes since it was made, for people."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    @property
    def minutes(self) -> float:
        return round((time.perf_counter() - self._start) / 60, 1)
