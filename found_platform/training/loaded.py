"""Loads what training needs, for a process that is forked: with what PyTorch loads by itself when a first optimiser is made."""

from found_platform import garbage

with garbage.loading():  # a fork that looked at these objects would copy their pages
    import torch
    from torch import nn

    import found_platform.training.__main__  # noqa: F401

    torch.optim.AdamW([nn.Parameter(torch.zeros(1))])
