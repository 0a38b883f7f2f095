"""FOUND trained again with other seeds: how much of a figure is the luck of one training.

What belongs here: a population as models of other seeds have it. What does not: how a stage is trained (`training_runs.stages`).
"""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from found_platform.evaluation.population import Population

if TYPE_CHECKING:
    from models.found import Found


def populations(population: Population, seeds: int) -> list[Population]:
    """The same users by models of `seeds` - 1 other training seeds; none where a frozen-text model serves, which learns nothing."""
    from found_platform.training_runs import stages
    from models import saved
    from models.found import Found

    others: list[Population] = []
    if isinstance(population.model, Found):
        for seed in tqdm(range(1, seeds), desc="benchmark: training seeds", unit="model", disable=None, leave=False):
            model = saved.load(stages.again(population.settings, population.cutoff, seed))
            assert isinstance(model, Found)
            others.append(of_model(population, model))
    return others


def check(population: Population) -> None:
    """Raises BadInput where other seeds cannot be trained, before anything else is asked."""
    from found_platform.training_runs import stages
    from models.found import Found

    if isinstance(population.model, Found):
        stages.check_files(population.settings, population.cutoff)


def of_model(population: Population, model: "Found") -> Population:
    """The users of a population as another model has them; what the lake knows of them is not asked again."""
    empty = np.zeros((len(population.keys), 0), np.float32)
    other = Population.of_lake(population.settings, model, None, population.cutoff, population.keys, empty, population.events)
    vars(other)["history"] = population.history
    embedded = replace(other, vectors=other.by_model(model.users))
    vars(embedded)["history"] = population.history
    return embedded
