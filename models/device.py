"""Where models run: at rest on the CPU, in training and for work in bulk on a GPU where there is one."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


def chosen_device() -> str:
    """`cuda` where there is a GPU, else `cpu`."""
    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def on_device(model: nn.Module) -> Iterator[None]:
    """Has a model on the chosen device for a while. After it, whoever else holds the model finds it on the CPU again."""
    model.to(chosen_device())
    try:
        yield
    finally:
        model.to("cpu")
