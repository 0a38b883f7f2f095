"""What a run needs and what the machine has, said before training starts."""

import os
from dataclasses import dataclass

import torch
from torch import nn

from found_platform.training.loop import Options


class DoesNotFit(RuntimeError):
    """The run needs more memory than the machine has. The message says what to change."""


@dataclass(frozen=True)
class Needs:
    """Parameters, and bytes of weights, gradients, optimiser state and the best weights so far; activations come on top."""

    parameters: int
    trained: int
    bytes: int

    def sentence(self) -> str:
        return f"{self.parameters:,} parameters, {self.trained:,} of them trained; {self.bytes / 2**20:,.0f} MiB before activations"


def needs(model: nn.Module) -> Needs:
    """Of a model that is trained with AdamW in float32."""
    every = list(model.parameters())
    trained = sum(p.numel() for p in every if p.requires_grad)
    weights = sum(p.numel() * p.element_size() for p in every)
    return Needs(sum(p.numel() for p in every), trained, weights + 4 * trained * 4)  # gradient, two moments, best weights


def available(device: str) -> int:
    """Bytes of free memory of the device."""
    if device == "cuda":
        return torch.cuda.mem_get_info()[0]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def check(model: nn.Module, options: Options, device: str) -> Needs:
    """Raises DoesNotFit where not even the weights and their optimiser state have room."""
    wanted, free = needs(model), available(device)
    if wanted.bytes > free:
        raise DoesNotFit(
            f"This profile needs {wanted.bytes / 2**30:.1f} GiB for weights and optimiser state and {device} has "
            f"{free / 2**30:.1f} GiB free: choose a smaller profile, or train on a larger machine "
            f"(batch {options.batch}, micro-batch {options.micro_batch or options.batch})."
        )
    return wanted
