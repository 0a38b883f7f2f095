"""MSDP: how behaviour will be distributed over its types in a window of the future."""

import numpy as np

from found_platform.evaluation import rivals
from found_platform.evaluation.methods.interface import Probe, rows_of
from found_platform.evaluation.population import Population


def _vectors(population: Population) -> np.ndarray:
    from models.baselines.msdp import Msdp

    return rivals.of_events(population, "msdp", Msdp)


METHODS: tuple[Probe, ...] = rows_of(
    "msdp",
    "MSDP (CIKM 2023)",
    _vectors,
    faithful="random moments, windows of 7, 14 and 28 days as prompt tokens, cross-entropy with what came, a masked view beside",
    reduced="two layers, 64 places; the newest 64 events; 60 categories and the channels as types",
)
