"""Walk-forward: the benchmark at several cutoffs, with a model that is trained at each and with the first one kept.

    .venv/bin/python benchmarks/walk_forward.py [--cutoffs 5] [--every 28]                          (simulates a population)
    .venv/bin/python benchmarks/walk_forward.py --source SOURCE --labels LABELS --scenarios SCENARIOS [--cutoffs 5]

Runs the graph of one home as far as vectors of users at each cutoff, the oldest first, and asks the benchmark there: of the model
trained at this cutoff, and of the first cutoff's model on what users did since. Writes `build/walk-forward.json` and
`docs/walk-forward.png`, and prints the table. What is measured is not measured again: a killed run goes on.
"""

import argparse
import datetime as dt
from pathlib import Path
from typing import Any

from homes import COLORS, ROWS, Clock, Points, about_budget, budget, embedded, limited, means

from found_platform import registry, threads
from found_platform.app import graph
from found_platform.evaluation import figure, retrained, run, scenarios
from found_platform.evaluation.extent import Extent
from found_platform.evaluation.population import Population
from found_platform.settings import Settings
from models.found import Found

KEPT_ROWS = ("aligned", "late", "stage1_activity", "concatenation_activity", "aligned_activity", "found")
"""The methods that hang on the model: of a kept one they are asked again."""
RETRAINED, KEPT = "retrained", "kept"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path("build/walk-forward"), help="a home of its own")
    parser.add_argument("--source", type=Path, help="a source file in place of the simulator")
    parser.add_argument("--labels", type=Path, help="labels of the source at every cutoff, see docs/benchmark.md")
    parser.add_argument("--scenarios", type=Path)
    parser.add_argument("--cutoffs", type=int, default=5)
    parser.add_argument("--every", type=int, default=28, help="days between two cutoffs")
    parser.add_argument("--last", type=dt.date.fromisoformat, help="the last cutoff [default: the data's end less the horizon]")
    parser.add_argument("--users", type=int, default=2_000)
    parser.add_argument("--days", type=int, default=300)
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--max-labels", type=int, default=4_000, help="users whose labels are used, at most")
    parser.add_argument("--profile", default="cpu")
    parser.add_argument("--out", type=Path, default=Path("build/walk-forward.json"))
    parser.add_argument("--figure", type=Path, default=Path("docs/walk-forward.png"))
    options = parser.parse_args()
    points = Points(options.out)
    simulation = graph.Simulation() if options.source else graph.Simulation(options.users, options.days, options.seed)
    request = graph.Run(source=options.source, simulation=simulation, profile=options.profile)
    last = options.last or embedded(options.home, request).cutoff
    cutoffs = [last - dt.timedelta(days=options.every * back) for back in reversed(range(options.cutoffs))]
    home = {"home": str(options.home), "profile": options.profile, "first": str(cutoffs[0]), "max_labels": options.max_labels}
    for cutoff in cutoffs:
        if points.of(cutoff=str(cutoff), **home) is None:
            clock = Clock()
            at = graph.Run(cutoff=str(cutoff), profile=options.profile)
            settings = embedded(options.home, at).settings
            if options.labels:
                scenarios.keep_label_files(settings, cutoff, options.labels, options.scenarios)
            rows = measured(settings, cutoff, cutoffs[0], options.max_labels)
            points.add({"cutoff": str(cutoff), **home, "minutes": clock.minutes, "budget": budget(settings, cutoff), "rows": rows})
        point = points.of(cutoff=str(cutoff), **home)
        assert point is not None
        print(f"{cutoff}: {point['minutes']} minutes; {about_budget(point['budget'])}", flush=True)
    walk = [point for cutoff in cutoffs if (point := points.of(cutoff=str(cutoff), **home))]
    print(as_markdown(walk))
    draw(walk, options.figure)
    print(f"{options.out} and {options.figure} are written.")


def measured(settings: Settings, cutoff: dt.date, first: dt.date, labels: int) -> list[dict[str, Any]]:
    """The rows of a cutoff by its own model, and by that of the first cutoff."""
    tasks, why = scenarios.load(settings, cutoff)
    assert tasks, f"{cutoff}: {why}"
    tasks = limited(tasks, labels)
    extent = Extent(ROWS, few_shot=False, paraphrases=False)
    version = registry.of_cutoff(settings, str(cutoff))
    _, table = run.run(settings, cutoff, version, tasks, extent, f"walk-forward, {labels} labels")
    rows = [{**row, "model": RETRAINED} for row in table.to_pylist()]
    old = registry.load(settings, registry.of_cutoff(settings, str(first))).model
    if cutoff == first:
        rows += [{**row, "model": KEPT} for row in table.to_pylist() if row["method"] in KEPT_ROWS]
    elif isinstance(old, Found):  # a frozen-text model is the same at every cutoff, but for its centre
        population = retrained.of_model(Population.stored(settings, version, cutoff), old)
        with threads.one_each():
            kept = run.evaluated(population, tasks, {}, Extent(KEPT_ROWS, few_shot=False, paraphrases=False))
            rows += [{**row, "model": KEPT} for row in kept]
    names = ("model", "task", "method", "scenario", "metric", "value", "std", "users", "positives", "seeds")
    return [{name: row[name] for name in names} for row in rows if row["scenario"] != "mean"]


Line = tuple[str, str, str]
"""A model, retrained or kept; a task; a method."""


def aucs(walk: list[dict[str, Any]]) -> tuple[list[str], list[dict[Line, float]]]:
    """The scenarios that every cutoff has, and by cutoff the mean AUC over them."""
    shared = sorted(set.intersection(*({row["scenario"] for row in point["rows"]} for point in walk)))
    return shared, [
        {
            (model, *key): value
            for model in (RETRAINED, KEPT)
            for key, value in means([row for row in point["rows"] if row["model"] == model], shared).items()
        }
        for point in walk
    ]


def as_markdown(walk: list[dict[str, Any]]) -> str:
    """A method and model a row, a cutoff a column: the mean AUC over the scenarios that every cutoff has."""
    shared, by_cutoff = aucs(walk)
    lines = [f"| AUC, mean of {len(shared)} scenarios | model | " + " | ".join(point["cutoff"] for point in walk) + " |"]
    lines.append("| --- |" + " --- |" * (len(walk) + 1))
    for model, task, method in by_cutoff[-1]:
        cells = " | ".join(f"{of[model, task, method]:.3f}" if (model, task, method) in of else "" for of in by_cutoff)
        lines.append(f"| {method} ({task}) | {model} | {cells} |")
    return "\n".join(lines)


PANELS = {"zero_shot": "without labels", "linear_probe": "probes at 1:4"}


def draw(walk: list[dict[str, Any]], path: Path) -> None:
    """The figure: AUC over the cutoffs, a panel a task; dashed lines are of the model that was kept."""
    shared, by_cutoff = aucs(walk)
    plot, panels = figure.grid(len(PANELS), columns=2, width=5.6, height=4.2)
    panels[1].sharey(panels[0])
    ends: dict[str, list[tuple[float, str, str]]] = {task: [] for task in PANELS}
    for axes, (task, title) in zip(panels, PANELS.items(), strict=True):
        for model, style in ((RETRAINED, "o-"), (KEPT, "x--")):
            for method, color in COLORS.items():
                values = [(place, of[model, task, method]) for place, of in enumerate(by_cutoff) if (model, task, method) in of]
                if values:
                    axes.plot(*zip(*values, strict=True), style, color=color, markersize=4, linewidth=1.4)
                    if model == RETRAINED:
                        ends[task].append((values[-1][1], method, color))
        axes.set_xticks(range(len(walk)), [point["cutoff"] for point in walk], fontsize=7)
        axes.set_title(f"{title} (dashed: the first model kept)", fontsize=10)
        axes.set_xlabel("cutoff")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#eeeeee")
    panels[0].set_ylabel(f"AUC, mean of {len(shared)} scenarios")
    for axes, task in zip(panels, PANELS, strict=True):
        figure.end_labels(axes, ends[task])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(figure.png(plot))


if __name__ == "__main__":
    main()
