"""Whether the difference of two methods is chance: a paired bootstrap over users.

Users are drawn again, the same ones for every method and every scenario, so that what is hard for all of them cancels out. An AUC
of drawn users is taken from placement values (DeLong et al. 1988), to first order: each user adds what the original ranking says of
them. That makes a draw a product of matrices, and a thousand draws of every pair a matter of seconds.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pyarrow as pa

from found_platform.metrics import CONFIDENCE, placements

DRAWS = 1000
MEAN = "mean"
"""What stands for the mean over scenarios."""


@dataclass(frozen=True)
class Difference:
    """By how much the AUC of `method` is above that of `other`, and its bounds, at 95 %; `chance` where 0 is between them."""

    task: str
    scenario: str
    method: str
    other: str
    difference: float
    low: float
    high: float
    chance: bool

    @property
    def turned(self) -> "Difference":
        """The same, seen from the other method."""
        return Difference(self.task, self.scenario, self.other, self.method, -self.difference, -self.high, -self.low, self.chance)

    @property
    def verdict(self) -> str:
        """`ahead` or `behind` of the other method, or `chance`."""
        return "chance" if self.chance else "ahead" if self.difference > 0 else "behind"


def against(pairs: list[Difference], task: str, scenario: str = MEAN, method: str | None = None) -> list[Difference]:
    """The differences of every method of a task to one of them, the best first; by default to the one that leads."""
    both = [d for pair in pairs if (pair.task, pair.scenario) == (task, scenario) for d in (pair, pair.turned)]
    if method is None:
        wins: dict[str, float] = {}
        for d in both:
            wins[d.method] = wins.get(d.method, 0.0) + d.difference
        method = max(wins, key=lambda name: wins[name]) if wins else None
    return sorted((d for d in both if d.other == method), key=lambda d: -d.difference)


def differences(scores: pa.Table, draws: int = DRAWS, seed: int = 0) -> list[Difference]:
    """Every pair of methods of one task, in each scenario that both answered, and over the mean of those.

    `scores` are rows of `benchmark_scores`. Where a method answered but some of the scenarios, means are over what both did.
    """
    users = scores["user_key"].dictionary_encode().combine_chunks()  # pyright: ignore
    place = users.indices.to_numpy()
    weights = np.random.default_rng(seed).poisson(1.0, (draws, len(users.dictionary))).astype(np.float32)
    frame = scores.select(["task", "method", "scenario"]).to_pandas()
    answered: dict[str, dict[str, dict[str, Drawn]]] = {}
    for (task, method), of_method in frame.groupby(["task", "method"], sort=False):
        by_scenario = of_method.groupby("scenario", sort=False).indices
        aucs, influence = [], np.zeros((weights.shape[1], len(by_scenario)), np.float32)
        for column, places in enumerate(by_scenario.values()):
            rows = of_method.index.to_numpy()[places]
            part = scores.take(pa.array(rows))
            auc, of_users = influences(_by_draw(part), part["label"].to_numpy())
            influence[place[rows], column] = of_users
            aucs.append(auc)
        again = weights @ influence  # (B, S): one product in place of a copy of the weights for each scenario
        drawn = {name: Drawn(auc, auc + again[:, column]) for column, (name, auc) in enumerate(zip(by_scenario, aucs, strict=True))}
        answered.setdefault(str(task), {})[str(method)] = drawn
    return [difference for task, methods in answered.items() for difference in _pairs(task, methods)]


@dataclass(frozen=True)
class Drawn:
    """The AUC of a method in a scenario, and (B,) that of users who were drawn again."""

    auc: float
    again: np.ndarray


def _by_draw(rows: pa.Table) -> np.ndarray:
    """(N, D) the scores, NaN where the user was shown."""
    flat = rows["scores"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return flat.astype(np.float64).reshape(rows.num_rows, -1)


def influences(scores: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """The AUC as the mean over draws (N, D), and (N,) by how much it changes where a user counts once more.

    A user changes the mean over their own kind, of which they are one of so many: by the share of the other kind that they are on
    the right side of, less the AUC.
    """
    aucs, influence = [], np.zeros(len(labels))
    for column in scores.T:
        positive, negative = (np.flatnonzero((labels == label) & ~np.isnan(column)) for label in (1, 0))
        if len(positive) and len(negative):
            above = placements(column[positive], column[negative])
            aucs.append(above.mean())
            influence[positive] += (above - aucs[-1]) / len(positive)
            influence[negative] += (placements(-column[negative], -column[positive]) - aucs[-1]) / len(negative)
    return (float(np.mean(aucs)), influence / len(aucs)) if aucs else (0.5, influence)


def _pairs(task: str, methods: dict[str, dict[str, Drawn]]) -> Iterator[Difference]:
    tails = 100 * np.array([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    for method, other in combinations(methods, 2):
        both = [scenario for scenario in methods[method] if scenario in methods[other]]
        pairs = {s: (methods[method][s], methods[other][s]) for s in both}
        again = {s: one.again - two.again for s, (one, two) in pairs.items()}
        lead = {s: one.auc - two.auc for s, (one, two) in pairs.items()}
        if both:
            again[MEAN], lead[MEAN] = np.mean(list(again.values()), 0), float(np.mean(list(lead.values())))
        for scenario, difference in lead.items():
            low, high = np.percentile(again[scenario], tails).tolist()
            yield Difference(task, scenario, method, other, difference, low, high, low <= 0 <= high)
