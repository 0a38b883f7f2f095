"""What is asked of each user, asked of everybody and joined: of all at once, of parts side by side on the cores of this machine, or
of parts on the workers of an engine.

What belongs here: where it is asked. What does not: what is asked (`replay`, `scorers`).
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from found_platform.scoring import part_workers, parts
from found_platform.scoring.population import Population

T = TypeVar("T", np.ndarray, tuple[np.ndarray, ...])


def each(population: Population, question: Callable[[Population], T]) -> list[T]:
    """The answer of the population itself, or of each of its parts, in their order."""
    if not parts.is_divided(population):
        return [question(population)]
    if part_workers.takes(population):
        return part_workers.ask(population, question)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(question, parts.parts(population)))


def joined(population: Population, question: Callable[[Population], np.ndarray]) -> np.ndarray:
    """(U, ...) the answer of each user."""
    return np.concatenate(each(population, question))
