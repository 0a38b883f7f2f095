"""Each loss against a loop-by-loop transcription of its equation in float64, its limits, and its gradients."""

import math

import numpy as np
import pytest
import torch

from models import losses

SCALE = 1 / 0.07


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def ragged(users: int, steps: int, seed: int = 0) -> torch.Tensor:
    """A mask with gaps, one user full, one empty."""
    mask = torch.from_numpy(np.random.default_rng(seed).random((users, steps)) < 0.7)
    mask[0], mask[1] = True, False
    return mask


def test_the_mean_is_over_the_steps_that_are_there() -> None:
    values, mask = normal(4, 5, 3), ragged(4, 5)
    mean = losses.masked_mean(values, mask)
    for b in range(4):
        steps = [values[b, t].numpy() for t in range(5) if mask[b, t]]
        assert np.allclose(mean[b], np.mean(steps, 0) if steps else 0)


@pytest.mark.parametrize("across", [True, False])
@pytest.mark.parametrize("ahead", [1, 3])
def test_equation_6(across: bool, ahead: int) -> None:
    users, steps = 4, 6
    context, targets, mask = normal(users, steps, 5, seed=1), normal(users, steps, 5, seed=2), ragged(users, steps)
    terms = []
    for b in range(users):
        for t in range(steps):
            for i in range(1, ahead + 1):
                if t + i >= steps or not (mask[b, t] and mask[b, t + i]):
                    continue
                c = context[b, t].numpy()
                denominator = 0.0
                for other in range(users):
                    for step in range(steps):
                        allowed = step > t if other == b else across
                        if allowed and mask[other, step]:
                            denominator += math.exp(SCALE * cosine(c, targets[other, step].numpy()))
                terms.append(-math.log(math.exp(SCALE * cosine(c, targets[b, t + i].numpy())) / denominator))
    loss = losses.cpc_loss(context, targets, mask, ahead, SCALE, across_users=across)
    assert loss.item() == pytest.approx(np.mean(terms), rel=1e-10)


@pytest.mark.parametrize("across", [True, False])
@pytest.mark.parametrize("kept", [0, 300, 2**26])
def test_equation_6_is_the_same_whatever_waits_for_the_way_back(across: bool, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against all rows at once, by autograd; with nothing, some and all of the exponentials kept."""
    users, steps, ahead = 5, 7, 2
    mask = ragged(users, steps)
    step, user = torch.arange(steps).repeat(users), torch.arange(users).repeat_interleave(steps)
    same = user[:, None] == user
    candidate = mask.reshape(-1) & torch.where(same, step > step[:, None], torch.tensor(across))
    positive = same & (step > step[:, None]) & (step <= step[:, None] + ahead) & mask.reshape(-1) & mask.reshape(-1)[:, None]

    def whole(context: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        c, z = (torch.nn.functional.normalize(x.reshape(users * steps, -1), dim=-1) for x in (context, targets))
        logits = SCALE * c @ z.T
        totals = logits.masked_fill(~candidate, -torch.inf)[positive.any(1)].logsumexp(1)
        return ((positive.sum(1)[positive.any(1)] * totals).sum() - logits[positive].sum()) / positive.sum()

    monkeypatch.setattr(losses, "ROWS", 4)
    monkeypatch.setattr(losses, "KEPT", kept)
    results = []
    for loss in (whole, lambda c, z: losses.cpc_loss(c, z, mask, ahead, SCALE, across_users=across)):
        inputs = [normal(users, steps, 5, seed=seed).requires_grad_() for seed in (1, 2)]
        value = loss(*inputs)
        results.append([value.detach(), *torch.autograd.grad(value, inputs)])
    for expected, result in zip(*results, strict=True):
        torch.testing.assert_close(result, expected, rtol=1e-10, atol=1e-12)


def test_equation_7() -> None:
    users, steps, period = 3, 9, 4
    context, mask = normal(users, steps, 5, seed=3), ragged(users, steps)
    terms = []
    for b in range(users):
        for t in range(steps - period):
            if mask[b, t] and mask[b, t + period]:
                p, q = (np.exp(context[b, s].numpy()) / np.exp(context[b, s].numpy()).sum() for s in (t, t + period))
                terms.append(sum(p[d] * math.log(p[d] / q[d]) for d in range(5)))
    assert losses.cyclic_loss(context, mask, period).item() == pytest.approx(np.mean(terms), rel=1e-10)
    same = context[:, :1].expand(-1, steps, -1)
    assert losses.cyclic_loss(same, mask, period).item() == pytest.approx(0, abs=1e-12)


def test_equation_8() -> None:
    sizes, rows = (3, 5, 2), 6
    logits = [normal(rows, size, seed=i) for i, size in enumerate(sizes)]
    rng = np.random.default_rng(4)
    values = torch.from_numpy(np.stack([rng.integers(0, size, rows) for size in sizes], 1))
    masked = torch.from_numpy(rng.random((rows, 3)) < 0.4)
    masked[:, 2] = False
    terms = []
    for b in range(rows):
        for f in range(3):
            if masked[b, f]:
                scores = np.exp(logits[f][b].numpy())
                terms.append(-math.log(scores[values[b, f]] / scores.sum()))
    assert losses.masked_value_loss(logits, values, masked).item() == pytest.approx(np.mean(terms), rel=1e-10)
    assert losses.masked_value_loss(logits, values, torch.zeros_like(masked)).item() == 0


def test_replaced_token_detection() -> None:
    logits, replaced = normal(4, 3, seed=5), torch.from_numpy(np.random.default_rng(5).random((4, 3)) < 0.5)
    terms = []
    for b in range(4):
        for f in range(3):
            chance = 1 / (1 + math.exp(-logits[b, f].item()))
            terms.append(-math.log(chance if replaced[b, f] else 1 - chance))
    assert losses.replaced_token_loss(logits, replaced).item() == pytest.approx(np.mean(terms), rel=1e-10)


def aligned(users: np.ndarray, texts: np.ndarray, excluded: set[tuple[int, int]], symmetric: bool) -> float:
    """Equation 13, term by term."""
    size, both = len(users), []
    for rows in ([(i, j) for i in range(size) for j in range(size)], [(j, i) for i in range(size) for j in range(size)]):
        terms = []
        for i in range(size):
            pairs = [pair for pair in rows[i * size : (i + 1) * size] if pair == (i, i) or pair not in excluded]
            chances = [math.exp(SCALE * cosine(users[u], texts[q])) for u, q in pairs]
            terms.append(-math.log(math.exp(SCALE * cosine(users[i], texts[i])) / sum(chances)))
        both.append(np.mean(terms))
    return float(np.mean(both)) if symmetric else float(both[0])


@pytest.mark.parametrize("symmetric", [True, False])
def test_equation_13(symmetric: bool) -> None:
    users, texts = normal(6, 4, seed=6), normal(6, 4, seed=7)
    loss = losses.alignment_loss(users, texts, SCALE, symmetric=symmetric)
    assert loss.item() == pytest.approx(aligned(users.numpy(), texts.numpy(), set(), symmetric), rel=1e-10)


def test_near_copies_and_the_same_persons_others_are_no_negatives_and_exact_copies_are() -> None:
    users, texts = normal(5, 4, seed=8), normal(5, 4, seed=9)
    frozen = torch.eye(5, dtype=torch.float64)
    frozen[1] = torch.tensor([1.0, 0.2, 0, 0, 0])  # cosine .98 to row 0
    frozen[3] = frozen[2]
    owner = torch.tensor([0, 1, 2, 3, 2])
    excluded = {(0, 1), (1, 0), (2, 4), (4, 2)}
    loss = losses.alignment_loss(users, texts, SCALE, frozen=frozen, owner=owner)
    assert loss.item() == pytest.approx(aligned(users.numpy(), texts.numpy(), excluded, True), rel=1e-10)


def test_equal_descriptions_are_positives_of_one_another() -> None:
    """Exact copies stay among the negatives, and that is the loss in which every copy is a positive: where copies share one vector,
    as they do behind a tower, value and gradients agree, so that nobody is told from another with the same description.
    """
    which = torch.tensor([0, 1, 0, 2, 0, 1])
    users, distinct = normal(6, 4, seed=40), normal(3, 4, seed=41)
    frozen = normal(3, 8, seed=42)[which].float()  # single precision: a copy's cosine is one but for rounding
    users, distinct = users.requires_grad_(), distinct.requires_grad_()
    loss = losses.alignment_loss(users, distinct[which], SCALE, frozen=frozen, owner=torch.arange(6))
    gradients = torch.autograd.grad(loss, (users, distinct))
    u, q = (x / x.norm(dim=1, keepdim=True) for x in (users, distinct[which]))
    chances, terms = torch.exp(SCALE * u @ q.T), []
    for i in range(6):
        copies = [j for j in range(6) if which[j] == which[i]]
        terms += [-torch.log(chances[i, j] / chances[i].sum()) / len(copies) for j in copies]
        terms += [-torch.log(chances[j, i] / chances[:, i].sum()) / len(copies) for j in copies]
    expected = torch.stack(terms).sum() / 12
    assert loss.item() == pytest.approx(expected.item(), rel=1e-10)
    for of_loss, of_wanted in zip(gradients, torch.autograd.grad(expected, (users, distinct)), strict=True):
        torch.testing.assert_close(of_loss, of_wanted)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("owner", [[0, 0, 1, 2, 2, 2], [0] * 6, None], ids=["of some", "of one person", "of nobody known"])
def test_a_batch_of_equal_descriptions_has_finite_gradients(owner: list[int] | None, dtype: torch.dtype) -> None:
    """Other rows of one person are no negatives, whatever they say; with one person in the batch there is nothing to tell apart."""
    users, one = normal(6, 4, seed=43).to(dtype).requires_grad_(), normal(4, seed=44).to(dtype).requires_grad_()
    texts, owners = one.expand(6, -1), None if owner is None else torch.tensor(owner)
    loss = losses.alignment_loss(users, texts, SCALE, frozen=texts.detach(), owner=owners)
    same = set() if owner is None else {(i, j) for i in range(6) for j in range(6) if i != j and owner[i] == owner[j]}
    expected = aligned(users.detach().double().numpy(), texts.detach().double().numpy(), same, True)
    assert loss.item() == pytest.approx(expected, rel=1e-10 if dtype == torch.float64 else 1e-4, abs=1e-12)
    loss.backward()
    for of in (users, one):
        assert of.grad is not None
        assert of.grad.isfinite().all()
        assert bool(of.grad.any()) == (owner is None or len(set(owner)) > 1)


def test_equation_14() -> None:
    query, positives, negatives = normal(4, seed=10), normal(3, 4, seed=11), normal(2, 4, seed=12)
    total = 0.0
    for p in positives.numpy():
        for n in negatives.numpy():
            total += max(0.0, ((query.numpy() - p) ** 2).sum() - ((query.numpy() - n) ** 2).sum() + 0.2)
    assert losses.triplet_loss(query, positives, negatives, 0.2).item() == pytest.approx(total, rel=1e-10)


def test_the_window_a_period_later_is_told_from_the_same_window_of_others() -> None:
    users, steps, period = 4, 9, 3
    context, mask = normal(users, steps, 5, seed=18), ragged(users, steps)
    mask[2:, 5], mask[:, 8] = False, False  # one window of one user alone, and one of nobody
    terms = []
    for b in range(users):
        for t in range(steps - period):
            if not (mask[b, t] and mask[b, t + period]):
                continue
            others = [u for u in range(users) if mask[u, t] and mask[u, t + period]]
            scores = {u: math.exp(SCALE * cosine(context[b, t].numpy(), context[u, t + period].numpy())) for u in others}
            terms.append(-math.log(scores[b] / sum(scores.values())))
    assert losses.cyclic_contrast_loss(context, mask, period, SCALE).item() == pytest.approx(np.mean(terms), rel=1e-10)


def test_will_the_user_act_in_the_next_window() -> None:
    logits, mask = normal(4, 6, seed=19), ragged(4, 6)
    mask[2] = torch.tensor([False, False, True, False, False, True])
    terms = []
    for b in range(4):
        for t in range(5):
            if mask[b, : t + 1].any():
                chance = 1 / (1 + math.exp(-logits[b, t].item()))
                terms.append(-math.log(chance if mask[b, t + 1] else 1 - chance))
    assert losses.next_window_loss(logits, mask).item() == pytest.approx(np.mean(terms), rel=1e-10)


def test_the_anchor_is_the_mean_distance_to_the_start_of_those_who_have_one() -> None:
    vectors, start = normal(5, 3, seed=20), normal(5, 3, seed=21)
    start[1], start[4] = 0, 0
    terms = [1 - cosine(vectors[i].numpy(), start[i].numpy()) for i in (0, 2, 3)]
    assert losses.anchor_loss(vectors, start).item() == pytest.approx(np.mean(terms), rel=1e-10)
    assert losses.anchor_loss(start * 3, start).item() == pytest.approx(0, abs=1e-12)
    assert losses.anchor_loss(vectors, torch.zeros_like(start)).item() == 0


def test_limits_of_what_is_beyond_the_paper() -> None:
    one, nothing = normal(1, 5, 3), torch.zeros(1, 5, dtype=torch.bool)
    assert losses.cyclic_contrast_loss(one, ~nothing, 2, SCALE).item() == pytest.approx(0)
    assert losses.cyclic_contrast_loss(one, nothing, 2, SCALE).item() == 0
    assert losses.cyclic_contrast_loss(one, ~nothing, 5, SCALE).item() == 0
    assert losses.next_window_loss(one[..., 0], nothing).item() == 0
    assert losses.next_window_loss(one[:, :1, 0], ~nothing[:, :1]).item() == 0


def test_gradients_of_what_is_beyond_the_paper_are_right_and_do_not_reach_padding() -> None:
    context, mask = normal(3, 6, 2, seed=22).requires_grad_(), ragged(3, 6)
    mask[:, 4] = False  # a window of nobody
    logits = normal(3, 6, seed=23).requires_grad_()
    assert torch.autograd.gradcheck(lambda c: losses.cyclic_contrast_loss(c, mask, 2, 2.0), (context,))
    assert torch.autograd.gradcheck(lambda x: losses.next_window_loss(x, mask), (logits,))
    (losses.cyclic_contrast_loss(context, mask, 2, SCALE) + losses.next_window_loss(logits, mask)).backward()
    assert context.grad is not None
    assert logits.grad is not None
    assert not context.grad[~mask].any()
    assert not logits.grad[:, -1].any()
    assert not logits.grad[mask.cumsum(1) == 0].any()
    start = normal(4, 3, seed=24)
    start[1] = 0
    vectors = normal(4, 3, seed=25).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: losses.anchor_loss(v, start), (vectors,))
    losses.anchor_loss(vectors, start).backward()
    assert vectors.grad is not None
    assert not vectors.grad[1].any()


def test_a_vector_of_zeros_has_a_gradient_that_can_be_added_up() -> None:
    users, texts = torch.randn(4, 3), torch.randn(4, 3)
    users[1] = 0
    users.requires_grad_()
    (losses.alignment_loss(users, texts, SCALE) + losses.anchor_loss(users, texts)).backward()
    assert users.grad is not None
    assert users.grad.norm().isfinite()


def test_targeting_tells_who_will_from_who_will_not() -> None:
    scores, will = normal(6, 5, seed=30), torch.from_numpy(np.random.default_rng(31).random((6, 5)) < 0.4)
    will[:, 3], will[:, 4], will[0, 0], will[1, 0] = True, False, True, False  # a phrase that everybody does tells nothing
    phrases = []
    for phrase in range(5):
        s, positives = scores[:, phrase].numpy(), [u for u in range(6) if will[u, phrase]]
        negatives = [u for u in range(6) if not will[u, phrase]]
        if positives and negatives:
            against = sum(math.exp(s[u]) for u in negatives)
            phrases.append(np.mean([-math.log(math.exp(s[u]) / (math.exp(s[u]) + against)) for u in positives]))
    assert 2 <= len(phrases) <= 3
    assert losses.targeting_loss(scores, will).item() == pytest.approx(np.mean(phrases), rel=1e-10)
    scores.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: losses.targeting_loss(x, will), (scores,))
    losses.targeting_loss(scores, will).backward()
    assert scores.grad is not None
    assert not scores.grad[:, 3:].any()
    for all_alike in (torch.ones_like(will), torch.zeros_like(will)):
        assert losses.targeting_loss(scores, all_alike).item() == 0


def test_limits() -> None:
    """A batch of one, nothing there at all, one step alone, and equal descriptions."""
    one = normal(1, 5, 3)
    everything, nothing = torch.ones(1, 5, dtype=torch.bool), torch.zeros(1, 5, dtype=torch.bool)
    assert losses.cpc_loss(one, one, everything, 2, SCALE).isfinite()
    assert losses.cpc_loss(one, one, nothing, 2, SCALE).item() == 0
    assert losses.cpc_loss(one[:, :1], one[:, :1], everything[:, :1], 2, SCALE).item() == 0
    assert losses.cyclic_loss(one, everything, 7).item() == 0
    assert losses.cyclic_loss(one, nothing, 2).item() == 0
    assert losses.alignment_loss(one[:, 0], one[:, 1], SCALE).item() == pytest.approx(0)
    scores = [one[0, :1, :2], one[0, :1]]
    values, masked = torch.tensor([[1, 2]]), torch.tensor([[True, False]])
    assert losses.masked_value_loss(scores, values, masked).item() == pytest.approx(-scores[0].log_softmax(1)[0, 1].item())
    assert losses.masked_value_loss(scores, values, ~masked).item() == pytest.approx(-scores[1].log_softmax(1)[0, 2].item())
    assert losses.replaced_token_loss(one[0, :1, :1], masked[:, :1]).item() == pytest.approx(math.log1p(math.exp(-one[0, 0, 0])))
    assert losses.triplet_loss(one[0, 0], one[0, 1:2], one[0, 1:2], 0.2).item() == pytest.approx(0.2)
    assert losses.triplet_loss(one[0, 0], one[0, :1], one[0, 1:2], 0.2).item() == 0
    same = normal(1, 4).expand(6, -1)
    assert losses.alignment_loss(normal(6, 4, seed=1), same, SCALE, frozen=same, symmetric=False).item() == pytest.approx(
        math.log(6)
    )


@pytest.mark.parametrize("across", [True, False])
def test_equation_6_and_its_gradients_are_the_same_however_its_rows_are_cut(across: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    context, targets = (normal(4, 5, 2, seed=seed).requires_grad_() for seed in (45, 46))
    mask = ragged(4, 5)

    def loss(c: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return losses.cpc_loss(c, z, mask, 2, 2.0, across_users=across)

    whole = loss(context, targets)
    monkeypatch.setattr(losses, "ROWS", 3)  # a cut falls between two steps of one user
    torch.testing.assert_close(loss(context, targets), whole)
    assert torch.autograd.gradcheck(loss, (context, targets))


def test_gradients_of_the_tables_losses_are_right_and_reach_no_cell_that_was_not_masked() -> None:
    sizes = [3, 5, 2]
    logits, replaced_logits = normal(4, sum(sizes), seed=47).requires_grad_(), normal(4, 3, seed=48).requires_grad_()
    values = torch.tensor([[0, 4, 1], [2, 0, 0], [1, 3, 1], [0, 2, 0]])
    masked = torch.tensor([[True, False, False], [True, True, False], [False, False, False], [False, True, False]])
    assert torch.autograd.gradcheck(lambda x: losses.masked_value_loss(list(x.split(sizes, 1)), values, masked), (logits,))
    assert torch.autograd.gradcheck(lambda x: losses.replaced_token_loss(x, masked), (replaced_logits,))
    losses.masked_value_loss(list(logits.split(sizes, 1)), values, masked).backward()
    assert logits.grad is not None
    for column, grad in enumerate(logits.grad.split(sizes, 1)):
        assert torch.equal(grad.any(1), masked[:, column])


def test_gradients_of_equation_14_are_right() -> None:
    seeds = [normal(*shape, seed=seed).requires_grad_() for seed, shape in ((54, (4,)), (55, (3, 4)), (56, (2, 4)))]
    assert losses.triplet_loss(*seeds, 0.2) > 0
    assert torch.autograd.gradcheck(lambda *x: losses.triplet_loss(*x, 0.2), tuple(seeds))


def test_gradients_are_right_and_do_not_reach_padding() -> None:
    context = normal(3, 5, 2, seed=13).requires_grad_()
    targets = normal(3, 5, 2, seed=14).requires_grad_()
    mask = ragged(3, 5)
    assert torch.autograd.gradcheck(lambda c, z: losses.cpc_loss(c, z, mask, 2, 2.0), (context, targets))
    assert torch.autograd.gradcheck(lambda c: losses.cyclic_loss(c, mask, 2), (context,))
    users, texts = normal(4, 3, seed=15).requires_grad_(), normal(4, 3, seed=16).requires_grad_()
    frozen, owner = normal(4, 3, seed=17), torch.tensor([0, 1, 1, 2])
    assert torch.autograd.gradcheck(lambda u, q: losses.alignment_loss(u, q, 2.0, frozen=frozen, owner=owner), (users, texts))
    (losses.cpc_loss(context, targets, mask, 2, SCALE) + losses.cyclic_loss(context, mask, 2)).backward()
    assert context.grad is not None
    assert targets.grad is not None
    assert not context.grad[~mask].any()
    assert not targets.grad[~mask].any()
    empty = torch.zeros(3, 5, dtype=torch.bool)
    context.grad = None
    (losses.cpc_loss(context, targets, empty, 2, SCALE) + losses.cyclic_loss(context, empty, 2)).backward()
    assert context.grad is not None
    assert not context.grad.isnan().any()
