"""The learning curve: what more users are worth to FOUND and to what it is held against.

    .venv/bin/python benchmarks/learning_curve.py [--sizes 2000 10000 50000 100000] [--labels 4000] [--seed 100]

Simulates a population of each size, the same world and scenarios, runs the graph as far as vectors of users, and asks the benchmark
of labels of at most so many users, so that probes of different sizes are fitted on as many. Prints the training budget and the
minutes of each size, writes `build/learning-curve.json` and `docs/learning-curve.png`, and prints the table. What is measured is
not measured again: a killed run goes on, and another size adds a point.
"""

import argparse
from pathlib import Path
from typing import Any

from homes import COLORS, ROWS, Clock, Points, about_budget, budget, embedded, limited, means

from found_platform import registry
from found_platform.app import graph
from found_platform.evaluation import figure, run, scenarios
from found_platform.evaluation.extent import Extent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2_000, 10_000, 50_000, 100_000])
    parser.add_argument("--labels", type=int, default=4_000, help="users whose labels are used, at most")
    parser.add_argument("--days", type=int, default=120)
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--profile", default="cpu")
    parser.add_argument("--training-seeds", type=int, default=1, help="how often FOUND is trained at each size")
    parser.add_argument("--homes", type=Path, default=Path("build/learning-curve"), help="a home for each size")
    parser.add_argument("--out", type=Path, default=Path("build/learning-curve.json"))
    parser.add_argument("--figure", type=Path, default=Path("docs/learning-curve.png"))
    options = parser.parse_args()
    points = Points(options.out)
    shared = {name: getattr(options, name) for name in ("labels", "days", "seed", "profile", "training_seeds")}
    for size in sorted(options.sizes):
        if points.of(size=size, **shared) is None:
            point = measured(options.homes / f"{size}-{options.days}-{options.seed}-{options.profile}", size, options)
            points.add({"size": size, **shared, **point})
        point = points.of(size=size, **shared)
        assert point is not None
        print(f"{size:,} users: {point['minutes']} minutes; {about_budget(point['budget'])}", flush=True)
    curve = [point for size in sorted(options.sizes) if (point := points.of(size=size, **shared))]
    print(as_markdown(curve))
    draw(curve, options.figure)
    print(f"{options.out} and {options.figure} are written.")


def measured(home: Path, size: int, options: argparse.Namespace) -> dict[str, Any]:
    """The rows of the benchmark of one size, and what they took."""
    clock = Clock()
    simulation = graph.Simulation(size, options.days, options.seed)
    trained = embedded(home, graph.Run(simulation=simulation, profile=options.profile))
    settings, cutoff = trained.settings, trained.cutoff
    tasks, why = scenarios.load(settings, cutoff)
    assert tasks, why
    extent = Extent(ROWS, few_shot=False, training_seeds=options.training_seeds, paraphrases=False)
    made_of = f"learning curve, {options.labels} labels"
    version = registry.of_cutoff(settings, str(cutoff))
    _, table = run.run(settings, cutoff, version, limited(tasks, options.labels), extent, made_of)
    kept = ("task", "method", "scenario", "metric", "value", "std", "users", "positives", "seeds")
    rows = [{name: row[name] for name in kept} for row in table.to_pylist() if row["scenario"] != "mean"]
    return {
        "cutoff": str(cutoff),
        "minutes": clock.minutes,
        "seconds": trained.seconds,
        "budget": budget(settings, cutoff),
        "rows": rows,
    }


def compared(curve: list[dict[str, Any]]) -> list[str]:
    """The scenarios that every size has."""
    by_size = [{row["scenario"] for row in point["rows"]} for point in curve]
    return sorted(set.intersection(*by_size))


def as_markdown(curve: list[dict[str, Any]]) -> str:
    """A method a row, a size a column: the mean AUC over the scenarios that all sizes have."""
    names = compared(curve)
    by_size = [means(point["rows"], names) for point in curve]
    header = f"| AUC, mean of {len(names)} scenarios | " + " | ".join(f"{point['size']:,}" for point in curve) + " |"
    lines = [header, "| --- |" + " --- |" * len(curve)]
    for task, method in by_size[-1]:
        cells = " | ".join(f"{of[task, method]:.3f}" if (task, method) in of else "" for of in by_size)
        lines.append(f"| {method} ({task}) | {cells} |")
    return "\n".join(lines)


PANELS = {"zero_shot": "without labels", "linear_probe": "probes at 1:4"}


def draw(curve: list[dict[str, Any]], path: Path) -> None:
    """The figure: AUC over the number of users, a panel a task."""
    names = compared(curve)
    by_size = [means(point["rows"], names) for point in curve]
    plot, panels = figure.grid(len(PANELS), columns=2, width=5.6, height=4.2)
    panels[1].sharey(panels[0])
    ends = {}
    for axes, (task, title) in zip(panels, PANELS.items(), strict=True):
        for method, color in COLORS.items():
            values = [(point["size"], of[task, method]) for point, of in zip(curve, by_size, strict=True) if (task, method) in of]
            if values:
                sizes, aucs = zip(*values, strict=True)
                axes.plot(sizes, aucs, "o-", color=color, markersize=4, linewidth=1.6)
                ends.setdefault(task, []).append((aucs[-1], method, color))
        axes.set_xscale("log")
        axes.set_xticks([point["size"] for point in curve], [f"{point['size']:,}" for point in curve])
        axes.tick_params(labelsize=8)
        axes.minorticks_off()
        axes.set_title(title, fontsize=11)
        axes.set_xlabel("users of the population")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#eeeeee")
    panels[0].set_ylabel(f"AUC, mean of {len(names)} scenarios")
    for axes, task in zip(panels, PANELS, strict=True):
        figure.end_labels(axes, ends.get(task, []))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(figure.png(plot))


if __name__ == "__main__":
    main()
