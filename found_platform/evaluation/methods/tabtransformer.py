"""TabTransformer alone: the table, and nothing of what users did but its counts."""

import numpy as np

from found_platform.evaluation import rivals
from found_platform.evaluation.methods.interface import Probe, rows_of
from found_platform.evaluation.population import Population


def _vectors(population: Population) -> np.ndarray:
    return rivals.of_table(population, "tabtransformer")


METHODS: tuple[Probe, ...] = rows_of(
    "tabtransformer",
    "TabTransformer alone (arXiv 2012.06678)",
    _vectors,
    needs="profile attributes and activity aggregates, numbers in ten bins",
    faithful="a token a column, 32 places, 8 heads, masked values and replaced ones (MLM & RTD)",
    reduced="three layers of six",
)
