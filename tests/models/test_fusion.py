"""Cross-attention fusion (equation 11) against an explicit softmax, and what is missing."""

import numpy as np
import pytest
import torch
from by_hand import attention, gelu, linear, norm, weight
from torch import nn

from models.fusion import CrossAttentionFusion, CrossAttentionLayer

WIDTH = 8


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def fusion(layers: int = 2) -> CrossAttentionFusion:
    torch.manual_seed(0)
    module = CrossAttentionFusion(WIDTH, layers, 2, 0.0).double()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module


def masks(*lengths: int, users: int = 4, seed: int = 0) -> list[torch.Tensor]:
    rng = np.random.default_rng(seed)
    drawn = [torch.from_numpy(rng.random((users, length)) < 0.6) for length in lengths]
    drawn[0][0] = True
    for mask in drawn:
        mask[1] = False  # nothing is known of the second user
    drawn[0][2], drawn[1][2, 0] = False, True  # one modality alone
    return drawn


def layer_by_hand(layer: CrossAttentionLayer, user: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """One user token (1, d) over the tokens that are there (S, d)."""
    user = user + attention(norm(user, layer.norm_user), norm(tokens, layer.norm_tokens), layer.attention)
    first, _, _, last = layer.feed
    return user + linear(gelu(linear(norm(user, layer.norm), first)), last)  # type: ignore[arg-type]


def test_equation_11() -> None:
    module = fusion()
    tokens, present = [normal(4, 5, WIDTH, seed=1), normal(4, 2, WIDTH, seed=2), normal(4, 3, WIDTH, seed=3)], masks(5, 2, 3)
    fused = module(tokens, present).detach()
    for user in range(4):
        seen = [
            tokens[m][user, s].numpy() + weight(module.modality.weight)[m]
            for m in range(3)
            for s in range(tokens[m].shape[1])
            if present[m][user, s]
        ]
        state = weight(module.user)[0]
        for layer in module.layers:
            assert isinstance(layer, CrossAttentionLayer)
            state = layer_by_hand(layer, state, np.stack(seen)) if seen else state
        np.testing.assert_allclose(fused[user], norm(state[0], module.norm) if seen else np.zeros(WIDTH), atol=1e-10)
    with torch.no_grad():
        torch.testing.assert_close(module.eval()(tokens, present), fused)


@pytest.mark.parametrize("left_out", [0, 1, 2])
def test_a_modality_left_out_is_a_modality_masked(left_out: int) -> None:
    module = fusion()
    tokens: list[torch.Tensor | None] = [normal(4, 5, WIDTH, seed=1), normal(4, 2, WIDTH, seed=2), normal(4, 3, WIDTH, seed=3)]
    present: list[torch.Tensor | None] = list(masks(5, 2, 3))
    masked = list(present)
    masked[left_out] = torch.zeros_like(present[left_out])  # type: ignore[arg-type]
    expected = module(tokens, masked)
    tokens[left_out] = present[left_out] = None
    torch.testing.assert_close(module(tokens, present), expected)


def test_a_masked_token_changes_nothing_and_gets_no_gradient() -> None:
    module, present = fusion(), masks(5, 2, 3)
    tokens = [normal(4, n, WIDTH, seed=n).requires_grad_() for n in (5, 2, 3)]
    fused = module(list(tokens), list(present))
    fused.square().sum().backward()
    other = [torch.where(m[..., None], t, 7.0).detach() for t, m in zip(tokens, present, strict=True)]
    torch.testing.assert_close(module(list(other), list(present)), fused)
    for token, mask in zip(tokens, present, strict=True):
        assert token.grad is not None
        assert token.grad.isfinite().all()
        assert not token.grad[~mask].any()
        assert token.grad[mask].abs().sum(-1).gt(0).all()


def test_a_user_of_whom_nothing_is_known_is_zeros_without_gradient_and_the_others_are_fine() -> None:
    module = fusion()
    nothing = torch.zeros(2, 3, dtype=torch.bool)
    tokens = normal(2, 3, WIDTH).requires_grad_()
    fused = module([tokens, None, None], [nothing, None, None])
    assert not fused.any()
    fused.sum().backward()
    assert tokens.grad is not None
    assert not tokens.grad.any()
    assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())


def test_the_order_of_tokens_within_a_modality_does_not_matter_and_the_modality_does() -> None:
    module = fusion()
    tokens, mask = normal(2, 3, WIDTH), torch.ones(2, 3, dtype=torch.bool)
    fused = module([tokens, None, None], [mask, None, None])
    torch.testing.assert_close(module([tokens.flip(1), None, None], [mask, None, None]), fused)
    assert not torch.allclose(module([None, None, tokens], [None, None, mask]), fused)


def test_every_parameter_learns() -> None:
    module = fusion()
    tokens, present = [normal(4, n, WIDTH, seed=n) for n in (5, 2, 3)], masks(5, 2, 3)
    module(list(tokens), list(present)).square().sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
