"""How close a demand is to what a lake holds, and when that is close enough: the floors of text encoders, measured (`floors.yaml`).

What belongs here: similarities and their limits. What does not: which items a demand is about (`choice`, `retrieval`).
"""

import math
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
import yaml

from found_platform.rewriting.ground import Ground
from found_platform.rewriting.language import PACKAGE

NEAREST = 2
"""Items whose mean similarity is the closeness of a demand; in a small lake, the nearest alone: it has one item of each thing."""
SMALL = 300
"""Up to so many items a lake is small, and has floors of its own."""


@dataclass(frozen=True)
class Floors:
    """When a demand resembles a lake, see `floors.yaml`."""

    floor: float
    part: float
    middle: float
    slope: float
    measured: bool = True
    random: bool = False  # of an encoder that was never trained

    def confidence(self, closeness: float) -> float:
        return 1 / (1 + math.exp(-self.slope * (closeness - self.middle)))


def floors(lake: Ground) -> Floors:
    """The floors for a lake and its encoder, in any precision; where nobody measured them, those of the default encoder."""
    return _floors(lake.encoder.revision, len(lake.vectors) <= SMALL)


@cache
def _floors(revision: str, is_small: bool) -> Floors:
    from models.text_encoder import is_random, whole

    revision, size = whole(revision), "small" if is_small else "large"
    measured = yaml.safe_load((resources.files(PACKAGE) / "floors.yaml").read_text())
    is_measured = revision in measured
    return Floors(
        **(measured[revision] if is_measured else next(iter(measured.values())))[size],
        measured=is_measured,
        random=is_random(revision),
    )


def closeness(lake_items: Ground, vectors: np.ndarray, opposed: np.ndarray | None = None) -> np.ndarray:
    """(V,) how close each vector is to what the lake holds: its mean similarity to the nearest items, or item of a small lake.

    Items of which `opposed` (N,) is true are the opposite of what the vectors say.
    """
    if not len(vectors):
        return np.empty(0, np.float32)
    similarity = vectors @ lake_items.vectors.T
    if opposed is not None:
        similarity[:, opposed] = -1.0
    count = 1 if similarity.shape[1] <= SMALL else NEAREST
    return np.partition(similarity, -count, axis=1)[:, -count:].mean(1)
