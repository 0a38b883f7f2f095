"""What a run needs and what the machine has, said before training starts."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from found_platform.training.loop import Options


class DoesNotFit(RuntimeError):
    """The run needs more memory than the machine has. The message says what to change."""


@dataclass(frozen=True)
class Needs:
    """Parameters, bytes of weights, gradients, optimiser state and the best weights so far, and those of a step's activations."""

    parameters: int
    trained: int
    bytes: int
    activations: int = 0  # 0: not estimated

    def sentence(self) -> str:
        return f"{self.parameters:,} parameters, {self.trained:,} of them trained; {self.bytes / 2**20:,.0f} MiB before activations"


def needs(model: nn.Module) -> Needs:
    """Of a model that is trained with AdamW in float32."""
    every = list(model.parameters())
    trained = sum(p.numel() for p in every if p.requires_grad)
    weights = sum(p.numel() * p.element_size() for p in every)
    return Needs(sum(p.numel() for p in every), trained, weights + 4 * trained * 4)  # gradient, two moments, best weights


def available(device: str) -> int:
    """Bytes of memory that a process can still get: what the file cache would give back counts, and a container's limit too."""
    if device == "cuda":
        return torch.cuda.mem_get_info()[0]
    free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    meminfo = Path("/proc/meminfo")
    if meminfo.exists() and (line := re.search(r"MemAvailable:\s+(\d+) kB", meminfo.read_text())):
        free = int(line[1]) * 1024
    group = Path("/sys/fs/cgroup")
    if (limit := group / "memory.max").exists() and (most := limit.read_text().strip()).isdigit():
        cached = re.search(r"^file (\d+)", (group / "memory.stat").read_text(), re.MULTILINE)
        used = int((group / "memory.current").read_text()) - (int(cached[1]) if cached else 0)
        free = min(free, int(most) - used)
    return free


def check(model: nn.Module, options: Options, device: str) -> Needs:
    """Raises DoesNotFit where not even the weights and their optimiser state have room."""
    required, free = needs(model), available(device)
    if required.bytes > free:
        raise DoesNotFit(
            f"This profile needs {required.bytes / 2**30:.1f} GiB for weights and optimiser state and {device} has "
            f"{free / 2**30:.1f} GiB free: choose a smaller profile, or train on a larger machine "
            f"(batch {options.batch}, micro-batch {options.micro_batch or options.batch})."
        )
    return required
