"""A text tower that is trained: any transformers model, pooled as fits its kind, whole or by LoRA (FOUND, sections 4.2, 4.3)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.losses import masked_mean
from models.text_encoder import in_batches, load_backbone, random_backbone, weights_digest

CHUNK = 256
"""Texts at once, of about the same length."""

DECODERS = ("qwen2", "qwen3", "llama", "mistral", "gemma", "gpt2", "phi")
LORA_TARGETS = {"bert": ["query", "value"], "albert": ["query", "value"], "qwen2": ["q_proj", "v_proj"]}


@dataclass(frozen=True)
class TowerConfig:
    """Which model, and what of it is trained."""

    model: str | None = None  # a directory, a hub name or `offline-text`; None: random weights of `architecture`
    architecture: dict[str, Any] = field(default_factory=dict)  # a transformers configuration with its `model_type`
    pooling: Literal["auto", "mean", "last"] = "auto"
    lora_rank: int = 0  # 0: all weights are trained
    checkpointing: bool = False  # recompute activations in the backward pass, for a model that does not fit otherwise


class TextTower(nn.Module):
    """Texts to unit vectors, as the frozen encoder's are: a tower that learned nothing is that encoder.

    An encoder gives the mean of its tokens, a decoder its last token, which alone has seen the whole text.
    """

    def __init__(self, config: TowerConfig):
        super().__init__()
        self.config = config
        model, self.tokenize = load_backbone(config.model) if config.model else random_backbone(config.architecture, seed=0)
        self.kind: str = model.config.model_type
        self.dim: int = model.config.hidden_size
        self.last = config.pooling == "last" or (config.pooling == "auto" and self.kind.startswith(DECODERS))
        model.config.use_cache = False  # of keys and values for a next token, which nobody asks for
        if config.checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        if config.lora_rank:
            from peft import LoraConfig, get_peft_model

            targets = LORA_TARGETS.get(self.kind, "all-linear")
            adapted = LoraConfig(r=config.lora_rank, lora_alpha=2 * config.lora_rank, lora_dropout=0.05, target_modules=targets)
            model = get_peft_model(model, adapted)
        self.model = model

    def forward(self, texts: Sequence[str]) -> Tensor:
        """(len(texts), dim), in the order given; equal texts are encoded once."""
        device = next(self.parameters()).device
        if not texts:
            return torch.zeros((0, self.dim), device=device)
        distinct = sorted(set(texts), key=lambda text: (len(text), text))
        place = {text: i for i, text in enumerate(distinct)}
        vectors = torch.cat([self._encode(distinct[i : i + CHUNK], device) for i in range(0, len(distinct), CHUNK)])
        return vectors[torch.tensor([place[t] for t in texts], device=device)]

    @torch.inference_mode()
    def encode(
        self, texts: Sequence[str], batch_size: int = CHUNK, progress: Callable[[int], object] = lambda _: None
    ) -> np.ndarray:
        """Vectors as `TextEncoder.encode` gives them, without a graph."""
        return in_batches(self, texts, self.dim, batch_size, progress)

    @property
    def revision(self) -> str:
        """Names the weights and the pooling, as `TextEncoder.revision` does. Read with the tower on the CPU."""
        return f"tower-{weights_digest(self.model)}-{'last' if self.last else 'mean'}"

    def _encode(self, texts: list[str], device: torch.device) -> Tensor:
        tokens = {k: v.to(device) for k, v in self.tokenize([text or " " for text in texts]).items()}  # a token at least
        hidden = self.model(**tokens).last_hidden_state  # (T, L, dim)
        mask = tokens["attention_mask"].bool()
        pooled = hidden[torch.arange(len(hidden), device=device), mask.sum(1) - 1] if self.last else masked_mean(hidden, mask)
        return F.normalize(pooled, dim=-1)
