"""The benchmark as one page that is read offline: what has to be beaten, who beats it, and whether that is chance.

What belongs here: what is on the page and in which order. What does not: its pictures (`curves`), Evidently's pages of single
scenarios (`classification`), words and colours of HTML (`page`).
"""

import datetime as dt
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pad

from found_platform import lake, registry, reports, threads, workers
from found_platform.embedding import users
from found_platform.evaluation import (
    bootstrap,
    classification,
    curves,
    heads,
    maps,
    methods,
    over_time,
    page,
    scenarios,
    scores,
    thresholds,
)
from found_platform.evaluation.bootstrap import MEAN, Difference
from found_platform.evaluation.curves import Line, Panel
from found_platform.evaluation.extent import FEW_SHOT, ORACLE
from found_platform.evaluation.population import Population
from found_platform.evaluation.run import TABLE
from found_platform.evaluation.tables import TITLES
from found_platform.home import make_private
from found_platform.settings import Settings

HONEST = (ORACLE, "activity_count", "recency", "gbdt_aggregates", "tfidf_activity", "activity", "labelled_ceiling")
"""What nobody may leave out: the ceilings, and what is there without any of this."""

OURS = {"zero_shot": ("outcome", "auto"), "linear_probe": ("found",), "few_shot": ("chosen_5",), "most_labels": ()}
"""By task, the row that speaks for FOUND: the first of these that is there."""

METRICS = ("auc", "ks", "lift_at_10pct", "accuracy_5050", "precision_5050", "recall_5050")
"""The columns of a task's table."""

OUR_COLOR, RIVAL_COLOR, ORACLE_COLOR, PROBE_COLOR = "#1f6feb", "#d9730d", "#999999", "#2a9d5c"
COUNT_COLOR, ALIGNED_COLOR = "#c0a060", "#7b3fbf"
IN_LOG_ODDS = ("outcome", "auto", "replay", "found")
"""Methods whose scores can be read as chances."""


@dataclass(frozen=True)
class Report:
    """A page, Evidently's pages by scenario, the sentences on top, and the pictures (PNG) by title."""

    html: Path
    classifications: dict[str, Path]
    sentences: list[str]
    pictures: dict[str, bytes]

    @property
    def content(self) -> str:
        """A hash of the page."""
        return hashlib.sha256(self.html.read_bytes()).hexdigest()[:16]


def path(settings: Settings, cutoff: dt.date) -> Path:
    """Where the page of a cutoff lies."""
    return settings.home / "monitoring" / "benchmark" / str(cutoff) / "report.html"


def write(settings: Settings, cutoff: dt.date) -> Report | None:
    """Writes the pages of a cutoff; None where the benchmark has no rows."""
    rows = lake.read(settings.lake, TABLE, pad.field("cutoff") == cutoff)
    if not rows.num_rows:
        return None
    html = path(settings, cutoff)
    folder = make_private(html.parent)
    for old in folder.glob("*.html"):
        old.unlink()
    results, kept = Results(rows.to_pylist()), scores.read(settings, cutoff)
    maps_drawn = _maps(settings, cutoff, results)  # beside what follows, where something forks
    differences = [d for d in bootstrap.differences(kept) if results.has(d.task, d.method) and results.has(d.task, d.other)]
    panels = _panels(kept, results)
    by_cutoff = over_time.rows(settings, rows["dataset"][0].as_py())
    before = over_time.drift(by_cutoff, cutoff, folder / "over-time.html", settings.home)
    pictures = {
        "ROC": curves.roc(panels),
        "Precision by reach": curves.precision_by_reach(panels),
        "Calibration": curves.calibration(panels),
        **{title: drawn() for title, drawn in maps_drawn.items()},
        "Over time": over_time.picture(by_cutoff, _lines_over_time(results)),
    }
    pictures = {title: png for title, png in pictures.items() if png}
    classifications = _classifications(kept, results, folder, settings.home)
    single = {name: path.name for name, path in classifications.items()}
    sentences = [s for task in TITLES for s in [_sentence(task, results, differences)] if s]
    sections = [page.section(TITLES[task], page.table(*_task_table(task, results, differences))) for task in results.tasks]
    html.write_text(
        page.document(
            f"Benchmark of {results.rows[0]['dataset']} at {cutoff}",
            [
                page.paragraph(
                    f"Model version {results.rows[0]['model_version']}; {len(results.scenarios)} scenarios; every method sees the "
                    "same users, and only what was known before the cutoff."
                ),
                page.findings(sentences),
                *sections,
                page.section("AUC by scenario", page.heat(*_by_scenario(results))),
                *(page.section(title, page.picture(png, title), NOTES[title]) for title, png in pictures.items()),
                *([page.section(DRIFT, page.links({f"{before} to {cutoff}": "over-time.html"}), DRIFT_NOTE)] if before else []),
                *([page.section("Each scenario by Evidently", page.links(single), EVIDENTLY)] if single else []),
                page.section("What the methods are", page.table(["method", "task", "what it is"], _about(results))),
                page.section("How to read it", page.words(READING)),
            ],
        ),
        encoding="utf-8",
    )
    figures = {
        f"{task}/{name}/auc": results.value(task, name, "auc") or 0.0 for task in results.tasks for name in results.methods[task]
    }
    registry.log_benchmark(settings, str(cutoff), results.rows[0]["model_version"], figures, pictures, html)
    return Report(html, classifications, sentences, pictures)


def _maps(settings: Settings, cutoff: dt.date, results: "Results") -> dict[str, Callable[[], bytes]]:
    """The maps of the aligned space, by title: each is begun, and waited for where it is called. None where another version is in
    the lake than the one that was judged."""
    version = results.rows[0]["model_version"]
    if not users.are_kept(settings, version, cutoff):
        return {}
    about = settings, cutoff, version, registry.model_folder(settings, version)
    return {SEEDS: workers.ahead(_map_of_seeds, *about, results.scenarios), ATTRIBUTES: workers.ahead(_map_of_attributes, *about)}


def _map_of_seeds(settings: Settings, cutoff: dt.date, version: str, model: Path, names: list[str]) -> bytes:
    tasks = [task for task in scenarios.load(settings, cutoff)[0] if task.name in names]
    with threads.one_each():  # more of them add in another order, and points move by a hair
        return maps.of_seeds(Population.of_files(settings, version, cutoff, model), tasks)


def _map_of_attributes(settings: Settings, cutoff: dt.date, version: str, model: Path) -> bytes:
    with threads.one_each():
        return maps.of_attributes(Population.of_files(settings, version, cutoff, model))


def _lines_over_time(results: "Results") -> dict[tuple[str, str], str]:
    """The methods that are drawn over time, and their colours."""
    chosen = [
        ("zero_shot", ORACLE, ORACLE_COLOR),
        ("zero_shot", "activity_count", COUNT_COLOR),
        ("zero_shot", results.ours("zero_shot"), OUR_COLOR),
        ("zero_shot", "aligned", ALIGNED_COLOR),
        ("linear_probe", results.ours("linear_probe"), PROBE_COLOR),
        ("linear_probe", "tfidf_activity", RIVAL_COLOR),
    ]
    return {(task, name): color for task, name, color in chosen if name and results.has(task, name)}


SEEDS, ATTRIBUTES, DRIFT = "Seeds and tuned prompts", "Users by attribute", "Drift of the figures"
DRIFT_NOTE = (
    "Evidently's drift report of the AUCs, a row a scenario and a column a method: this cutoff against the one before. With so few "
    "scenarios it sees large changes alone."
)


NOTES = {
    "ROC": "The farther towards the upper left, the better; the dotted line is chance.",
    "Precision by reach": "Of those who are called, how many do it; the dotted line is the share of positives among all.",
    "Calibration": "Tenths of the users by predicted chance: what was predicted, and the share who then did it, with its 95 % "
    "interval. On the dotted line, chances are true. Probes are of their first split. Where the past was too short for replay, "
    "scores are those of late interaction, which are no calibrated chances.",
    SEEDS: "t-SNE of the aligned space: what is near is alike; distances between groups, and the axes, say nothing. The prompt is "
    "tuned from five seeds and five users who behave alike and will not do it. Users and sentences are each less their own mean.",
    ATTRIBUTES: "t-SNE of users by their aligned vectors. Where colours are mixed, the vectors do not hold the attribute.",
    "Over time": "The mean AUC at each cutoff that was judged, over the scenarios that all of them have.",
}
EVIDENTLY = "Evidently's classification report of the row that speaks for FOUND without labels, at the method's own line."
READING = [
    ("verdict", "The difference in AUC to the row that speaks for FOUND, and the bounds of 95 % of a thousand draws of users."),
    ("chance", "0 is between the bounds. One of twenty pairs that are alike is called ahead or behind by chance."),
    (
        "AUC",
        "The chance that a user who will do it ranks above one who will not; .5 is chance. ± is the spread over splits or draws.",
    ),
    ("50", "Accuracy, precision and recall among as many negatives as positives, of those above the method's own line."),
    ("lift", "Positives in the top tenth, over what a tenth drawn by chance would hold."),
]


class Results:
    """Rows of `benchmark_results`, by what is asked of them."""

    def __init__(self, rows: list[dict]):
        self.rows = rows
        self._values = {(r["task"], r["method"], r["scenario"], r["metric"]): r for r in rows}
        places = {method.name: place for place, method in enumerate(methods.registry())}
        ordered = sorted(dict.fromkeys((r["task"], r["method"]) for r in rows), key=lambda m: places.get(m[1], len(places)))
        self.methods = {task: [m for t, m in ordered if t == task] for task in TITLES}
        self.tasks = [task for task in TITLES if self.methods[task]]
        self.scenarios = list(dict.fromkeys(r["scenario"] for r in rows if r["scenario"] != MEAN))

    @property
    def heads(self) -> set[str]:
        """The heads of few users, without how many there were."""
        return {name.rpartition("_")[0] for name in self.methods[FEW_SHOT]}

    def has(self, task: str, method: str) -> bool:
        """Whether a method has rows in a task."""
        return method in self.methods.get(task, ())

    def value(self, task: str, method: str, metric: str, scenario: str = MEAN) -> float | None:
        """A value; None where there is no such row."""
        row = self._values.get((task, method, scenario, metric))
        return None if row is None else row["value"]

    def spread(self, task: str, method: str) -> float:
        """The spread of the mean AUC over draws."""
        return self._values[task, method, MEAN, "auc"]["std"]

    def draws(self, task: str, method: str) -> int:
        """How many draws the mean AUC has, at least, in each scenario."""
        return self._values[task, method, MEAN, "auc"]["seeds"]

    def ours(self, task: str) -> str | None:
        """The row that speaks for FOUND."""
        return next((name for name in OURS[task] if self.has(task, name)), None)

    def ranked(self, task: str) -> list[str]:
        """Methods by mean AUC, the best first."""
        return sorted(self.methods[task], key=lambda name: -(self.value(task, name, "auc") or 0))

    def rival(self, task: str) -> str | None:
        """The best row of a task that is not ours and no oracle; of few users, of as many as ours."""
        rivals = {method.name for method in methods.registry() if not method.own}
        ranked, ours = self.ranked(task), self.ours(task)
        if task == "few_shot":
            users = ours.rpartition("_")[2] if ours else ""
            rivals = {f"{name}_{users}" for name in rivals}
        return next((name for name in ranked if name in rivals), None)


def _verdicts(task: str, results: Results, differences: list[Difference]) -> dict[str, Difference]:
    """By method, how it differs from the row that speaks for FOUND."""
    ours = results.ours(task)
    return {} if ours is None else {d.method: d for d in bootstrap.against(differences, task, method=ours)}


def _sentence(task: str, results: Results, differences: list[Difference]) -> str:
    """Who leads a task, and whether by more than chance."""
    ours, rival = results.ours(task), results.rival(task)
    difference = _verdicts(task, results, differences).get(rival or "")
    if ours is None or rival is None or difference is None:
        return ""
    lead = difference.turned
    words = {"ahead": "ahead of", "behind": "behind", "chance": "level with"}[lead.verdict]
    return (
        f"{TITLES[task].capitalize()}: {ours} ({results.value(task, ours, 'auc'):.3f}) is {words} the best of the others, {rival} "
        f"({results.value(task, rival, 'auc'):.3f}): {lead.difference:+.3f}, between {lead.low:+.3f} and {lead.high:+.3f}."
    )


def _task_table(task: str, results: Results, differences: list[Difference]) -> tuple[list[str], list[list[page.Cell]]]:
    """The honest rows on top, then everybody by AUC."""
    verdicts, ours = _verdicts(task, results, differences), results.ours(task)
    users = ours.rpartition("_")[2] if ours and task == FEW_SHOT else ""
    honest = [name for honest in HONEST if results.has(task, name := f"{honest}_{users}" if users else honest)]
    ranked = [*honest, *(name for name in results.ranked(task) if name not in honest)]
    rows: list[list[page.Cell]] = []
    for name in ranked:
        values = [results.value(task, name, metric) for metric in METRICS]
        spread = results.spread(task, name)
        auc = page.Bar(f"{values[0]:.3f}", 2 * ((values[0] or 0.5) - 0.5), f"± {spread:.3f}" if spread else "")
        rest = [
            "" if v is None else f"{v:.2f}" if metric == METRICS[2] else f"{v:.3f}"
            for metric, v in zip(METRICS, values, strict=True)
        ]
        label = page.Name(name, "honest" if name in honest else "ours" if name == ours else "")
        rows.append(
            [label, auc, str(results.draws(task, name)), *rest[1:], page.Verdict.of(verdicts.get(name), reference=name == ours)]
        )
    return [
        "method",
        "AUC",
        "draws",
        "KS",
        "lift",
        "accuracy 50",
        "precision 50",
        "recall 50",
        f"beside {ours}" if ours else "",
    ], rows


def _by_scenario(results: Results) -> tuple[list[str], list[tuple[str, list[float | None]]]]:
    """AUC: a row a scenario, a column for each method that a person looks for first."""
    columns: list[tuple[str, str]] = []
    for task in ("zero_shot", "linear_probe"):
        names = [ORACLE, "activity_count", results.rival(task), results.ours(task), "late", "aligned", "gbdt_aggregates"]
        columns += [(task, name) for name in dict.fromkeys(names) if name and results.has(task, name)]
    rows = [(s, [results.value(task, name, "auc", s) for task, name in columns]) for s in [*results.scenarios, MEAN]]
    return ["scenario", *(name if task == "zero_shot" else f"{name} (probe)" for task, name in columns)], rows


def _about(results: Results) -> list[list[page.Cell]]:
    rows: list[list[page.Cell]] = []
    for method in methods.registry():
        task = methods.TASKS[type(method)]
        if results.has(task, method.name) or (task == FEW_SHOT and method.name in results.heads):
            rows.append([method.name, TITLES[task], method.about])
    return rows + [[f"{head} (head)", TITLES[FEW_SHOT], about] for head, about in heads.ABOUT.items() if head in results.heads]


def _panels(kept: pa.Table, results: Results) -> list[Panel]:
    """The lines of each scenario: the oracle, the best rival and FOUND without labels, and FOUND's probe."""
    chosen = [
        ("zero_shot", ORACLE, ORACLE_COLOR),
        ("zero_shot", results.rival("zero_shot"), RIVAL_COLOR),
        ("zero_shot", results.ours("zero_shot"), OUR_COLOR),
        ("linear_probe", results.ours("linear_probe"), PROBE_COLOR),
    ]
    panels: list[Panel] = []
    for scenario in results.scenarios:
        lines = []
        for task, name, color in chosen:
            drawn = _first_draw(kept, task, name, scenario) if name and results.has(task, name) else None
            if drawn is not None:
                values, labels, _ = drawn
                chance = thresholds.chances(values) if name in IN_LOG_ODDS else values if name == ORACLE else None
                lines.append(Line(f"{name} (probe)" if task == "linear_probe" else str(name), color, values, labels, chance))
        panels.append((scenario, lines))
    return panels


def _first_draw(kept: pa.Table, task: str, method: str, scenario: str) -> tuple[np.ndarray, np.ndarray, float] | None:
    """Scores (N,) and labels (N,) of those judged in a method's first draw, and its line; None where it has no rows there."""
    rows = kept.filter((pad.field("task") == task) & (pad.field("method") == method) & (pad.field("scenario") == scenario))
    if not rows.num_rows:
        return None
    values, lines = (
        rows[c].combine_chunks().flatten().to_numpy(zero_copy_only=False).astype(float).reshape(rows.num_rows, -1)[:, 0]
        for c in ("scores", "thresholds")
    )
    judged = ~np.isnan(values)
    return values[judged], rows["label"].to_numpy()[judged], float(lines[0])


def _classifications(scores: pa.Table, results: Results, folder: Path, home: Path) -> dict[str, Path]:
    """Evidently's page of each scenario, of the row that speaks for FOUND without labels; also in the workspace of the home."""
    ours, pages = results.ours("zero_shot"), {}
    for number, scenario in enumerate(results.scenarios, 1):
        drawn = _first_draw(scores, "zero_shot", ours, scenario) if ours else None
        if drawn is not None:
            values, labels, line = drawn
            pages[scenario] = folder / f"classification-{number}.html"
            cutoff = results.rows[0]["cutoff"]
            snapshot = classification.report(values, line, labels, cutoff)
            snapshot.save_html(str(pages[scenario]))
            reports.keep(home, reports.BENCHMARK, f"{cutoff} {scenario}", snapshot)
    return pages
