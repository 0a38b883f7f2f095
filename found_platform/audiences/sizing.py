"""How many users an audience has: by a number, by a lowest score, or by a level.

A level looks at the past window of the curve: the best few users are the most precise, everybody is as precise as chance, and the
advantage over chance shrinks on the way. Narrow keeps three quarters of it, balanced a half, broad a quarter: each is the widest
reach that does. A member scores as much as it takes, among the users whom the curve is about, to be within that reach: an exclusion
takes members away and lets no worse ones in. Where there is no curve, or it shows no advantage, a level is a fixed share of those
who can be chosen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from found_platform.audiences.answer import Scored
from found_platform.audiences.specification import Specification
from found_platform.scoring.heads import OperatingPoint

KEPT = {"narrow": 0.75, "balanced": 0.5, "broad": 0.25}
"""Share of the best advantage over chance that a level keeps."""

IN_WORDS = {"narrow": "three quarters", "balanced": "half", "broad": "a quarter"}

SHARES = {"narrow": 0.01, "balanced": 0.05, "broad": 0.15}
"""Share of those who can be chosen, without a curve."""


@dataclass(frozen=True)
class Cut:
    """The first `size` users of a scoring are members; `why` says in words why so many, for the person who asked."""

    size: int
    why: str


def cut(specification: Specification, scored: Scored) -> Cut:
    """How many of the users in `scored`, best first, are members."""
    if scored.nobody is not None:
        return Cut(0, scored.nobody.removesuffix("."))
    available, requested = len(scored.rows), specification.size
    lowest, level = requested.min_score, requested.level
    if requested.top is not None:
        size = min(requested.top, available)
        return Cut(size, "as many as asked for" if size == requested.top else f"only {available:,} users can be chosen")
    if lowest is not None:
        return Cut(_reaching(scored, lowest), f"scores of {lowest:g} or more")
    assert level is not None
    share = widest(scored.curve, KEPT[level]) if scored.curve else None
    if share is None:
        lack = "in the past, scores did no better than chance" if scored.curve else "there is no past to learn a size from"
        return Cut(
            min(available, max(1, round(SHARES[level] * available))),
            f"{SHARES[level]:.0%} of those who can be chosen, because {lack}",
        )
    everybody = scored.ranking.of(scored.population)[scored.within]
    place = max(1, round(share * len(everybody)))
    lowest = float(np.partition(everybody, -place)[-place])
    basis = f"in the past, the best {share:.1%} of people kept {IN_WORDS[level]} of the lead over chance"
    return Cut(_reaching(scored, lowest), f"{basis}; today these score {lowest:.3f} or more")


def _reaching(scored: Scored, lowest: float) -> int:
    return int(np.count_nonzero(scored.scores >= lowest))


def widest(curve: Sequence[OperatingPoint], kept: float) -> float | None:
    """The widest share of users whose precision keeps this share of the advantage that the best precision has over chance.

    Between two points of the curve the advantage is taken to fall evenly. None where even the best precision is not above chance
    with the certainty of its interval.
    """
    points = sorted(curve, key=lambda point: point.share)
    chance, best = points[-1].precision, max(points, key=lambda point: point.precision)
    if best.low <= chance:
        return None
    shares = np.array([p.share for p in points])
    advantage = np.array([(p.precision - chance) / (best.precision - chance) for p in points])
    last = int(np.flatnonzero(advantage >= kept)[-1])
    after = last + 1  # there is one: at the last point, everybody, the advantage is 0
    return float(np.interp(kept, [advantage[after], advantage[last]], [shares[after], shares[last]]))
