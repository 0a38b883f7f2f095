"""A candidate beside the champion: both on the held-out users and the window that the gate judges the candidate by.

What belongs here: the comparison, and the bootstrap that says what of it is chance. What does not: whether a version is good enough
by itself (`gate`), and what a lost comparison means (`model_versions.reason_to_wait`).

Users are drawn again, the same ones for both models, so that what is hard for both cancels out. The candidate loses where the whole
95 % interval of the difference lies on the champion's side: a new model that is about as good takes service, since it has learned
from newer days.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from found_platform import registry
from found_platform.contract import MIN_HELD_OUT
from found_platform.metrics import CONFIDENCE
from found_platform.registry.gate import Candidate

DRAWS = 2000

FIGURES = {"phrase_auc": "ranking users for phrases", "future_auc": "finding own futures"}


@dataclass(frozen=True)
class Comparison:
    """What came of it. `figures` has both models' figures, the differences and their bounds; empty where nothing was compared."""

    champion: str
    worse: bool
    sentence: str
    figures: dict[str, float]

    def as_json(self) -> str:
        """As a tag of the version keeps it."""
        return json.dumps(asdict(self))

    @classmethod
    def of_tag(cls, tag: str) -> Self:
        content: dict[str, Any] = json.loads(tag)
        return cls(**content)


def compare(candidate: Candidate, champion: str) -> Comparison:
    """Compares a version with the champion on the last past window of the version's cutoff; stores nothing."""
    settings, cutoff, own = candidate.settings, candidate.cutoff, candidate.loaded
    other = registry.load(settings, champion)
    if own.model.config.encoder_revision != other.model.config.encoder_revision:
        why = f"not compared with version {champion}, the champion: it reads texts by another encoder"
        return Comparison(champion, False, why, {})
    past = candidate.past
    if past.users < MIN_HELD_OUT:
        few = f"only {past.users} held-out users acted on both sides of {past.start}"
        why = f"not compared with version {champion}, the champion: {few}"
        return Comparison(champion, False, why, {})
    ranks, shares, of_the_candidate = candidate.outcome
    champion_ranks, champion_shares, champion_figures = past.figures_of(settings, other.model)
    figures = {**of_the_candidate, **{f"champion_{name}": value for name, value in champion_figures.items()}}
    lost, parts = [], []
    for name, differences in (("phrase_auc", shares - champion_shares), ("future_auc", ranks - champion_ranks)):
        low, high = interval(differences)
        figures |= {f"{name}_difference_low": round(low, 4), f"{name}_difference_high": round(high, 4)}
        if high < 0:
            lost.append(FIGURES[name])
        parts.append(f"{FIGURES[name]} {figures[name]:.3f} to {figures[f'champion_{name}']:.3f} ({low:+.3f} to {high:+.3f})")
    outcome = f"worse at {' and '.join(lost)}" if lost else "not worse beyond chance"
    sentence = (
        f"{outcome} than version {champion}, the champion, on the same {past.users} held-out users in [{past.start}, {cutoff}): "
        f"{'; '.join(parts)}"
    )
    return Comparison(champion, bool(lost), sentence, figures)


def interval(differences: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """The bounds of a mean over users (N,), by a bootstrap with Poisson weights."""
    weights = np.random.default_rng(seed).poisson(1.0, (DRAWS, len(differences))).astype(np.float32)
    means = weights @ differences.astype(np.float32) / np.maximum(weights.sum(1), 1.0)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
