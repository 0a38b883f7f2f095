"""What charts draw: places in a box of user units, computed from figures. Shapes and words are macros of the templates."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 560.0, 260.0, 54.0, 52.0, 32.0, 18.0
"""Of a chart, in its own units: room for words of 20 units, as they are on a phone."""


@dataclass(frozen=True)
class Tick:
    """A place on an axis and what is written there."""

    at: float
    label: str


@dataclass(frozen=True)
class Bar:
    """A rectangle; `marked` stands out."""

    x: float
    y: float
    width: float
    height: float
    marked: bool
    label: str


def _nice(most: float, count: int = 4) -> list[float]:
    """Round places from 0 to at least `most`."""
    if most <= 0:
        return [0.0, 1.0]
    step = 10 ** math.floor(math.log10(most / count))
    step = next(step * factor for factor in (1, 2, 2.5, 5, 10) if step * factor * count >= most)
    return [step * i for i in range(math.ceil(most / step) + 1)]


def _apart(ticks: list[Tick], room: float = 46.0) -> list[Tick]:
    """Those of the ticks whose words do not touch, the last one among them."""
    kept: list[Tick] = []
    for tick in reversed(ticks):
        if not kept or kept[-1].at - tick.at >= room:
            kept.append(tick)
    return kept[::-1]


def _short(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value / 1e3:g}k" if value >= 1e4 else f"{value:,g}"


def histogram(edges: Sequence[float], counts: Sequence[int], threshold: float | None) -> dict[str, Any]:
    """Bars of a histogram on a root scale, where few users can still be seen; those who are members are marked."""
    inner, most = WIDTH - LEFT - RIGHT, max([*counts, 1])
    floor, span = HEIGHT - BOTTOM, HEIGHT - BOTTOM - TOP
    width = inner / len(counts)
    bars = []
    for i, count in enumerate(counts):
        height = span * math.sqrt(count / most)
        inside = threshold is not None and edges[i + 1] > threshold
        label = f"{edges[i]:.2f} to {edges[i + 1]:.2f}: {count:,} people"
        bars.append(Bar(LEFT + i * width + 1, floor - height, max(width - 2, 1), height, inside and count > 0, label))
    low, high = edges[0], edges[-1]
    marks = [low + (high - low) * i / 4 for i in range(5)]
    ticks = [Tick(LEFT + inner * i / 4, f"{value:.2g}") for i, value in enumerate(marks)]
    line = None if threshold is None or high <= low else LEFT + inner * (threshold - low) / (high - low)
    levels = [Tick(floor - span * math.sqrt(v / most), _short(v)) for v in _nice(most) if v <= most]
    return {"bars": bars, "ticks": ticks, "line": line, "levels": levels, "floor": floor, **_box()}


def curve(points: Sequence[Any], share: float | None) -> dict[str, Any]:
    """Precision with its interval and recall over reach, on a scale of powers; `share` is where the audience is."""
    points = sorted(points, key=lambda point: point.share)
    low, high = math.log10(points[0].share), math.log10(points[-1].share) or 1e-9
    inner, floor, span = WIDTH - LEFT - RIGHT, HEIGHT - BOTTOM, HEIGHT - BOTTOM - TOP

    def x(value: float) -> float:
        return LEFT + inner * (math.log10(min(max(value, 10**low), 10**high)) - low) / ((high - low) or 1)

    def y(value: float) -> float:
        return floor - span * value

    def path(values: Sequence[tuple[float, float]]) -> str:
        return " ".join(f"{'M' if i == 0 else 'L'}{x(a):.1f} {y(b):.1f}" for i, (a, b) in enumerate(values))

    band = (
        path([(p.share, p.high) for p in points])
        + " "
        + path([(p.share, p.low) for p in reversed(points)]).replace("M", "L", 1)
        + " Z"
    )
    return {
        "band": band,
        "precision": path([(p.share, p.precision) for p in points]),
        "recall": path([(p.share, p.recall) for p in points]),
        "dots": [(x(p.share), y(p.precision)) for p in points],
        "ticks": _apart([Tick(x(p.share), f"{p.share:.0%}") for p in points]),
        "levels": [Tick(y(v), f"{v:.0%}") for v in (0, 0.25, 0.5, 0.75, 1)],
        "line": None if not share else x(share),
        "floor": floor,
        **_box(),
    }


def reliability(bins: Sequence[Any], is_chance: bool) -> dict[str, Any]:
    """Dots of what was predicted against what came true; on the diagonal they agree."""
    most = max([*(b.predicted for b in bins), *(b.observed for b in bins), 1e-9])
    top = _nice(most)[-1]
    inner, floor, span = WIDTH - LEFT - RIGHT, HEIGHT - BOTTOM, HEIGHT - BOTTOM - TOP
    write = (lambda v: f"{v:.0%}" if top >= 0.04 else f"{v:.1%}") if is_chance else _short
    dots = [(LEFT + inner * b.predicted / top, floor - span * b.observed / top) for b in bins]
    places = _nice(most)
    return {
        "dots": dots,
        "ticks": [Tick(LEFT + inner * v / top, write(v)) for v in places],
        "levels": [Tick(floor - span * v / top, write(v)) for v in places],
        "diagonal": (LEFT, floor, LEFT + inner, floor - span),
        "floor": floor,
        **_box(),
    }


def sizes(refreshes: Sequence[Any]) -> dict[str, Any]:
    """The size at each refresh, oldest first, with bars of who joined and who left."""
    rows = list(reversed(refreshes))[-60:]
    most = max([max(r.size, r.joins, r.leaves) for r in rows] + [1])
    top = _nice(most)[-1]
    inner, floor, span = WIDTH - LEFT - RIGHT, HEIGHT - BOTTOM, HEIGHT - BOTTOM - TOP
    width = inner / max(len(rows), 1)
    places = [(LEFT + width * (i + 0.5), floor - span * r.size / top) for i, r in enumerate(rows)]
    wide = min(width * 0.3, 14)
    bars = [
        Bar(x - wide + wide * i, floor - span * count / top, wide, span * count / top, not i, f"{count:,} {word}")
        for (x, _), r in zip(places, rows, strict=True)
        for i, (count, word) in enumerate(((r.joins, "joined"), (r.leaves, "left")))
        if count
    ]
    labels = _apart([Tick(place[0], f"#{row.refresh}") for place, row in zip(places, rows, strict=True)])
    line = " ".join(f"{'M' if i == 0 else 'L'}{x:.1f} {y:.1f}" for i, (x, y) in enumerate(places))
    levels = [Tick(floor - span * v / top, _short(v)) for v in _nice(most)]
    return {"line": line, "dots": places, "bars": bars, "ticks": labels, "levels": levels, "floor": floor, **_box()}


def sparkline(values: Sequence[float], width: float = 96, height: float = 26) -> str:
    """The path of a small line; one value is a flat line."""
    values = list(values) * (2 if len(values) == 1 else 1)
    low, high = min(values), max(values)
    spread = (high - low) or 1
    step = (width - 4) / (len(values) - 1)
    places = [(2 + i * step, height - 3 - (height - 6) * ((v - low) / spread if high > low else 0.5)) for i, v in enumerate(values)]
    return " ".join(f"{'M' if i == 0 else 'L'}{x:.1f} {y:.1f}" for i, (x, y) in enumerate(places))


def _box() -> dict[str, float]:
    return {"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": WIDTH - RIGHT, "top": TOP}
