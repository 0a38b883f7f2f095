"""The behaviour encoder against a loop over users, windows and events; causality, limits and gradients."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from by_hand import encoder_layer, gelu, linear, norm, sigmoid, weight
from random_histories import chosen, histories_of

from models import losses
from models.behavior import GAPS, BehaviorConfig, BehaviorEncoder, EventEncoder
from models.histories import Histories

KINDS = ["transformer", "gru"]


def config(kind: str = "transformer", **changes: object) -> BehaviorConfig:
    sizes = {"text_dim": 5, "width": 8, "window_days": 7.0, "windows": 5, "layers": 2, "heads": 2, "dropout": 0.0}
    return BehaviorConfig(kind=kind, **{**sizes, **changes})  # type: ignore[arg-type]


def encoder(kind: str = "transformer", **changes: object) -> BehaviorEncoder:
    torch.manual_seed(0)
    return BehaviorEncoder(config(kind, **changes)).double()


def window_by_hand(module: EventEncoder, histories: Histories, user: int, window: int) -> np.ndarray | None:
    """z of one window: the mean of its events' parts and the volume, then a residual layer."""
    sizes, vectors, before = module.config, [], None
    first = int(histories.event_counts[:user].sum())
    for event in range(first, first + int(histories.event_counts[user])):
        age = float(histories.event_age[event])
        gap = 0.0 if before is None else (before - age) * 24
        before = age
        if sizes.windows - 1 - math.floor(age / sizes.window_days) != window:
            continue
        text = module.text.weight @ histories.texts[histories.event_text[event]]
        vectors.append(
            text
            + module.channel.weight[histories.event_channel[event]]
            + module.amount.weight[histories.event_amount[event]]
            + module.exposed.weight[int(histories.event_exposed[event])]
            + module.gap.weight[min(math.floor(math.log2(1 + gap)), GAPS - 1)]
        )
    if not vectors:
        return None
    volume = module.volume.weight[:, 0] * math.log1p(len(vectors)) + module.volume.bias
    mean = (sum(vectors) / len(vectors) + volume).detach().numpy()
    first, mix, _ = module.mix
    return norm(mean + gelu(linear(norm(mean, first), mix)), module.norm)  # type: ignore[arg-type]


def gru_by_hand(steps: np.ndarray, gru: torch.nn.GRU) -> np.ndarray:
    """Windows in time (W, d) -> (W, d): a reset gate, an update gate and what is new, layer by layer from a state of zeros."""
    for layer in range(gru.num_layers):
        of_input, of_state = (weight(getattr(gru, f"weight_{side}_l{layer}")) for side in ("ih", "hh"))
        bias, state_bias = (weight(getattr(gru, f"bias_{side}_l{layer}")) for side in ("ih", "hh"))
        state, states = np.zeros(gru.hidden_size), []
        for step in steps:
            (r, z, n), (r_of_state, z_of_state, n_of_state) = (
                np.split(w @ x + b, 3) for w, x, b in ((of_input, step, bias), (of_state, state, state_bias))
            )
            update = sigmoid(z + z_of_state)
            new = np.tanh(n + sigmoid(r + r_of_state) * n_of_state)
            state = (1 - update) * new + update * state
            states.append(state)
        steps = np.stack(states)
    return steps


def transformer_by_hand(steps: np.ndarray, transformer: torch.nn.TransformerEncoder) -> np.ndarray:
    """Windows in time (W, d) -> (W, d): each hears itself and the earlier ones, layer by layer."""
    for layer in transformer.layers:
        assert isinstance(layer, torch.nn.TransformerEncoderLayer)
        steps = np.concatenate([encoder_layer(steps[t : t + 1], steps[: t + 1], layer) for t in range(len(steps))])
    return steps


def test_a_window_is_the_mean_of_its_events() -> None:
    module, histories = encoder().events, histories_of([6, 0, 1, 12], days=45)  # some events are older than five windows
    for layer in (module.mix[0], module.norm):
        torch.nn.init.normal_(layer.weight)
        torch.nn.init.normal_(layer.bias)
    z, mask = module(histories)
    assert z.shape == (4, 5, 8)
    empty = 0
    for user in range(4):
        for window in range(5):
            expected = window_by_hand(module, histories, user, window)
            assert mask[user, window] == (expected is not None)
            np.testing.assert_allclose(z[user, window].detach(), np.zeros(8) if expected is None else expected, atol=1e-10)
            empty += expected is None
    assert 0 < empty < 20


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_equation_5(kind: str, layers: int) -> None:
    """Events to windows, windows through time, the mean of those that hold an event; one user has empty windows, one no event."""
    module, histories = encoder(kind, layers=layers, dropout=0.2).eval(), histories_of([9, 0, 1, 3], days=35, seed=2)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    context, _, mask = module(histories)
    pooled = module.pool(context, mask)
    assert 0 < mask[3].sum() < 5
    for user in range(4):
        windows = [window_by_hand(module.events, histories, user, window) for window in range(5)]
        steps = np.stack([weight(module.empty) if z is None else z for z in windows]) + weight(module.position.weight)
        c = gru_by_hand(steps, module.time) if isinstance(module.time, torch.nn.GRU) else transformer_by_hand(steps, module.time)
        np.testing.assert_allclose(context[user].detach(), c, atol=1e-10)
        seen = [c[t] for t in range(5) if windows[t] is not None]
        np.testing.assert_allclose(pooled[user].detach(), np.mean(seen, 0) if seen else np.zeros(8), atol=1e-10)


def test_a_window_ends_where_the_next_begins() -> None:
    histories = replace(histories_of([4]), event_age=torch.tensor([14.0, 13.999, 7.0, 6.999], dtype=torch.float64))
    _, mask = encoder().events(histories)
    assert mask.tolist() == [[False, False, True, True, True]]


def test_an_act_is_an_event_that_was_not_done_to_the_user() -> None:
    histories = replace(histories_of([4, 0]), event_age=torch.tensor([50.0, 13.0, 8.0, 1.0], dtype=torch.float64))
    histories.event_exposed[:] = torch.tensor([False, False, True, True])
    events = encoder().events
    assert events(histories)[1].tolist() == [[False, False, False, True, True], [False] * 5]
    assert events.acted(histories).tolist() == [[False, False, False, True, False], [False] * 5]


@pytest.mark.parametrize("kind", KINDS)
def test_the_context_of_a_window_knows_no_later_one(kind: str) -> None:
    module, histories = encoder(kind), histories_of([9, 4, 2], days=35, seed=3)
    context, _, _ = module(histories)
    for window in range(5):
        late = histories.event_age < (4 - window) * 7.0  # in a later window
        changed = replace(
            histories,
            texts=torch.cat([histories.texts, torch.full((1, 5), 3.0, dtype=torch.float64)]),
            event_text=torch.where(late, 6, histories.event_text),
            event_channel=torch.where(late, 2, histories.event_channel),
            event_amount=torch.where(late, 31, histories.event_amount),
            event_exposed=histories.event_exposed ^ late,
        )
        other, _, _ = module(changed)
        torch.testing.assert_close(other[:, : window + 1], context[:, : window + 1])
        if late.any():
            assert not torch.allclose(other[:, window + 1 :], context[:, window + 1 :])


@pytest.mark.parametrize("kind", KINDS)
def test_the_fast_path_without_gradients_is_the_same(kind: str) -> None:
    module, histories = encoder(kind), histories_of([9, 0, 4], days=35)
    context, _, _ = module(histories)
    with torch.no_grad():
        torch.testing.assert_close(module.eval()(histories)[0], context)


@pytest.mark.parametrize("kind", KINDS)
def test_no_gradient_comes_from_a_later_window(kind: str) -> None:
    module, histories = encoder(kind), histories_of([9], days=35)
    histories.event_text[:] = torch.arange(9) % 9
    texts = torch.randn(9, 5, dtype=torch.float64, requires_grad=True)
    context, _, _ = module(replace(histories, texts=texts))
    context[0, 2].sum().backward()
    assert texts.grad is not None
    later = histories.event_age < 14
    assert not texts.grad[later].any()
    assert texts.grad[~later].abs().sum(1).gt(0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_equals_its_users_one_by_one_in_any_order(kind: str) -> None:
    module, histories = encoder(kind, dropout=0.2).eval(), histories_of([9, 0, 4, 2], days=45)
    with torch.no_grad():
        context, z, mask = module(histories)
        for order in ([0], [1], [3], [2, 0, 3, 1]):
            part = module(chosen(histories, order))
            torch.testing.assert_close(part[0], context[order])
            torch.testing.assert_close(part[1], z[order])
            assert torch.equal(part[2], mask[order])
            torch.testing.assert_close(module.pool(part[0], part[2]), module.pool(context, mask)[order])


@pytest.mark.parametrize("kind", KINDS)
def test_the_users_vector_is_the_mean_over_windows_with_events(kind: str) -> None:
    module, histories = encoder(kind), histories_of([6, 0, 1])
    context, _, mask = module(histories)
    pooled = module.pool(context, mask)
    for user in range(3):
        steps = [context[user, t].detach().numpy() for t in range(5) if mask[user, t]]
        np.testing.assert_allclose(pooled[user].detach(), np.mean(steps, 0) if steps else np.zeros(8), atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("counts", [[0], [0, 0, 0], [1]])
def test_users_without_events_and_a_batch_of_one_are_fine(kind: str, counts: list[int]) -> None:
    module = encoder(kind)
    context, z, mask = module(histories_of(counts, texts=sum(counts), days=30))
    assert context.isfinite().all()
    assert mask.sum() == sum(counts)
    if not sum(counts):
        assert not z.any()
        assert not module.pool(context, mask).any()
    (context.sum() + z.sum()).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())


def test_events_older_than_the_windows_are_left_out() -> None:
    histories = replace(histories_of([3]), event_age=torch.tensor([400.0, 90.0, 35.0], dtype=torch.float64))
    _, z, mask = encoder()(histories)
    assert not mask.any()
    assert not z.any()


@pytest.mark.parametrize("kind", KINDS)
def test_the_losses_of_stage_1_reach_every_parameter(kind: str) -> None:
    module, histories = encoder(kind), histories_of([12, 2, 15, 2, 3], texts=20, days=35, seed=1)
    context, z, mask = module(histories)
    loss = losses.cpc_loss(context, z, mask, 2, 10.0) + losses.cyclic_loss(context, mask, 2)
    loss = loss + losses.next_window_loss(module.acts_next(context), module.events.acted(histories))
    loss.backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_an_empty_window_gets_no_gradient_of_its_vector() -> None:
    module = encoder()
    _, z, mask = module(histories_of([3, 0]))
    z.retain_grad()
    (z * mask[..., None]).sum().backward()
    assert z.grad is not None
    assert not z.grad[~mask].any()


@pytest.mark.parametrize("kind", KINDS)
def test_the_encoder_runs_under_mixed_precision(kind: str) -> None:
    module, histories = encoder(kind).float(), histories_of([9, 0, 4], dtype=torch.float32)
    exact, _, _ = module(histories)
    with torch.autocast("cpu", torch.bfloat16):
        context, z, _ = module(histories)
        (context.float().sum() + z.float().sum()).backward()
    torch.testing.assert_close(context.float(), exact, atol=0.1, rtol=0.1)
