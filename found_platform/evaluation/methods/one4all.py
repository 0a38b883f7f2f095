"""One4all with its U-MLP decoder: BERT over the purchase log."""

import numpy as np

from found_platform.evaluation import rivals
from found_platform.evaluation.classifiers import perceptron
from found_platform.evaluation.methods.interface import Probe, rows_of
from found_platform.evaluation.population import Population


def _vectors(population: Population) -> np.ndarray:
    from models.baselines.one4all import One4all

    return rivals.of_events(population, "one4all", One4all)


METHODS: tuple[Probe, ...] = rows_of(
    "one4all",
    "One4all with U-MLP (arXiv 2106.00573)",
    _vectors,
    classifier=perceptron,
    faithful="a fifth of the items masked, their category and date predicted; a multilayer perceptron on the frozen vector",
    reduced="two layers, 64 places; the newest 64 events; one level of categories, the weekday as date",
)
