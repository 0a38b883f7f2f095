"""The rivals: what each may see, and that each learns what tells users apart."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from found_platform.metrics import auc
from models.baselines.coles import MARGIN, Coles, contrastive_loss, slices
from models.baselines.cpc import Cpc
from models.baselines.msdp import Msdp
from models.baselines.one4all import One4all
from models.baselines.sequences import Sequences
from models.baselines.tabtransformer import TabTransformer
from models.baselines.training import Budget, fit, seeded

pytestmark = pytest.mark.usefixtures("one_thread")

USERS, TEXTS, DIM, LENGTH = 60, 12, 6, 16
QUICK = Budget(passes=20, batch=20)
EVENT_RIVALS: dict[str, Callable[[Sequences], nn.Module]] = {"coles": Coles, "cpc": Cpc, "msdp": Msdp, "one4all": One4all}


def people(seed: int = 0) -> tuple[Sequences, np.ndarray]:
    """Users of two sorts, who do other things at another pace; the first has no event at all."""
    rng = np.random.default_rng(seed)
    sort = rng.integers(0, 2, USERS)
    counts = rng.integers(4, LENGTH + 8, USERS)
    counts[0] = 0
    user = np.repeat(np.arange(USERS), counts)
    text = rng.integers(0, TEXTS // 2, len(user)) + TEXTS // 2 * (rng.random(len(user)) < np.where(sort[user], 0.8, 0.2))
    age = np.concatenate([np.cumsum(rng.exponential(3 - sort[u], c) + 0.1)[::-1] for u, c in enumerate(counts)])
    columns = {
        "text": text,
        "age": age.astype(np.float32),
        "channel": rng.integers(0, 4, len(user)),
        "amount": rng.integers(0, 6, len(user)),
        "kind": text // 3,
    }
    vectors = torch.from_numpy(rng.normal(size=(TEXTS, DIM)).astype(np.float32))
    tensors = {name: torch.from_numpy(column) for name, column in columns.items()}
    return Sequences.of_events(vectors, tensors, torch.from_numpy(counts), TEXTS // 3, LENGTH), sort


def learners(sequences: Sequences) -> torch.Tensor:
    return torch.nonzero(sequences.lengths >= 2)[:, 0]


def test_the_newest_events_are_kept_in_order_and_none_after_the_cutoff() -> None:
    sequences, _ = people()
    assert sequences.mask.shape == (USERS, LENGTH)
    assert sequences.lengths[0] == 0
    ages = sequences.age.masked_fill(~sequences.mask, 0.0)
    assert (ages[:, :-1] >= ages[:, 1:]).all()
    with pytest.raises(ValueError, match="after"):
        Sequences.of_events(sequences.texts, dict.fromkeys(("text", "age", "channel", "amount", "kind"), torch.tensor([-1.0])),
                            torch.tensor([1]), 1, 4)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", EVENT_RIVALS)
def test_a_rival_of_events_tells_sorts_of_users_apart_the_same_each_time(name: str) -> None:
    sequences, sort = people()
    losses: list[float] = []

    def vectors(budget: Budget, progress: Callable[[float], object] = lambda _: None) -> np.ndarray:
        rival = seeded(lambda: EVENT_RIVALS[name](sequences), budget)
        return fit(rival, learners(sequences), USERS, budget, progress)

    first = vectors(QUICK, losses.append)
    assert len(losses) == QUICK.steps(USERS - 1)
    assert np.mean(losses[-10:]) < np.mean(losses[:10])
    assert np.isfinite(first).all()
    few = Budget(passes=1, batch=20)
    assert np.array_equal(vectors(few), vectors(few))
    fitted, judged = np.arange(1, 31), np.arange(31, USERS)
    difference = first[fitted][sort[fitted] == 1].mean(0) - first[fitted][sort[fitted] == 0].mean(0)
    assert auc(first[judged] @ difference, sort[judged]) > 0.85


def test_a_training_budget_grows_with_the_users_up_to_a_bound() -> None:
    budget = Budget(passes=10, batch=50, most=300)
    assert [budget.steps(users) for users in (10, 100, 1000, 100_000)] == [2, 20, 200, 300]


def test_negatives_of_cpc_are_never_of_the_user() -> None:
    sequences, _ = people()
    some = sequences.take(torch.arange(5))
    owner = torch.arange(5).repeat_interleave(some.mask.shape[1])
    others = Cpc(sequences, negatives=200)._others(some.mask)
    assert (owner[others] != torch.arange(5)[:, None]).all()
    assert some.mask.flatten()[others].all()


def test_contexts_of_cpc_have_seen_nothing_later() -> None:
    sequences, _ = people()
    rival = Cpc(sequences).eval()
    some = sequences.take(learners(sequences)[:4])
    later = some.gather(torch.arange(some.mask.shape[1]).expand(4, -1).clone(), some.mask)
    later.text[:, 3:] = 0
    assert torch.allclose(rival.read(some)[1][:, :3], rival.read(later)[1][:, :3])


def test_a_slice_is_a_run_of_a_users_own_events() -> None:
    sequences, _ = people()
    rows = learners(sequences)
    part = slices(sequences.take(rows))
    for own, ages, mask in zip(sequences.take(rows).age.tolist(), part.age, part.mask, strict=True):
        run = ages[mask].tolist()
        start = own.index(run[0])
        assert own[start : start + len(run)] == run


def test_the_contrastive_loss_is_that_of_the_paper() -> None:
    vectors = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.1], [1.0, 0.2], [0.0, 1.0]]), dim=-1)
    owner = torch.tensor([0, 0, 1, 1])
    near, far = [], []
    for i in range(4):
        for j in range(4):
            distance = float((vectors[i] - vectors[j]).norm())
            if owner[i] != owner[j]:
                far.append(max(0.0, MARGIN - distance) ** 2)
            elif i < j:
                near.append(distance**2)
    assert float(contrastive_loss(vectors, owner)) == pytest.approx(np.mean(near) + np.mean(far), abs=1e-5)


def test_masked_items_of_one4all_show_nothing_but_where_they_stand() -> None:
    sequences, _ = people()
    rival = One4all(sequences).eval()
    some = sequences.take(learners(sequences)[:4])
    hidden = torch.zeros_like(some.mask)
    hidden[:, 1] = True
    other = some.gather(torch.arange(some.mask.shape[1]).expand(4, -1).clone(), some.mask)
    other.text[:, 1], other.kind[:, 1], other.amount[:, 1], other.channel[:, 1] = 0, 0, 0, 0
    assert torch.equal(rival.read(some, hidden), rival.read(other, hidden))


def test_msdp_reads_no_event_of_the_window_it_predicts() -> None:
    sequences, _ = people()
    rival = Msdp(sequences).eval()
    some = sequences.take(learners(sequences)[:4])
    moment, window = torch.full((4,), 8.0), torch.zeros(4, dtype=torch.long)
    before = some.mask & (some.age >= 8)
    other = some.gather(torch.arange(some.mask.shape[1]).expand(4, -1).clone(), some.mask)
    other.text[~before], other.kind[~before] = 0, 0
    assert torch.allclose(rival.states(some, before, moment, window), rival.states(other, before, moment, window))


def test_tabtransformer_tells_tables_apart_the_same_each_time() -> None:
    rng = np.random.default_rng(0)
    sort = rng.integers(0, 2, USERS)
    cells = torch.from_numpy(np.where(rng.random((USERS, 5)) < 0.8, sort[:, None], rng.integers(0, 3, (USERS, 5))))
    budget = Budget(passes=6, batch=20)
    first, again = (fit(seeded(lambda: TabTransformer(cells, (3,) * 5, 1), budget), torch.arange(USERS), USERS, budget, print)
                    for _ in range(2))  # fmt: skip
    assert np.array_equal(first, again)
    difference = first[:30][sort[:30] == 1].mean(0) - first[:30][sort[:30] == 0].mean(0)
    assert auc(first[30:] @ difference, sort[30:]) > 0.9
