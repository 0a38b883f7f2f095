"""How rivals are trained: AdamW with a cosine, for a number of steps in proportion to the users, from one seed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from models.device import chosen_device, on_device


@dataclass(frozen=True)
class Budget:
    """How much a rival is trained. Steps grow with the users up to a bound, so that no row of a benchmark takes for ever."""

    passes: int = 15  # over all users
    batch: int = 64
    most: int = 3000  # steps
    learning_rate: float = 1e-3
    seed: int = 0

    def steps(self, users: int) -> int:
        """Steps for so many users."""
        return min(self.most, max(1, -(-self.passes * users // self.batch)))


class Rival(Protocol):
    """A model that learns from users by row, without labels."""

    def loss(self, rows: Tensor, /) -> Tensor:
        """() the loss of the users at `rows` (B,)."""
        ...

    def vectors(self, rows: Tensor, /) -> Tensor:
        """(B, D) their vectors."""
        ...


AT_ONCE = 512
"""Users whose vectors are made at once."""


def fit(rival: nn.Module, learners: Tensor, users: int, budget: Budget, progress: Callable[[float], object]) -> np.ndarray:
    """Trains a rival on the users at `learners` (N,) and returns the vectors (users, D) float32 of all.

    Equal inputs give equal vectors on one machine. `progress` is told the loss of every step.
    """
    with torch.random.fork_rng(), on_device(rival):
        torch.manual_seed(budget.seed)
        steps = budget.steps(len(learners)) if len(learners) else 0
        optimizer = torch.optim.AdamW(rival.parameters(), budget.learning_rate, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
        order = torch.empty(0, dtype=torch.long)
        rival.train()
        for _ in range(steps):
            if len(order) < min(budget.batch, len(learners)):
                order = torch.cat([order, learners[torch.randperm(len(learners))]])
            rows, order = order[: budget.batch].to(chosen_device()), order[budget.batch :]
            optimizer.zero_grad()
            loss = rival.loss(rows)  # pyright: ignore[reportCallIssue]
            loss.backward()
            nn.utils.clip_grad_norm_(rival.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            progress(float(loss.detach()))
        rival.eval()
        with torch.inference_mode():
            parts = [rival.vectors(part.to(chosen_device())).float().cpu() for part in torch.arange(users).split(AT_ONCE)]  # pyright: ignore
    return torch.cat(parts).numpy() if parts else np.empty((0, 0), np.float32)


def seeded(make: Callable[[], nn.Module], budget: Budget) -> nn.Module:
    """A model newly made from the seed of a budget."""
    with torch.random.fork_rng():
        torch.manual_seed(budget.seed)
        return make()
