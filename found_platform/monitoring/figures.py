"""What monitoring says of a figure: it passed, it drifted, or it was not judged, and why.

Nothing passes that was not judged. How a figure is measured, and how far it may move, belongs to `drift` and `traffic`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

PASSED, DRIFTED, NOT_JUDGED = "passed", "drifted", "not judged"

FALSE_ALARMS = 0.01
"""Chance that one report without any drift calls something a drift; each of its figures gets an equal part (Bonferroni)."""

REFERENCE_DAYS = 28
"""How far back lies what a day is compared with."""


@dataclass(frozen=True)
class Figure:
    """One figure and what became of it. `limit` is how far it may move: what matters in practice, or what chance does if that is
    more. `why` says why it was not judged. Figures are None where the data has none."""

    name: str
    value: float | None
    reference: float | None
    limit: float | None
    state: str
    why: str = ""

    @property
    def drifted(self) -> bool:
        return self.state == DRIFTED


def not_judged(name: str, why: str, value: float | None = None, reference: float | None = None) -> Figure:
    """A figure that cannot be judged."""
    return Figure(name, value, reference, None, NOT_JUDGED, why)


def state(figures: Sequence[Figure]) -> str:
    """Of a report: drifted where any figure did, passed where every figure did, not judged otherwise."""
    states = {figure.state for figure in figures}
    if DRIFTED in states:
        return DRIFTED
    return PASSED if states == {PASSED} else NOT_JUDGED


def sentence(figures: Sequence[Figure]) -> str:
    """What a person reads: which figures drifted, and which were not judged for which reason."""
    if not figures:
        return "not judged: there is no figure"
    drifted = [f.name for f in figures if f.state == DRIFTED]
    reasons: dict[str, list[str]] = {}
    for figure in figures:
        if figure.state == NOT_JUDGED:
            reasons.setdefault(figure.why, []).append(figure.name)
    parts = [f"drifted: {', '.join(drifted)}"] if drifted else []
    parts += [f"not judged: {', '.join(names)} ({why})" for why, names in reasons.items()]
    return "; ".join(parts) or "all figures are within their limits"


def outcome(figure: Figure) -> str:
    """What became of one figure, for a check."""
    if figure.value is None:
        return figure.why if figure.state == PASSED else f"not judged: {figure.why}"
    if figure.limit is None:
        return f"not judged: {figure.why}"
    if figure.reference:
        times = f"{figure.name} are {figure.value / figure.reference:.3g} times those before"
        return f"{times}, and a factor of {figure.limit:.3g} either way is the limit"
    word = "moved by" if figure.drifted else "are within their limit: moved by"
    return f"{figure.name} {word} {figure.value:g}, and {figure.limit:g} is the limit"
