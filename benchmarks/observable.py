"""What the events of a simulated population can show of the oracle to somebody who knows the leaf of every text.

    .venv/bin/python benchmarks/observable.py [SEED] [BLOCKS]

Counts by leaf, faded by half in 7, 28 and 90 days, paid and not, with the profile; gradient boosting on four fifths of the users,
judged on the last fifth. `direct` needs no label: the count of the scenario's own leaves, faded by half in 28 days.
"""

import datetime as dt
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np

from found_platform.contract import CHANNELS
from found_platform.metrics import auc
from found_platform.sources.simulator import scenarios, world
from found_platform.sources.simulator.events import day_of_block, vocabulary
from found_platform.sources.simulator.oracle import probability
from found_platform.sources.simulator.people import BLOCK, known_attributes

START, DAYS, CUTOFF = dt.date(2026, 1, 1), 120, 92
HALF_LIVES = (7, 28, 90)
NAMES = [s["scenario"] for s in scenarios()]


def block_of(block: int, seed: int) -> tuple[np.ndarray, ...]:
    """Counts (B, L, paid or not, half-life), profile codes (B, P), labels (B, S), true probabilities (B, S)."""
    texts, offsets, _ = vocabulary()
    starts = offsets.ravel()
    leaves = np.repeat(np.arange(len(starts)) // offsets.shape[1], np.diff(np.append(starts, len(texts))))
    leaf_of = dict(zip(reversed(texts.to_pylist()), reversed(leaves.tolist()), strict=True))
    counts = np.zeros((BLOCK, len(offsets), 2, len(HALF_LIVES)))
    labels = np.zeros((BLOCK, len(NAMES)), int)
    for day in range(DAYS):
        events, outcomes = day_of_block(seed, block, START, day, 10**9)
        if day >= CUTOFF:
            for user, name in zip(outcomes["user_id"].to_pylist(), outcomes["scenario"].to_pylist(), strict=True):
                labels[int(user.split("-")[-1]) - block * BLOCK, NAMES.index(name)] = 1
            continue
        own = events.filter(~events["exposure"].to_numpy(zero_copy_only=False))
        user = np.array([int(u.split("-")[-1]) - block * BLOCK for u in own["user_id"].to_pylist()], int)
        leaf = np.array([leaf_of[t] for t in own["text"].to_pylist()], int)
        paid = np.array([c == CHANNELS[0] for c in own["channel"].to_pylist()], int)
        for k, half in enumerate(HALF_LIVES):
            np.add.at(counts[..., k], (user, leaf, paid), 0.5 ** ((CUTOFF - day) / half))
    chance = np.stack([probability(seed, block, START, CUTOFF, spec) for spec in scenarios()], 1)
    profile = [np.where(v.mask, -1, np.unique(v.data, return_inverse=True)[1]) for v in known_attributes(seed, block).values()]
    return counts, np.stack(profile, 1), labels, chance


def main(seed: int, blocks: int) -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier

    with ProcessPoolExecutor(2) as pool:
        parts = list(pool.map(partial(block_of, seed=seed), range(blocks)))
    counts, profile, labels, chance = (np.concatenate(column) for column in zip(*parts, strict=True))
    seen = counts.any((1, 2, 3)) & ~np.isnan(chance).any(1)
    counts, profile, labels, chance = counts[seen], profile[seen], labels[seen], chance[seen]
    is_fitted = np.arange(len(labels)) < 0.8 * len(labels)
    flat = counts.reshape(len(counts), -1)
    features = np.hstack([flat, flat.sum(1, keepdims=True), profile])
    print(f"{is_fitted.sum():,} users to learn from, {(~is_fitted).sum():,} to judge\n{'scenario':16} direct boosting oracle")
    rows = []
    for i, spec in enumerate(scenarios()):
        trees = HistGradientBoostingClassifier(learning_rate=0.05, max_iter=200, max_leaf_nodes=8, l2_regularization=5)
        fitted = trees.fit(features[is_fitted], labels[is_fitted, i])
        own = counts[..., 1][:, [world().index[name] for name in spec["leaves"]]].sum((1, 2))
        scores = (own[~is_fitted], fitted.predict_proba(features[~is_fitted])[:, 1], chance[~is_fitted, i])
        rows.append([auc(s, labels[~is_fitted, i]) for s in scores])
        print(f"{spec['scenario']:16} {rows[-1][0]:.3f}  {rows[-1][1]:.3f}    {rows[-1][2]:.3f}", flush=True)
    mean = np.mean(rows, 0)
    print(f"{'mean':16} {mean[0]:.3f}  {mean[1]:.3f}    {mean[2]:.3f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3, int(sys.argv[2]) if len(sys.argv) > 2 else 16)
