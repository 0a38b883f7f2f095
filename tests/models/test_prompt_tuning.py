"""Prompt tuning: equation 14 by a loop, tokens before words, gradients to the tokens alone, and when it stops."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from models.found import Found, FoundConfig
from models.frozen_text import FrozenText, FrozenTextConfig
from models.prompt_tuning import Prompt, PromptOptions, encode, prompt_loss, tune
from models.saved import Model, sentences
from models.text_encoder import MAX_TOKENS, TextEncoder, load_text_encoder
from models.text_tower import TextTower, TowerConfig

SIZES = {"vocab_size": 97, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "bert": {"model_type": "bert", **SIZES},
    "albert": {"model_type": "albert", "embedding_size": 8, **SIZES},
    "qwen2": {"model_type": "qwen2", "num_key_value_heads": 1, **SIZES},
}
DEMAND = "people who will soon buy gold"
OPTIONS = PromptOptions(steps=15, patience=15, anchor=0.05)


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return load_text_encoder("random-bert")


@pytest.fixture(scope="module", params=["frozen encoder", "bert", "qwen2"])
def model(request: pytest.FixtureRequest, encoder: TextEncoder) -> Model:
    """A model that reads sentences by the frozen encoder, or by a tower of its own of this kind."""
    torch.manual_seed(0)
    center = torch.randn(encoder.dim) * 0.02
    if request.param == "frozen encoder":
        return FrozenText(FrozenTextConfig("random-bert", encoder.revision, encoder.dim), center)
    tower = TowerConfig(architecture=ARCHITECTURES[request.param], lora_rank=2)
    return Found(FoundConfig("random-bert", encoder.revision, encoder.dim, 8, 3, None, None, description_tower=tower)).eval()


def seeds(model: Model, sets: int = 2, users: int = 5) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Positives in one direction and negatives in another, others in each set."""
    generator = torch.Generator().manual_seed(1)
    drawn = []
    for _ in range(sets):
        middle = torch.randn((2, 1, model.config.dim), generator=generator)
        near, far = F.normalize(middle + 0.3 * torch.randn((2, users, model.config.dim), generator=generator), dim=-1)
        drawn.append((near, far))
    return drawn


def normal(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_the_loss_is_equation_14_over_all_pairs_and_the_pull_to_the_sentence() -> None:
    query, start = (F.normalize(normal(4, seed=s), dim=-1) for s in (0, 1))
    positives, negatives = normal(3, 4, seed=2), normal(2, 4, seed=3)
    total = 0.0
    for p in positives.numpy():
        for n in negatives.numpy():
            total += max(0.0, np.sum((query.numpy() - p) ** 2) - np.sum((query.numpy() - n) ** 2) + 0.4)
    expected = total / 6 + 0.7 * (1 - float(query.numpy() @ start.numpy()))
    options = PromptOptions(margin=0.4, anchor=0.7)
    assert prompt_loss(query, positives, negatives, start, options).item() == pytest.approx(expected, rel=1e-12)


def test_gradients_of_the_loss_through_a_text_model_are_right() -> None:
    tower = TextTower(TowerConfig(architecture=ARCHITECTURES["bert"])).double().eval()
    words, mask = normal(3, 16, seed=0), torch.tensor([True, True, False])
    positives, negatives, start = normal(3, 16, seed=1), normal(2, 16, seed=2), F.normalize(normal(16, seed=3), dim=-1)

    def loss(tokens: torch.Tensor) -> torch.Tensor:
        query = encode(tower.model, words, mask, tokens[None], last=False)[0]
        return prompt_loss(query, positives, negatives, start, PromptOptions())

    assert torch.autograd.gradcheck(loss, (normal(2, 16, seed=4).requires_grad_(),), fast_mode=True)


@pytest.mark.parametrize("kind", list(ARCHITECTURES))
def test_tokens_that_are_words_make_the_vector_of_the_longer_text(kind: str) -> None:
    """Also where the sentence is padded, which a text alone is not."""
    tower = TextTower(TowerConfig(architecture=ARCHITECTURES[kind])).eval()
    embedding = tower.model.get_input_embeddings()
    with torch.no_grad():
        before = embedding(tower.tokenize(["gold ring"])["input_ids"])
        words = embedding(tower.tokenize(["a tent in town"])["input_ids"])[0]
        padded = torch.cat([words, words[:2]])
        mask = torch.arange(len(padded)) < len(words)
        vector = encode(tower.model, padded, mask, before, tower.last)
        torch.testing.assert_close(vector, tower(["gold ring a tent in town"]), atol=1e-6, rtol=1e-5)


def test_the_query_comes_nearer_to_the_positives_and_the_model_stays(model: Model, encoder: TextEncoder) -> None:
    reads = model if isinstance(model, Found) else encoder.model
    before = {name: weight.clone() for name, weight in reads.state_dict().items()}
    zero = sentences(model, encoder, [DEMAND])[0]
    for (near, far), prompt in zip(seeds(model), tune(model, encoder, DEMAND, seeds(model), OPTIONS), strict=True):
        assert prompt.query.norm().item() == pytest.approx(1, abs=1e-5)
        assert prompt.query @ near.mean(0) - prompt.query @ far.mean(0) > zero @ near.mean(0) - zero @ far.mean(0) + 0.05
        assert prompt.steps > 0
    assert all(torch.equal(before[name], weight) for name, weight in reads.state_dict().items())
    assert all(weight.grad is None for weight in reads.parameters())


def test_a_prompt_is_its_tokens_before_the_sentence(encoder: TextEncoder) -> None:
    model = FrozenText(FrozenTextConfig("random-bert", encoder.revision, encoder.dim))
    prompt = tune(model, encoder, DEMAND, seeds(model, 1), OPTIONS)[0]
    inputs = encoder.tokenize([DEMAND])
    words = encoder.model.get_input_embeddings()(inputs["input_ids"])[0]  # pyright: ignore
    query = model.sentences(encode(encoder.model, words, inputs["attention_mask"][0].bool(), prompt.tokens[None], last=False))[0]
    assert prompt.tokens.shape == (8, encoder.dim)
    torch.testing.assert_close(query, prompt.query)


def test_sets_side_by_side_are_as_alone_and_a_seed_decides(model: Model, encoder: TextEncoder) -> None:
    both = seeds(model)
    together = tune(model, encoder, DEMAND, both, OPTIONS)
    again = tune(model, encoder, DEMAND, both, OPTIONS)
    alone: list[Prompt] = [tune(model, encoder, DEMAND, [one], OPTIONS)[0] for one in both]
    for prompt, same, single in zip(together, again, alone, strict=True):
        assert torch.equal(prompt.query, same.query)
        assert torch.equal(prompt.tokens, same.tokens)
        assert single.steps == prompt.steps
        torch.testing.assert_close(single.query, prompt.query, atol=1e-3, rtol=1e-3)
    other = tune(model, encoder, DEMAND, both, OPTIONS, seed=1)
    assert not torch.equal(other[0].tokens, together[0].tokens)


def test_it_stops_where_nothing_falls_any_more(encoder: TextEncoder) -> None:
    """Without a margin and a pull, a query that is nearer to all positives already is left as it begins."""
    model = FrozenText(FrozenTextConfig("random-bert", encoder.revision, encoder.dim))
    zero = sentences(model, encoder, [DEMAND])
    calls = []
    handle = encoder.model.register_forward_hook(lambda *_: calls.append(1))
    prompt = tune(model, encoder, DEMAND, [(zero, -zero)], replace(OPTIONS, margin=0.0, anchor=0.0, patience=3))[0]
    handle.remove()
    assert (prompt.loss, prompt.steps) == (0.0, 0)
    assert len(calls) == 1 + 5  # the sentence alone, where it begins, three steps that help nothing, and the end


def test_a_strong_pull_keeps_the_query_at_the_sentence(encoder: TextEncoder) -> None:
    model = FrozenText(FrozenTextConfig("random-bert", encoder.revision, encoder.dim))
    zero = sentences(model, encoder, [DEMAND])[0]
    free, held = (tune(model, encoder, DEMAND, seeds(model, 1), replace(OPTIONS, anchor=a))[0] for a in (0.0, 50.0))
    assert held.query @ zero > 0.98 > free.query @ zero


def test_a_demand_as_long_as_the_text_model_reads_leaves_room_for_tokens(encoder: TextEncoder) -> None:
    model = FrozenText(FrozenTextConfig("random-bert", encoder.revision, encoder.dim))
    demand = " ".join(f"word{i}" for i in range(3 * MAX_TOKENS))
    assert tune(model, encoder, demand, seeds(model, 1), replace(OPTIONS, steps=2))[0].query.isfinite().all()
