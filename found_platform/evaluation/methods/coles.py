"""CoLES: slices of one user's events near each other, those of different users apart."""

import numpy as np

from found_platform.evaluation import rivals
from found_platform.evaluation.methods.interface import Probe, rows_of
from found_platform.evaluation.population import Population


def _vectors(population: Population) -> np.ndarray:
    from models.baselines.coles import Coles

    return rivals.of_events(population, "coles", Coles)


METHODS: tuple[Probe, ...] = rows_of(
    "coles",
    "CoLES (arXiv 2002.08232)",
    _vectors,
    faithful="five random slices a user, a GRU, unit length, margin 0.5, the hardest negatives",
    reduced="64 places; the newest 64 events",
)
