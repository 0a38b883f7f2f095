"""Text towers over tiny random models of each kind: pooling, padding, LoRA."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from models import text_tower
from models.text_encoder import SMALL_BERT, load_text_encoder
from models.text_tower import TextTower, TowerConfig

SIZES = {"vocab_size": 97, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "bert": {"model_type": "bert", **SIZES},
    "albert": {"model_type": "albert", "embedding_size": 8, **SIZES},
    "qwen2": {"model_type": "qwen2", "num_key_value_heads": 1, **SIZES},
}
KINDS = list(ARCHITECTURES)
TEXTS = ["gold ring", "milk", "a two person tent from the outdoor depot in town", "gold ring", "tea and milk", ""]


def tower(kind: str, **changes: Any) -> TextTower:
    torch.manual_seed(0)
    return TextTower(TowerConfig(architecture=ARCHITECTURES[kind], **changes)).eval()


def hidden_of(encoder: TextTower, text: str) -> torch.Tensor:
    """(L, dim) of one text alone, without padding."""
    return encoder.model(**encoder.tokenize([text])).last_hidden_state[0]


@pytest.mark.parametrize("pooling", ["mean", "last"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_text_alone_equals_the_same_in_a_padded_batch(kind: str, pooling: str) -> None:
    encoder = tower(kind, pooling=pooling)
    with torch.no_grad():
        together = encoder(TEXTS)
        for text, vector in zip(TEXTS, together, strict=True):
            hidden = hidden_of(encoder, text)
            expected = hidden.mean(0) if pooling == "mean" else hidden[-1]
            expected = expected / expected.norm()
            torch.testing.assert_close(vector, expected, atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(encoder([text])[0], vector, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_an_encoder_gives_its_mean_and_a_decoder_its_last_token(kind: str) -> None:
    assert tower(kind).last == (kind == "qwen2")
    assert tower(kind).dim == 16


@pytest.mark.parametrize("kind", KINDS)
def test_equal_texts_are_encoded_once_and_come_back_in_order(kind: str) -> None:
    encoder = tower(kind)
    seen: list[int] = []
    encoder.model.register_forward_pre_hook(lambda _, __, inputs: seen.append(len(inputs["input_ids"])), with_kwargs=True)
    vectors = encoder(["b", "a", "b", "b", "a"])
    assert seen == [2]
    assert torch.equal(vectors[[0, 1]], vectors[[2, 4]])
    torch.testing.assert_close(encoder(["a", "b"]), vectors[[1, 0]], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_more_texts_than_fit_at_once_are_the_same(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = tower(kind)
    with torch.no_grad():
        whole = encoder(TEXTS)
        monkeypatch.setattr(text_tower, "CHUNK", 2)
        torch.testing.assert_close(encoder(TEXTS), whole, atol=1e-5, rtol=1e-4)


def test_a_tower_that_learned_nothing_is_the_frozen_encoder() -> None:
    frozen = load_text_encoder("random-bert")
    with torch.no_grad():
        vectors = TextTower(TowerConfig(architecture=SMALL_BERT)).eval()(TEXTS)
    torch.testing.assert_close(vectors, torch.from_numpy(frozen.encode(TEXTS)), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_no_texts_give_no_vectors(kind: str) -> None:
    assert tower(kind)([]).shape == (0, 16)


@pytest.mark.parametrize("kind", KINDS)
def test_lora_trains_adapters_alone(kind: str) -> None:
    encoder = tower(kind, lora_rank=2).train()
    trained = {name for name, p in encoder.named_parameters() if p.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)
    before = {name: p.detach().clone() for name, p in encoder.named_parameters()}
    optimizer = torch.optim.AdamW(encoder.parameters(), 1e-2)
    for _ in range(2):  # an adapter's second matrix starts at zero, so that its first learns a step later
        optimizer.zero_grad()
        encoder(TEXTS).pow(3).sum().backward()
        optimizer.step()
    for name, parameter in encoder.named_parameters():
        assert torch.equal(parameter, before[name]) == (name not in trained), name


@pytest.mark.parametrize("kind", KINDS)
def test_lora_begins_as_the_model_it_adapts(kind: str) -> None:
    with torch.no_grad():
        torch.testing.assert_close(tower(kind, lora_rank=2)(TEXTS), tower(kind)(TEXTS))


@pytest.mark.parametrize("kind", KINDS)
def test_without_lora_every_weight_is_trained(kind: str) -> None:
    encoder = tower(kind)
    encoder(TEXTS).pow(3).sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.requires_grad
        if parameter.grad is not None:
            assert parameter.grad.isfinite().all(), name
    assert sum(p.grad is not None for p in encoder.parameters()) == len(list(encoder.parameters()))


@pytest.mark.parametrize("lora_rank", [0, 2])
@pytest.mark.parametrize("kind", ["bert", "qwen2"])
def test_recomputed_activations_give_the_same_gradient(kind: str, lora_rank: int) -> None:
    gradients = []
    for checkpointing in (False, True):
        encoder = tower(kind, lora_rank=lora_rank, checkpointing=checkpointing).train()
        for module in encoder.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        encoder(TEXTS).pow(3).sum().backward()
        gradients.append([p.grad for p in encoder.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1]) > 0
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed)


def test_the_same_configuration_makes_the_same_base_whatever_the_seed() -> None:
    config = TowerConfig(architecture=ARCHITECTURES["qwen2"])
    torch.manual_seed(1)
    one = TextTower(config)
    torch.manual_seed(2)
    other = TextTower(replace(config))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_a_model_that_cannot_recompute_says_so() -> None:
    with pytest.raises(ValueError, match="AlbertModel does not support"):
        tower("albert", checkpointing=True)
