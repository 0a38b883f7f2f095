"""What the trained rivals of `models.baselines` are made from: everybody's events and table before the cutoff, as tensors.

What belongs here: from a population to vectors, with the budget that training them gets. What does not: the models themselves, and
the rows of the table that they are (`methods`).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from found_platform.contract import CHANNELS
from found_platform.evaluation.population import Population
from found_platform.index.past import Past

if TYPE_CHECKING:
    from torch import nn

    from models.baselines.sequences import Sequences

LENGTH = 64
"""Newest events of a user that a rival reads; about what FOUND's profiles for a CPU read."""

CATEGORIES = 60
"""Most frequent categories that are behaviour types of their own; an event of another is of its channel's type."""

FEWEST = 2
"""Events of a user who teaches something: there is a next one."""


def of_events(population: Population, name: str, make: "Callable[[Sequences], nn.Module]") -> np.ndarray:
    """(U, D) vectors of everybody by a rival that reads events, trained once for a population."""

    def trained() -> np.ndarray:
        import torch

        sequences = sequences_of(population)
        rows = torch.nonzero(sequences.mask.sum(1) >= FEWEST)[:, 0].cpu()
        return _trained(population, name, lambda: make(sequences), rows.numpy())

    return population.trained(name, trained)


def of_table(population: Population, name: str) -> np.ndarray:
    """(U, D) vectors of everybody by the rival that reads the table, trained once for a population."""

    def trained() -> np.ndarray:
        import torch

        from models import table_codec
        from models.baselines.tabtransformer import TabTransformer
        from models.device import chosen_device

        table = {column: population.attributes[column].to_pylist() for column in population.attributes.column_names}
        columns = table_codec.fit(table)
        cells = torch.from_numpy(table_codec.encode(columns, table)).to(chosen_device())
        sizes = tuple(column.size for column in columns)
        return _trained(population, name, lambda: TabTransformer(cells, sizes), np.arange(len(cells)))

    return population.trained(name, trained)


def _trained(population: Population, name: str, make: "Callable[[], nn.Module]", learners: np.ndarray) -> np.ndarray:
    import torch

    from models.baselines.training import Budget, fit, seeded

    budget = Budget(**population.settings.sizes.rivals)
    about = f"benchmark: {name}, {budget.passes} passes over {len(learners):,} users"
    with tqdm(total=budget.steps(len(learners)), desc=about, unit="step", disable=None, leave=False) as bar:

        def progress(loss: float) -> None:
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            bar.update()

        return fit(seeded(make, budget), torch.from_numpy(learners), len(population.keys), budget, progress)


def sequences_of(population: Population) -> "Sequences":
    """The newest events that everybody did before the cutoff, in the order in which they happened."""
    import torch

    from models.baselines.sequences import Sequences
    from models.device import chosen_device

    past = population.past
    own = past.at(~past.exposed)
    own = own.at(np.lexsort((own.minute, own.happened, own.user)))
    kind, kinds = _kinds(own)
    columns = {
        "text": own.text.astype(np.int64),
        "age": (own.day - own.happened - own.minute / 1440).astype(np.float32),
        "channel": own.channel.astype(np.int64),
        "amount": np.where(own.amount > 0, np.minimum(1 + np.log2(1 + own.amount), 31), 0).astype(np.int64),
        "kind": kind,
    }
    counts = torch.from_numpy(np.bincount(own.user, minlength=own.users))
    tensors = {name: torch.from_numpy(column) for name, column in columns.items()}
    texts = torch.from_numpy(population.frozen_event_texts.astype(np.float32))
    return Sequences.of_events(texts, tensors, counts, kinds, LENGTH).to(chosen_device())


def _kinds(own: Past) -> tuple[np.ndarray, int]:
    """(N,) the behaviour type of each event, and how many there are: frequent categories, then channels."""
    has_category = own.category >= 0
    names, counts = np.unique(own.category[has_category], return_counts=True)
    common = np.sort(names[np.argsort(-counts, kind="stable")[:CATEGORIES]])
    place = np.minimum(np.searchsorted(common, own.category), max(0, len(common) - 1))
    is_common = has_category & (common[place] == own.category) if len(common) else np.zeros(len(place), bool)
    return np.where(is_common, place, len(common) + own.channel).astype(np.int64), len(common) + len(CHANNELS)
