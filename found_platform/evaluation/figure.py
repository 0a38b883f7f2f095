"""Panels of a figure, and the figure as PNG: what pictures of the benchmark have in common."""

import io
import math
from typing import Any

DPI = 110


def grid(count: int, *, columns: int, width: float, height: float) -> tuple[Any, list[Any]]:
    """A figure with so many panels of this size, in inches, and the panels."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    columns = min(columns, count)
    rows = math.ceil(count / columns)
    size = (width * columns, height * rows + 0.4)
    plot, panels = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    for axes in panels.flat[count:]:
        axes.set_visible(False)
    return plot, list(panels.flat[:count])


def legend_of(plot: Any, axes: Any, *, columns: int) -> None:
    """One legend for all panels, of what one of them shows."""
    handles, labels = axes.get_legend_handles_labels()
    plot.legend(handles, labels, loc="outside upper center", ncols=columns, fontsize=9, frameon=False)


def png(plot: Any) -> bytes:
    """The figure as PNG; it is closed."""
    from matplotlib import pyplot as plt

    out = io.BytesIO()
    plot.savefig(out, format="png", dpi=DPI)
    plt.close(plot)
    return out.getvalue()


def end_labels(axes: Any, ends: list[tuple[float, str, str]], gap: float = 0.045) -> None:
    """Writes the name of each line (value at its end, name, colour) right of a panel, moved apart where they would overlap.

    `gap` is of the panel's height. To be called last: it reads the panel's limits.
    """
    low, high = axes.get_ylim()
    places: list[float] = []
    ends = sorted(ends)
    for value, *_ in ends:
        place = (value - low) / (high - low)
        places.append(max(place, places[-1] + gap) if places else place)
    ceiling = 1.0
    for number in reversed(range(len(places))):  # what was pushed out at the top goes down again
        places[number] = min(places[number], ceiling)
        ceiling = places[number] - gap
    for place, (_, name, color) in zip(places, ends, strict=True):
        axes.text(1.02, place, name, transform=axes.transAxes, color=color, fontsize=8, va="center")
