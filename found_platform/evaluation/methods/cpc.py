"""CPC: contrastive predictive coding of a user's events."""

import numpy as np

from found_platform.evaluation import rivals
from found_platform.evaluation.methods.interface import Probe, rows_of
from found_platform.evaluation.population import Population


def _vectors(population: Population) -> np.ndarray:
    from models.baselines.cpc import Cpc

    return rivals.of_events(population, "cpc", Cpc)


METHODS: tuple[Probe, ...] = rows_of(
    "cpc",
    "CPC (arXiv 1807.03748)",
    _vectors,
    faithful="a causal GRU, a linear head for each of six steps ahead, InfoNCE against 40 events of other users",
    reduced="64 places; the newest 64 events",
)
