"""The losses of FOUND (WWW 2025), each equation one pure function. `scale` is one over the temperature.

Every mean is over what is there: padding neither counts nor gets a gradient, and where nothing is there the loss is 0. It is
taken by index and not by mask, so that shapes follow without values: a step can be tried on a model that has none.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

IDENTICAL = 1 - 1e-5
"""Cosine from which two frozen vectors are of the same text."""

ROWS = 256
"""Contexts of equation 6 at once."""

KEPT = 2**26
"""Exponentials of equation 6 that wait for the way back (256 MiB in float32); what is beyond them is made again there."""


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean of the steps that are there, zeros where none is: the pooling P of equation 5. (B, T, D), (B, T) bool -> (B, D)"""
    weights = mask.to(values.dtype)[..., None]  # (B, T, 1)
    return (values * weights).sum(1) / weights.sum(1).clamp(min=1)


def cpc_loss(
    context: Tensor, targets: Tensor, mask: Tensor, ahead: int, scale: Tensor | float, *, across_users: bool = True
) -> Tensor:
    """Equation 6: from the context of a step, tell the next steps from others.

    The positives of step t are the steps t+1 .. t+ahead that are there. Its candidates are all later steps of the user, as printed,
    and with `across_users` also every step of the other users: without them, telling times apart would be enough.

    Args:
        context: (B, T, D) c_t, which has seen nothing after t.
        targets: (B, T, D) z_t.
        mask: (B, T) bool, true where the user has a step.
    """
    users, steps, dim = context.shape
    c, z = (F.normalize(x, dim=-1) for x in (context, targets))
    near = range(1, min(ahead, steps - 1) + 1)
    pairs = [(k, mask[:, :-k] & mask[:, k:]) for k in near]  # (B, T - k): a step and the k-th after it are there
    positives = sum((F.pad(both.long(), (0, k)) for k, both in pairs), mask.long() * 0)  # (B, T) how many a step has
    if not positives.any():
        return (context.sum() + targets.sum()) * 0.0
    alike = sum(((c[:, :-k] * z[:, k:]).sum(-1)[torch.nonzero(both, as_tuple=True)].sum() for k, both in pairs), c.new_zeros(()))
    place = torch.arange(users * steps, device=mask.device)
    rows, candidate_rows = (torch.nonzero(x.reshape(-1))[:, 0] for x in (positives, mask))  # (R,) contexts, (N,) candidates
    contexts, candidates = scale * c.reshape(-1, dim)[rows], z.reshape(-1, dim)[candidate_rows]  # (R, D), (N, D)
    totals: Tensor = _LogTotals.apply(contexts, candidates, place[rows], place[candidate_rows], steps, across_users)  # type: ignore[assignment]
    return ((positives.reshape(-1)[rows] * totals).sum() - scale * alike) / positives.sum()


class _LogTotals(torch.autograd.Function):
    """The logarithm of equation 6's denominator (R,): some rows at a time, so that the caches hold them, and one exp for both ways
    as long as there are few (`KEPT`).

    `at` (R,) and `place` (N,) are user * steps + step of contexts (R, D) and candidates (N, D), ascending. The gradient of the
    logarithm of a sum of exponentials is each one's share of the sum.
    """

    @staticmethod
    def forward(ctx, c: Tensor, z: Tensor, at: Tensor, place: Tensor, steps: int, across_users: bool) -> Tensor:
        ctx.save_for_backward(c, z, at, place)
        ctx.how = steps, across_users
        ctx.softmaxes = []
        totals, room = [], KEPT
        for part, own in zip(c.split(ROWS), at.split(ROWS), strict=True):
            exps, total, most = _exponentials(part, z, own, place, steps, across_users)
            room -= exps.numel()
            ctx.softmaxes.append((exps, total) if room >= 0 else None)
            totals.append((total.log() + most)[:, 0])
        return torch.cat(totals)

    @staticmethod
    def backward(ctx, *grads: Tensor) -> tuple[Tensor | None, ...]:
        c, z, at, place = ctx.saved_tensors
        of_c, of_z = [], torch.zeros_like(z)
        for part, own, grad, kept in zip(c.split(ROWS), at.split(ROWS), grads[0].split(ROWS), ctx.softmaxes, strict=True):
            exps, total = kept or _exponentials(part, z, own, place, *ctx.how)[:2]
            weight = grad[:, None] / total
            of_c.append(exps @ z * weight)
            of_z.addmm_(exps.T, part * weight)
        return torch.cat(of_c), of_z, None, None, None, None


def _exponentials(c: Tensor, z: Tensor, at: Tensor, place: Tensor, steps: int, across_users: bool) -> tuple[Tensor, Tensor, Tensor]:
    """exp of each row's logits (R, N) less their maximum, 0 where there is no candidate; their sum (R, 1); the maximum (R, 1)."""
    first = (at // steps * steps)[:, None]  # the user's first step
    logits = c @ z.T  # (R, N)
    low, high = torch.searchsorted(place, torch.stack([first[0, 0], at[-1] + steps - at[-1] % steps])).tolist()
    near = place[low:high]  # of the same users: nothing else has to be looked at
    logits[:, low:high].masked_fill_((near >= first) & (near <= at[:, None]), -torch.inf)
    if not across_users:
        logits.masked_fill_((place < first) | (place >= first + steps), -torch.inf)
    most = logits.amax(1, keepdim=True)
    logits.sub_(most).exp_()
    return logits, logits.sum(1, keepdim=True), most


def cyclic_loss(context: Tensor, mask: Tensor, period: int) -> Tensor:
    """The second term of equation 7: KL(c_t || c_(t+period)), both as a softmax over the dimensions; where both steps are there.

    (B, T, D), (B, T) bool -> ()
    """
    if context.shape[1] <= period:
        return context.sum() * 0.0
    log_p, log_q = (F.log_softmax(part, -1) for part in (context[:, :-period], context[:, period:]))
    divergence = (log_p.exp() * (log_p - log_q)).sum(-1)  # (B, T - period)
    both = mask[:, :-period] & mask[:, period:]
    return torch.where(both, divergence, 0.0).sum() / both.sum().clamp(min=1)


def masked_value_loss(logits: list[Tensor], values: Tensor, masked: Tensor) -> Tensor:
    """Equation 8: the cross-entropy of the masked columns' values, mean over the masked cells.

    Args:
        logits: one (B, V_f) a column, V_f its number of values.
        values: (B, F) the true value of every cell.
        masked: (B, F) bool.
    """
    total = logits[0].sum() * 0.0
    for column, scores in enumerate(logits):
        cells = torch.nonzero(masked[:, column])[:, 0]
        total = total + F.cross_entropy(scores[cells], values[cells, column], reduction="sum") if len(cells) else total
    return total / masked.sum().clamp(min=1)


def replaced_token_loss(logits: Tensor, replaced: Tensor) -> Tensor:
    """Replaced-token detection (section 4.2.2): a binary classifier a column says whether its value was replaced.

    (B, F) logits of "replaced", (B, F) bool -> ()
    """
    return F.binary_cross_entropy_with_logits(logits, replaced.to(logits.dtype))


def alignment_loss(
    users: Tensor,
    descriptions: Tensor,
    scale: Tensor | float,
    *,
    frozen: Tensor | None = None,
    margin: float = 0.1,
    owner: Tensor | None = None,
    symmetric: bool = True,
) -> Tensor:
    """Equation 13: each user's vector tells the description of their own future from the others of the batch.

    Args:
        users: (B, D) e^f.
        descriptions: (B, D) e^q, row by row the future of the users.
        frozen: (B, E) vectors of the descriptions by the encoder before training. Descriptions of others that are nearly the same,
            cosine above 1 - margin, are no negatives; exact copies stay, which biases nothing. None filters nothing.
        owner: (B,) whose description a row is; other rows of the same person are no negatives.
        symmetric: also from descriptions to users; the equation as printed has users to descriptions alone.
    """
    users, descriptions = (F.normalize(x, dim=-1, eps=1e-6) for x in (users, descriptions))
    logits = scale * users @ descriptions.T  # (B, B)
    own = torch.eye(len(users), dtype=torch.bool, device=users.device)
    excluded = torch.zeros_like(own)
    if frozen is not None:
        unit = F.normalize(frozen, dim=-1)
        cosine = unit @ unit.T
        excluded |= (cosine > 1 - margin) & (cosine < IDENTICAL)
    if owner is not None:
        excluded |= owner[:, None] == owner
    logits = logits.masked_fill(excluded & ~own, -torch.inf)
    loss = -F.log_softmax(logits, 1).diagonal().mean()
    return (loss - F.log_softmax(logits, 0).diagonal().mean()) / 2 if symmetric else loss


def targeting_loss(scores: Tensor, will: Tensor) -> Tensor:
    """Beside equation 13: each phrase tells the users who will do it from those who will not (InfoNCE with many positives).

    (B, P) scores of users for phrases, (B, P) bool -> (), mean over the phrases that have both, of the mean over their positives.
    """
    others = torch.where(will, -torch.inf, scores).logsumexp(0)  # (P,)
    both = torch.nonzero(will.any(0) & ~will.all(0))[:, 0]
    if not len(both):
        return scores.sum() * 0.0
    loss = torch.where(will, F.softplus(others - scores), 0.0)[:, both]  # another positive is no negative
    return (loss.sum(0) / will[:, both].sum(0)).mean()


def triplet_loss(query: Tensor, positives: Tensor, negatives: Tensor, margin: float) -> Tensor:
    """Equation 14: the query is nearer to every positive seed than to every negative one, by squared distance and a margin.

    (D,), (P, D), (N, D) -> (), the sum over all pairs of seeds.
    """
    near, far = ((query - users).square().sum(-1) for users in (positives, negatives))
    return (near[:, None] - far + margin).clamp(min=0).sum()


def cyclic_contrast_loss(context: Tensor, mask: Tensor, period: int, scale: Tensor | float) -> Tensor:
    """Beside the KL of equation 7: the window one period later is told from the same window of the other users (InfoNCE).

    (B, T, D), (B, T) bool -> (), mean over the pairs of steps that are there.
    """
    if context.shape[1] <= period:
        return context.sum() * 0.0
    earlier, later = F.normalize(context[:, :-period], dim=-1), F.normalize(context[:, period:], dim=-1)
    both = mask[:, :-period] & mask[:, period:]  # (B, T - period)
    logits = scale * torch.einsum("btd,ctd->tbc", earlier, later)
    logits = logits.masked_fill(~both.T[:, None, :], -torch.inf)
    rows = torch.nonzero(both.T, as_tuple=True)  # those of (T - period, B)
    if not len(rows[0]):
        return context.sum() * 0.0
    own = logits.diagonal(dim1=1, dim2=2)[rows]
    return (logits.logsumexp(2)[rows] - own).mean()


def next_window_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Will the user act in the next window: binary cross-entropy from the user's first act on.

    (B, T) logits, (B, T) bool windows in which the user acted -> ()
    """
    started = mask.cumsum(1) > 0
    steps = started[:, :-1]
    loss = F.binary_cross_entropy_with_logits(logits[:, :-1], mask[:, 1:].to(logits.dtype), reduction="none")
    return torch.where(steps, loss, 0.0).sum() / steps.sum().clamp(min=1)


def anchor_loss(vectors: Tensor, start: Tensor) -> Tensor:
    """How far vectors have left the frozen text space: one minus the cosine to where they started. (B, D), (B, D) -> ()"""
    has_start = start.abs().sum(-1) > 0
    distance = 1 - F.cosine_similarity(vectors, start, dim=-1)
    return torch.where(has_start, distance, 0.0).sum() / has_start.sum().clamp(min=1)
