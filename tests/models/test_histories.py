"""The batch of users, and the gathers under every model, against loops."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from random_histories import chosen, histories_of

from models.histories import mean_by, pad


def test_the_mean_within_a_group_is_that_of_a_loop() -> None:
    rng = np.random.default_rng(0)
    table, rows, group = rng.normal(size=(4, 3)), rng.integers(0, 4, 20), rng.integers(0, 5, 20)
    group[group == 3] = 1
    means = mean_by(torch.from_numpy(table), torch.from_numpy(rows), torch.from_numpy(group), 6).numpy()
    for g in range(6):
        members = [table[r] for r, of in zip(rows, group, strict=True) if of == g]
        np.testing.assert_allclose(means[g], np.mean(members, 0) if members else np.zeros(3), atol=1e-12)


@pytest.mark.parametrize("length", [1, 3, 10])
def test_padding_keeps_each_users_last_values_in_order(length: int) -> None:
    counts = [4, 0, 1, 7, 0]
    flat = torch.arange(24.0).view(12, 2)
    padded, mask = pad(flat, torch.tensor(counts), length)
    assert padded.shape == (5, length, 2)
    start = 0
    for user, count in enumerate(counts):
        last = flat[start : start + count][-length:]
        start += count
        assert mask[user].tolist() == [i < len(last) for i in range(length)]
        assert torch.equal(padded[user, : len(last)], last)
        assert not padded[user, len(last) :].any()


def test_padding_gets_no_gradient_and_what_is_cut_off_neither() -> None:
    flat = torch.randn(5, 2, requires_grad=True)
    padded, _ = pad(flat, torch.tensor([3, 0, 2]), 2)
    padded.sum().backward()
    assert flat.grad is not None
    assert flat.grad[:, 0].tolist() == [0, 1, 1, 1, 1]


def test_nothing_at_all_pads_to_nothing() -> None:
    padded, mask = pad(torch.zeros(0, 3), torch.tensor([0, 0]), 2)
    assert padded.shape == (2, 2, 3)
    assert not mask.any()


def test_the_own_mean_is_over_own_events_and_searches() -> None:
    histories = histories_of([5, 0, 3, 0], [2, 0, 0, 3])
    mean, has_texts = histories.own_mean()
    event, search = 0, 0
    for user in range(4):
        own = []
        for _ in range(int(histories.event_counts[user])):
            if not histories.event_exposed[event]:
                own.append(histories.texts[histories.event_text[event]].numpy())
            event += 1
        for _ in range(int(histories.search_counts[user])):
            own.append(histories.texts[histories.search_text[search]].numpy())
            search += 1
        assert has_texts[user] == bool(own)
        np.testing.assert_allclose(mean[user], np.mean(own, 0) if own else np.zeros(5), atol=1e-12)


def test_what_was_done_to_a_user_never_enters_their_own_mean() -> None:
    histories = histories_of([4, 2], texts=3)
    histories.event_exposed[:] = torch.tensor([False, True, False, True, True, True])
    histories.event_text[:] = torch.tensor([0, 2, 1, 2, 2, 2])
    mean, has_texts = histories.own_mean()
    histories.texts[2] = torch.nan
    again, _ = histories.own_mean()
    assert has_texts.tolist() == [True, False]
    assert torch.equal(mean, again)
    assert not again[1].any()


def test_a_batch_without_any_text_has_no_own_mean() -> None:
    mean, has_texts = histories_of([0, 0], texts=0).own_mean()
    assert mean.shape == (2, 5)
    assert not mean.any()
    assert not has_texts.any()


def test_users_of_a_batch_do_not_know_each_other() -> None:
    histories = histories_of([5, 0, 3, 1], [2, 0, 1, 3])
    mean, _ = histories.own_mean()
    for order in ([3, 1, 0, 2], [2], [1]):
        torch.testing.assert_close(chosen(histories, order).own_mean()[0], mean[order])


@pytest.mark.parametrize("kind", ["event", "search"])
@pytest.mark.parametrize("age", [0.0, -0.25, float("nan")])
def test_nothing_at_t1_or_after_it_can_be_said_of_a_user(kind: str, age: float) -> None:
    histories = histories_of([2, 0, 3], [1, 0, 2])
    ages = getattr(histories, f"{kind}_age").clone()
    ages[-1] = age
    with pytest.raises(ValueError, match=f"Row 2 holds the {kind} {age:g} days before t1"):
        replace(histories, **{f"{kind}_age": ages})
