"""The curves of a benchmark as pictures: ROC, precision by reach, and predicted chances against what came.

What belongs here: from scores of users to PNG. What does not: which methods are worth a line, which is `report`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from found_platform.evaluation import figure

COLUMNS = 4
"""Scenarios side by side."""
TENTHS = 10


@dataclass(frozen=True)
class Line:
    """What a method made of the users of a scenario: scores (N,) and labels (N,) 0/1; `chance` (N,) where scores are chances."""

    name: str
    color: str
    scores: np.ndarray
    labels: np.ndarray
    chance: np.ndarray | None = None


Panel = tuple[str, list[Line]]
"""A scenario's name and its lines."""


def roc(panels: list[Panel]) -> bytes:
    """PNG: the share of positives that is reached over the share of negatives that comes with it."""

    def draw(axes: Any, line: Line) -> None:
        from sklearn.metrics import roc_curve

        false_rate, true_rate, _ = roc_curve(line.labels, line.scores)
        axes.plot(false_rate, true_rate, color=line.color, linewidth=1.4)

    def ground(axes: Any, _: list[Line]) -> None:
        axes.plot([0, 1], [0, 1], color="#bbb", linewidth=0.8, linestyle=":")
        axes.set_aspect("equal")

    return _drawn(panels, draw, ground, "share of negatives called", "share of positives called")


def precision_by_reach(panels: list[Panel]) -> bytes:
    """PNG: which share of those who are called are positives, over the share of users who are called."""

    def draw(axes: Any, line: Line) -> None:
        hits = line.labels[np.argsort(-line.scores, kind="stable")].cumsum()
        called = np.arange(1, len(hits) + 1)
        first = min(len(hits) - 1, max(4, len(hits) // 100))  # of fewer users a share says nothing
        axes.plot(called[first:] / len(hits), (hits / called)[first:], color=line.color, linewidth=1.4)
        axes.set_xlim(-0.03, 1.03)

    def ground(axes: Any, lines: list[Line]) -> None:
        axes.axhline(float(lines[0].labels.mean()), color="#bbb", linewidth=0.8, linestyle=":")
        axes.axhline(0, color="none")  # of the scale

    return _drawn(panels, draw, ground, "share of users called", "precision")


def calibration(panels: list[Panel]) -> bytes:
    """PNG: by tenths of the users, the chance that was predicted and the share who did it; the bars are 95 % intervals."""
    from found_platform.metrics import wilson

    def draw(axes: Any, line: Line) -> None:
        if line.chance is None or np.ptp(line.chance) == 0:  # one chance for everybody: nothing was learned
            return
        groups = [g for g in np.array_split(np.argsort(line.chance, kind="stable"), TENTHS) if len(g)]
        predicted = np.array([line.chance[g].mean() for g in groups])
        did, users = (np.array([f(g) for g in groups]) for f in (lambda g: line.labels[g].sum(), len))
        low, high = wilson(did, users)
        share = did / users
        axes.errorbar(
            predicted, share, [share - low, high - share], color=line.color, fmt="o-", markersize=3, linewidth=1, elinewidth=0.7
        )

    def ground(axes: Any, lines: list[Line]) -> None:
        most = max([0.02, *(float(np.quantile(line.chance, 0.99)) for line in lines if line.chance is not None)])
        axes.plot([0, most], [0, most], color="#bbb", linewidth=0.8, linestyle=":")

    return _drawn([(name, [x for x in lines if x.chance is not None]) for name, lines in panels], draw, ground, "predicted", "came")


def _drawn(
    panels: list[Panel],
    draw: Callable[[Any, Line], None],
    ground: Callable[[Any, list[Line]], None],
    x: str,
    y: str,
) -> bytes:
    """A panel a scenario, and one legend of all lines."""
    from matplotlib.lines import Line2D

    panels = [(name, lines) for name, lines in panels if lines]
    if not panels:
        return b""
    plot, grid = figure.grid(len(panels), columns=COLUMNS, width=2.9, height=2.6)
    colors: dict[str, str] = {}
    for axes, (name, lines) in zip(grid, panels, strict=True):
        ground(axes, lines)
        for line in lines:
            draw(axes, line)
            colors[line.name] = line.color
        axes.set_title(name, fontsize=9)
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    plot.supxlabel(x, fontsize=9)
    plot.supylabel(y, fontsize=9)
    handles = [Line2D([], [], color=color, label=name, linewidth=2) for name, color in colors.items()]
    plot.legend(handles=handles, loc="outside upper center", ncols=len(handles), fontsize=9, frameon=False)
    return figure.png(plot)
