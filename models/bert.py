"""BERT, to run and not to train: the frozen text encoder without transformers, which takes seconds to load.

What belongs here: the encoder of Devlin et al. (2019) under the names that its published weights have, and its tokenizer. What does
not: other architectures, adapters and checkpoints with heads, which transformers loads (`text_encoder`); a test holds that vectors
and revision are the same either way.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models import weights

TOKENIZER = "tokenizer.json"


@dataclass(frozen=True)
class BertConfig:
    """The sizes in `config.json`, under their published names."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """None where the folder holds anything else than a plain BERT."""
        if not all((folder / name).is_file() for name in (weights.CONFIG, weights.WEIGHTS, TOKENIZER)):
            return None
        if (folder / weights.ADAPTER_CONFIG).exists():
            return None
        config: dict[str, Any] = json.loads((folder / weights.CONFIG).read_text())
        plain = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute", "is_decoder": False}
        names = {field.name for field in fields(cls)}
        if "model_type" not in config or any(config.get(name, value) != value for name, value in plain.items()):
            return None
        return cls(**{name: config[name] for name in names & config.keys()})


class Output(NamedTuple):
    last_hidden_state: Tensor  # (B, L, D)


class Bert(nn.Module):
    """The encoder. Published weights have a pooler too, which nobody asks but which is part of their digest."""

    def __init__(self, config: BertConfig, *, pooler: bool = True):
        super().__init__()
        self.config = config
        width, embedding = config.hidden_size, _unfilled if torch.get_default_device().type == "meta" else nn.Embedding
        self.embeddings = nn.ModuleDict(
            {
                "word_embeddings": embedding(config.vocab_size, width),
                "position_embeddings": embedding(config.max_position_embeddings, width),
                "token_type_embeddings": embedding(config.type_vocab_size, width),
                "LayerNorm": nn.LayerNorm(width, config.layer_norm_eps),
            }
        )
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))})
        if pooler:
            self.pooler = nn.ModuleDict({"dense": nn.Linear(width, width)})

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings["word_embeddings"]

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
    ) -> Output:
        """Of tokens (B, L) or their embeddings (B, L, D), of which the mask (B, L) says which are no padding."""
        words = self.embeddings["word_embeddings"](input_ids) if inputs_embeds is None else inputs_embeds
        batch, length = words.shape[:2]
        kinds = words.new_zeros((batch, length), dtype=torch.long) if token_type_ids is None else token_type_ids
        places = torch.arange(length, device=words.device)
        hidden = words + self.embeddings["token_type_embeddings"](kinds) + self.embeddings["position_embeddings"](places)
        hidden = self.embeddings["LayerNorm"](hidden)
        mask = None
        if attention_mask is not None and not attention_mask.all():
            mask = attention_mask.bool()[:, None, None, :].expand(batch, 1, length, length)
        for layer in self.encoder["layer"]:  # pyright: ignore[reportGeneralTypeIssues]
            hidden = layer(hidden, mask)
        return Output(hidden)


def _unfilled(rows: int, width: int) -> nn.Embedding:
    """Without random values: on the device `meta`, torch loads its compiler to draw them."""
    return nn.Embedding.from_pretrained(torch.empty(rows, width), freeze=False)


class _Layer(nn.Module):
    def __init__(self, config: BertConfig):
        super().__init__()
        width, inner, eps = config.hidden_size, config.intermediate_size, config.layer_norm_eps
        self.heads = config.num_attention_heads
        attention = nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value")})
        self.attention = nn.ModuleDict({"self": attention, "output": _residual(width, width, eps)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, inner)})
        self.output = _residual(inner, width, eps)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        asks = self.attention["self"]
        query, key, value = (
            asks[name](hidden).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # pyright: ignore  # (B, heads, L, D / heads)
            for name in ("query", "key", "value")
        )
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2).flatten(2)
        hidden = _add(self.attention["output"], attended, hidden)
        return _add(self.output, F.gelu(self.intermediate["dense"](hidden)), hidden)


def _residual(inputs: int, width: int, eps: float) -> nn.ModuleDict:
    return nn.ModuleDict({"dense": nn.Linear(inputs, width), "LayerNorm": nn.LayerNorm(width, eps)})


def _add(residual: Any, update: Tensor, hidden: Tensor) -> Tensor:
    return residual["LayerNorm"](residual["dense"](update) + hidden)


def random(config: BertConfig, seed: int) -> Bert:
    """A model without a pooler and with random weights, those that transformers draws with this seed."""
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    model = Bert(config, pooler=False)
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
    torch.random.set_rng_state(state)
    with torch.no_grad():
        model.embeddings["word_embeddings"].weight[0] = 0.0  # pyright: ignore[reportIndexIssue]  # of the padding
    return model


def load(folder: Path, max_tokens: int) -> tuple[Bert, Callable[[list[str]], dict[str, Tensor]]] | None:
    """The model in a folder and its tokenizer, or None where it is not plainly a BERT: then it is for transformers."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from tokenizers import Tokenizer

    try:
        config = BertConfig.read(folder)
        state = load_file(folder / weights.WEIGHTS) if config else {}
    except (SafetensorError, ValueError):
        return None  # transformers says what is wrong
    state.pop("embeddings.position_ids", None)  # 0, 1, 2, ... in weights of old versions
    if config is None or any(tensor.dtype != torch.float32 for tensor in state.values()):
        return None
    with torch.device("meta"):
        model = Bert(config)
    if {name: value.shape for name, value in model.state_dict().items()} != {name: value.shape for name, value in state.items()}:
        return None
    model.load_state_dict(state, assign=True)
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    pad = "[PAD]"
    if tokenizer.token_to_id(pad) is None:
        return None
    tokenizer.enable_padding(pad_id=tokenizer.token_to_id(pad), pad_token=pad)
    tokenizer.enable_truncation(max_tokens)

    def tokenize(texts: list[str]) -> dict[str, Tensor]:
        rows = tokenizer.encode_batch(texts)
        return {
            "input_ids": torch.tensor([row.ids for row in rows]),
            "attention_mask": torch.tensor([row.attention_mask for row in rows]),
        }

    return model, tokenize
