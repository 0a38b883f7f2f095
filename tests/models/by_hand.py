"""Layers of torch written out in numpy, for the tests that transcribe an equation."""

import math

import numpy as np
import torch
from torch import nn


def weight(parameter: torch.Tensor) -> np.ndarray:
    return parameter.detach().numpy()


def linear(x: np.ndarray, layer: nn.Linear) -> np.ndarray:
    return x @ weight(layer.weight).T + weight(layer.bias)


def norm(x: np.ndarray, layer: nn.LayerNorm) -> np.ndarray:
    scaled = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + layer.eps)
    return scaled * weight(layer.weight) + weight(layer.bias)


def gelu(x: np.ndarray) -> np.ndarray:
    return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def attention(queries: np.ndarray, keys: np.ndarray, layer: nn.MultiheadAttention) -> np.ndarray:
    """Softmax attention, head by head and query by query."""
    width = queries.shape[1]
    size = width // layer.num_heads
    assert layer.in_proj_weight is not None
    projections = weight(layer.in_proj_weight).reshape(3, width, width)
    biases = weight(layer.in_proj_bias).reshape(3, width)
    q, k, v = (x @ w.T + b for x, w, b in zip((queries, keys, keys), projections, biases, strict=True))
    heard = np.zeros_like(queries)
    for head in range(layer.num_heads):
        part = slice(head * size, (head + 1) * size)
        for i in range(len(queries)):
            scores = np.array([q[i, part] @ k[j, part] / math.sqrt(size) for j in range(len(keys))])
            chances = np.exp(scores) / np.exp(scores).sum()
            heard[i, part] = sum(chances[j] * v[j, part] for j in range(len(keys)))
    return linear(heard, layer.out_proj)


def encoder_layer(queries: np.ndarray, keys: np.ndarray, layer: nn.TransformerEncoderLayer) -> np.ndarray:
    """A layer that normalises first: attention to the keys, then two matrices, each added to what came in."""
    x = queries + attention(norm(queries, layer.norm1), norm(keys, layer.norm1), layer.self_attn)
    return x + linear(gelu(linear(norm(x, layer.norm2), layer.linear1)), layer.linear2)
