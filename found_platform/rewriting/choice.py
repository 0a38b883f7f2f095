"""Which items of a lake a demand is about: on which side of it each is, and the few that stand for the rest.

What belongs here: choosing by similarities. What does not: whether a demand resembles the lake at all (`retrieval`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from found_platform.rewriting.ground import Ground

MOST_PHRASES = 5
NEAR = 300
"""Items looked at for each part of a demand."""
ABOUT = 0.7
"""An item is about a part when it is at least this share as similar as the part's nearest item."""
OTHER, SAME = 0.4, 0.8
"""Items as little alike as the first are two things, as much as the second one thing in other words."""
ENOUGH = 0.1
"""A further phrase must add this share of what the first one stands for."""
NEARLY = 0.9
"""Of a category that names several things, "tea and coffee", a text this much as similar as it is speaks in its place."""
SEVERAL = re.compile(r"\s(?:and|und|&)\s|,\s")


@dataclass(frozen=True)
class Side:
    """Similarities of N items to P parts of a demand, -1 where an item is on the other side."""

    similar: np.ndarray  # (P, N)
    about: np.ndarray  # (P, N) the same, -1 too where an item is not about the part


def sides(
    lake: Ground, wanted: np.ndarray, unwanted: np.ndarray, own_words: Sequence[set[str]], opposed: np.ndarray
) -> tuple[Side, Side]:
    """The items that parts name which are wanted (P, E), and which are not (U, E). An item is on the side that it is nearer to; an
    item that holds all of the words that one of the unwanted parts alone says, `own_words`, is on that side. None is wanted that is
    `opposed` (N,), the opposite of what the demand says.

    Whether it is about a part is measured by the part's nearest item of all: "wine but not champagne", where nothing is nearer to
    champagne than wine, leaves out nothing, and not what comes next.
    """
    both = np.where(opposed, -1.0, wanted @ lake.vectors.T), unwanted @ lake.vectors.T
    best = [similar.max(0, initial=-1.0) for similar in both]
    nearer = best[0] > best[1], best[1] > best[0]
    for own in filter(None, own_words):
        places = list(set[int].intersection(*(set(lake.vocabulary.get(word, ())) for word in own)))
        nearer[0][places], nearer[1][places] = False, True
    first, second = (_side(lake, similar, own) for similar, own in zip(both, nearer, strict=True))
    return first, second


def _side(lake: Ground, similar: np.ndarray, nearer: np.ndarray) -> Side:
    is_about = similar > ABOUT * np.maximum(similar.max(1, initial=-1.0, keepdims=True), 0)
    text = similar[:, : lake.texts].max(1, initial=-1.0)
    for place in range(lake.texts, len(lake.items)):
        if SEVERAL.search(lake.items[place]):
            is_about[:, place] &= text < NEARLY * similar[:, place]
    return Side(np.where(nearer, similar, -1.0), np.where(nearer & is_about, similar, -1.0))


def choose(lake_items: Ground, similar: np.ndarray) -> list[int]:
    """A few items that stand for all that is about the parts: near, common, and unlike one another.

    Greedy facility location: what is about a part is covered by a phrase as far as it resembles it. No part goes without a phrase,
    however much nearer another part's items are: "nappies and a car" asks for both.
    """
    if not len(similar):
        return []
    best = similar.max(0)
    pools = [np.argsort(-row, kind="stable")[:NEAR] for row in similar]
    pools = [pool[row[pool] > ABOUT * max(row[pool[0]], 0)] for pool, row in zip(pools, similar, strict=True)]
    items = np.unique(np.concatenate(pools))
    if not len(items):
        return []
    weight = np.zeros(len(items))  # every part matters alike, within it what is near and common
    for pool, row in zip(pools, similar, strict=True):
        share = np.log1p(lake_items.events[pool]) * (row[pool] - row[pool].min() + 0.02)
        weight[np.searchsorted(items, pool)] += share / max(share.sum(), 1e-9)
    alike = np.clip((lake_items.vectors[items] @ lake_items.vectors[items].T - OTHER) / (SAME - OTHER), 0, 1)
    worth = best[items] ** 2 * np.log1p(lake_items.events[items]) ** 0.5  # near, and not too rare
    nearest = np.argmax(similar[:, items] / np.maximum(similar.max(1, keepdims=True), 1e-9), 0)  # part of each item
    of_part = np.stack([np.isin(items, pool) & (nearest == part) for part, pool in enumerate(pools)])  # (P, n)
    chosen: list[int] = []
    covered, first = np.zeros(len(items)), 0.0
    candidates = np.ones(len(items), bool)
    while len(chosen) < min(MOST_PHRASES, len(items)):
        gain = np.where(candidates, (np.maximum(alike - covered, 0) @ weight) * worth, 0.0)
        place = int(gain.argmax())
        first = first or float(gain[place])
        without = of_part.any(1) & ~of_part[:, chosen].any(1)
        is_owed = len(chosen) + without.sum() >= MOST_PHRASES and not of_part[without, place].any()
        if gain[place] < ENOUGH * first or (without.any() and is_owed):
            if not without.any():
                break
            candidates, first = of_part[without].any(0), 0.0  # on a scale of their own
            continue
        chosen.append(place)
        covered = np.maximum(covered, alike[place])
    return [int(items[i]) for i in sorted(chosen, key=lambda i: -best[items[i]])]
