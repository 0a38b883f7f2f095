"""The tabular encoder against a loop, and its two tasks."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from by_hand import encoder_layer, norm, weight
from torch import nn

from models.losses import masked_value_loss, replaced_token_loss
from models.tabular import TabularConfig, TabularEncoder

VALUES = (3, 5, 2)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other cost these small tensors more than they save."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def encoder(values: tuple[int, ...] = VALUES, **changes: float) -> TabularEncoder:
    torch.manual_seed(0)
    sizes = {"width": 8, "layers": 2, "heads": 2, "dropout": 0.0}
    return TabularEncoder(TabularConfig(values, **{**sizes, **changes})).double()  # type: ignore[arg-type]


def rows(count: int, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(np.stack([rng.integers(0, size, count) for size in VALUES], 1))


def test_a_row_is_its_columns_embeddings_through_attention() -> None:
    module, cells = encoder().eval(), rows(4)
    columns = module.columns
    tokens = module(cells)
    starts = [0, 3, 8]
    for b in range(4):
        x = np.stack(
            [weight(columns.value.weight)[starts[f] + int(cells[b, f])] + weight(columns.column.weight)[f] for f in range(3)]
        )
        for layer in columns.layers.layers:
            assert isinstance(layer, nn.TransformerEncoderLayer)
            x = encoder_layer(x, x, layer)
        assert columns.layers.norm is not None
        np.testing.assert_allclose(tokens[b].detach(), norm(x, columns.layers.norm), atol=1e-10)
    with torch.no_grad():
        torch.testing.assert_close(module(cells), tokens)


def test_equal_codes_of_two_columns_are_different_values() -> None:
    module = encoder()
    assert module.columns.value.num_embeddings == sum(VALUES)
    tokens = module(torch.zeros(1, 3, dtype=torch.long))
    assert not torch.allclose(tokens[0, 0], tokens[0, 1])


def test_a_masked_cell_says_nothing_of_its_value() -> None:
    module, cells = encoder(), rows(5)
    masked = torch.zeros(5, 3, dtype=torch.bool)
    masked[:, 1] = True
    other = cells.clone()
    other[:, 1] = (cells[:, 1] + 1) % 5
    assert torch.equal(module.columns(cells, masked), module.columns(other, masked))
    assert not torch.allclose(module.columns(cells), module.columns(other))


def test_rows_of_a_batch_do_not_know_each_other() -> None:
    module, cells = encoder().eval(), rows(5)
    tokens = module(cells)
    torch.testing.assert_close(module(cells[[3]]), tokens[[3]])
    torch.testing.assert_close(module(cells.flip(0)), tokens.flip(0))


def test_a_round_replaces_masked_cells_alone_by_values_of_their_column() -> None:
    module, cells = encoder(masked=0.5), rows(400)
    torch.manual_seed(1)
    guessed, filled, replaced_logits, masked, replaced = module.corrupt_and_guess(cells)
    assert guessed.shape == filled.shape == (400, sum(VALUES))
    assert replaced_logits.shape == masked.shape == replaced.shape == (400, 3)
    assert not (replaced & ~masked).any()
    assert 0.4 < masked.double().mean() < 0.6
    assert 0.1 < (masked & ~replaced).double().sum() / masked.sum() < 0.9  # a draw may be the true value: no replacement


def test_a_round_with_the_same_seed_is_the_same() -> None:
    module, cells = encoder(), rows(20)
    torch.manual_seed(4)
    first = module.corrupt_and_guess(cells)
    torch.manual_seed(4)
    assert all(torch.equal(a, b) for a, b in zip(first, module.corrupt_and_guess(cells), strict=True))


def test_both_tasks_reach_every_parameter() -> None:
    module, cells = encoder(masked=0.5), rows(64)
    torch.manual_seed(1)
    guessed, filled, replaced_logits, masked, replaced = module.corrupt_and_guess(cells)
    loss = masked_value_loss(list(filled.split(VALUES, 1)), cells, masked) + replaced_token_loss(replaced_logits, replaced)
    (loss + masked_value_loss(list(guessed.split(VALUES, 1)), cells, masked)).backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_the_task_of_telling_replaced_cells_does_not_train_the_generator() -> None:
    module, cells = encoder(masked=0.5), rows(64)
    _, _, replaced_logits, _, replaced = module.corrupt_and_guess(cells)
    replaced_token_loss(replaced_logits, replaced).backward()
    assert all(p.grad is None for p in module.generator.parameters())


@pytest.mark.parametrize("masked", [0.0, 1.0])
def test_nothing_masked_or_everything_is_fine(masked: float) -> None:
    module, cells = encoder(masked=masked), rows(1)
    guessed, filled, replaced_logits, _, replaced = module.corrupt_and_guess(cells)
    where = torch.full((1, 3), bool(masked))
    loss = masked_value_loss(list(filled.split(VALUES, 1)), cells, where) + replaced_token_loss(replaced_logits, replaced)
    loss = loss + masked_value_loss(list(guessed.split(VALUES, 1)), cells, where)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())


def test_a_few_steps_learn_that_one_column_is_another() -> None:
    module = encoder((4, 4), masked=0.4).float()
    optimizer = torch.optim.Adam(module.parameters(), 1e-2)
    cells = torch.randint(0, 4, (128, 1)).expand(-1, 2).contiguous()
    for _ in range(80):
        _, filled, _, masked, _ = module.corrupt_and_guess(cells)
        loss = masked_value_loss(list(filled.split((4, 4), 1)), cells, masked)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    hidden = torch.zeros(128, 2, dtype=torch.bool)
    hidden[:, 1] = True
    guess = module.columns.predict(module.columns(cells, hidden))[1].argmax(1)
    assert (guess == cells[:, 1]).float().mean() > 0.95
