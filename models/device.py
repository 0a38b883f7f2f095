"""Where models run."""

import torch


def chosen_device() -> str:
    """`cuda` where there is a GPU, else `cpu`: the one choice of training, embedding and the text encoders."""
    return "cuda" if torch.cuda.is_available() else "cpu"
