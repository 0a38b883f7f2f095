"""FOUND's vector, whole and in parts, each beside the activity aggregates."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from found_platform.evaluation.methods.interface import Probe
from found_platform.evaluation.population import Population

if TYPE_CHECKING:
    from models.found import Found


def _beside_activity(part: "Callable[[Population, Found], np.ndarray]") -> Callable[[Population], np.ndarray | None]:
    """Features from a part of the vector; None where another model than FOUND made it."""

    def features(population: Population) -> np.ndarray | None:
        from models.found import Found

        model = population.model
        if not isinstance(model, Found):
            return None
        return population.standard(part(population, model), population.standard_activity)

    return features


def _untrained(population: Population, model: "Found") -> np.ndarray:
    import torch

    from models.found import Found

    with torch.random.fork_rng():
        torch.manual_seed(0)
        untrained = Found(model.config).eval()
    return population.by_model(untrained.stage1)


def _trained(name: str, about: str, part: "Callable[[Population, Found], np.ndarray]") -> Probe:
    return Probe(name, about, _beside_activity(part), own=True, few_shot=True, by_training_seed=True)


METHODS = (
    Probe("untrained_activity", "stage 1 with random weights", _beside_activity(_untrained), own=True),
    _trained("stage1_activity", "stage 1", lambda p, m: p.by_model(m.stage1)),
    _trained("concatenation_activity", "the modalities side by side, without alignment", lambda p, m: p.by_model(m.concatenation)),
    _trained("aligned_activity", "the aligned part", lambda p, m: p.vectors[:, : m.config.dim]),
    _trained("found", "the whole vector", lambda p, m: p.vectors[:, : m.config.learned]),
)
