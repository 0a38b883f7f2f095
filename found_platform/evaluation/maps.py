"""Maps of the aligned space: figures 3 and 4 of the paper, from a population to PNG.

What belongs here: which users and sentences are laid out together, and their picture. t-SNE keeps near what is near; distances
between groups, and the axes, say nothing.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

from found_platform.audiences import prompts
from found_platform.embedding.sentences import embed_sentences
from found_platform.evaluation import figure
from found_platform.evaluation.population import Population
from found_platform.evaluation.scenario import Scenario

SHOTS = 5
"""Users of either kind that a prompt is tuned from, as in the paper."""
PANELS = 4
"""Scenarios, and attributes, that are drawn: each scenario takes a prompt and a layout of its own."""
OTHERS, HARD, TARGETED = 300, 80, 80
"""Users of each sort in a map of seeds, at most."""
USERS, STEPS = 1500, 500
"""Users in the map by attribute, at most; and steps of t-SNE: twice as many keep no more neighbours together
(`docs/benchmarks.md`)."""
VALUES = 6
"""Values of an attribute that have a colour of their own: the most frequent ones."""
ACTIVITY = "events_28d"
SEED = 0

GRAY, ORANGE, BLUE, BLACK = "#c9ced4", "#e8710a", "#1f6feb", "#111111"


def width(population: Population) -> int:
    """Places of a stored vector that sentences are compared with; 0 where no model was aligned with them."""
    from models.found import Found

    return population.model.config.dim if isinstance(population.model, Found) else 0


@dataclass(frozen=True)
class SeedMap:
    """The users of a scenario by sort (rows of the population), and the sentence before and after its prompt was tuned (K,)."""

    name: str
    others: np.ndarray
    hard: np.ndarray
    targeted: np.ndarray
    negatives: np.ndarray  # shown to the prompt
    seeds: np.ndarray  # shown to the prompt
    sentence: np.ndarray
    prompt: np.ndarray


def of_seeds(population: Population, scenarios: list[Scenario]) -> bytes:
    """PNG, figure 3: seeds, hard negatives and the tuned prompt among targeted and other users.

    Drawn are the scenarios with most positives.
    """
    if not width(population) or not scenarios:
        return b""
    by_positives = sorted(scenarios, key=lambda scenario: -int(scenario.labels.sum()))
    usual = embed_sentences(population.model, [scenario.demand for scenario in scenarios]).mean(0)
    maps = [tuned for scenario in by_positives[:PANELS] if (tuned := _tuned(population, scenario)) is not None]
    if not maps:
        return b""
    plot, panels = figure.grid(len(maps), columns=2, width=4.6, height=3.9)
    for axes, each in zip(panels, maps, strict=True):
        _draw_seeds(axes, population, each, usual)
    figure.legend_of(plot, panels[0], columns=4)
    return figure.png(plot)


def _tuned(population: Population, scenario: Scenario) -> SeedMap | None:
    """The map of a scenario; None where too few of its users have a history."""
    rng = np.random.default_rng(SEED)
    rows = population.keys.rows(scenario.user_keys)
    has_history = (rows >= 0) & population.has_history[np.maximum(rows, 0)]
    will, will_not = (np.flatnonzero(has_history & (scenario.labels == label)) for label in (1, 0))
    sentence = embed_sentences(population.model, [scenario.demand])[0]
    hard = np.flatnonzero(has_history & scenario.hard) if scenario.hard is not None else np.array([], int)
    if len(hard) < SHOTS:  # nobody says who behaves alike: those whom the sentence takes for the likest
        likeness = population.vectors[rows[will_not], : len(sentence)] @ sentence
        hard = will_not[np.argsort(-likeness, kind="stable")[: max(SHOTS, len(will_not) // 10)]]
    if min(len(will), len(hard)) < 2 * SHOTS:
        return None
    seeds, negatives = (rng.choice(group, SHOTS, replace=False) for group in (will, hard))
    shown = [(population.vectors[rows[seeds]], population.vectors[rows[negatives]])]
    prompt = prompts.tuner(population.model, scenario.demand)(shown)[0]

    def drawn(group: np.ndarray, count: int) -> np.ndarray:
        left = np.setdiff1d(group, np.concatenate([seeds, negatives]))
        return rows[rng.choice(left, min(count, len(left)), replace=False)]

    others = drawn(np.setdiff1d(will_not, hard), OTHERS)
    return SeedMap(scenario.name, others, drawn(hard, HARD), drawn(will, TARGETED), rows[negatives], rows[seeds], sentence, prompt)


def _draw_seeds(axes: Any, population: Population, each: SeedMap, usual: np.ndarray) -> None:
    """Users and sentences each less their own mean, the `usual` demand (K,): what all of either have in common sets them apart."""
    groups = [each.others, each.hard, each.targeted, each.negatives, each.seeds]
    users = population.vectors[:, : len(usual)]
    users = users[np.concatenate(groups)] - users[population.has_history].mean(0)
    places = layout(np.vstack([users, each.sentence - usual, each.prompt - usual]))
    parts = np.split(places[:-2], np.cumsum([len(group) for group in groups])[:-1])
    styles: list[tuple[str, dict[str, Any]]] = [
        ("others", {"c": GRAY, "s": 8}),
        ("behave alike, will not", {"c": ORANGE, "s": 9, "alpha": 0.55}),
        ("will do it", {"c": BLUE, "s": 9, "alpha": 0.55}),
        ("negatives shown", {"c": ORANGE, "s": 60, "marker": "X", "edgecolors": "white", "linewidths": 0.8}),
        ("seeds", {"c": BLUE, "s": 70, "marker": "P", "edgecolors": "white", "linewidths": 0.8}),
    ]
    for part, (label, style) in zip(parts, styles, strict=True):
        axes.scatter(*part.T, label=label, **{"linewidths": 0, **style})
    sentence, prompt = places[-2:]
    if np.linalg.norm(sentence - prompt) > 0:
        axes.annotate("", prompt, sentence, arrowprops={"arrowstyle": "->", "color": BLACK, "linewidth": 0.9})
    axes.scatter(*sentence, c="white", edgecolors=BLACK, s=70, marker="D", label="sentence", zorder=5)
    axes.scatter(*prompt, c=BLACK, edgecolors="white", s=170, marker="*", label="tuned prompt", zorder=6)
    _without_scale(axes, each.name)


def of_attributes(population: Population) -> bytes:
    """PNG, figure 4: users by their aligned vectors, coloured by an attribute in each panel."""
    rows = np.flatnonzero(population.has_history)
    names = _attributes(population.attributes) if width(population) else []
    if len(rows) < 2 * SHOTS or not names:
        return b""
    rows = np.sort(np.random.default_rng(SEED).choice(rows, min(USERS, len(rows)), replace=False))
    places = layout(population.vectors[rows, : width(population)])
    plot, panels = figure.grid(len(names), columns=2, width=4.8, height=3.7)
    table = population.attributes.take(pa.array(rows))
    for axes, name in zip(panels, names, strict=True):
        _draw_attribute(axes, places, table[name])
        _without_scale(axes, name)
    return figure.png(plot)


def _attributes(table: pa.Table) -> list[str]:
    """What users are coloured by: attributes with few values, then numbers; activity is always among them."""
    few, numbers = [], []
    for name in table.column_names:
        values = table[name].combine_chunks()
        distinct = len(values.drop_null().unique())
        if name in ("user_key", ACTIVITY) or distinct < 2:
            continue
        if pat.is_string(values.type) or pat.is_boolean(values.type):
            few += [name] if distinct <= 2 * VALUES else []
        else:
            numbers.append(name)
    return [*[*few, *numbers][: PANELS - 1], ACTIVITY]


def _draw_attribute(axes: Any, places: np.ndarray, column: pa.ChunkedArray) -> None:
    from matplotlib import colormaps

    if pat.is_string(column.type) or pat.is_boolean(column.type):
        values = np.array(["none" if value is None else str(value) for value in column.to_pylist()])
        names, counts = np.unique(values, return_counts=True)
        common = sorted(names[np.argsort(-counts, kind="stable")[:VALUES]])
        for place, name in enumerate(common):
            axes.scatter(*places[values == name].T, s=6, color=colormaps["tab10"](place), label=name, linewidths=0, alpha=0.75)
        axes.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), markerscale=2, handletextpad=0.1)
        return
    numbers = np.array([np.nan if value is None else float(value) for value in column.to_pylist()])
    order = np.argsort(np.argsort(numbers)) / max(1, len(numbers) - 1)  # ranks: a few large values would take all colours
    points = axes.scatter(*places.T, s=6, c=order, cmap="viridis", linewidths=0, alpha=0.8)
    bar = axes.figure.colorbar(points, cax=axes.inset_axes((1.04, 0.5, 0.03, 0.45)), ticks=[0, 0.5, 1])
    bar.ax.set_yticklabels([f"{value:,.0f}" for value in np.nanquantile(numbers, [0, 0.5, 1])], fontsize=7)
    bar.outline.set_visible(False)


def layout(vectors: np.ndarray) -> np.ndarray:
    """(N, 2) places by t-SNE of the cosines of vectors (N, K): the same each time."""
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(vectors) - 1) / 3)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return TSNE(perplexity=perplexity, max_iter=STEPS, init="pca", random_state=SEED).fit_transform(unit)


def _without_scale(axes: Any, title: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[["top", "right", "bottom", "left"]].set_color("#dde1e6")
