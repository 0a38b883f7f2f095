"""Loads what PyTorch loads by itself only when a first optimiser is made, for a process that is forked before that."""

import torch
from torch import nn

torch.optim.AdamW([nn.Parameter(torch.zeros(1))])
