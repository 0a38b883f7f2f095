"""FOUND without one of its parts (table 5 of the paper), as far as a trained model can tell: the part is taken from what it reads.

The paper trains each variant anew; here the trained model stays, and what is missing is missing as it is for a user who has none of
it. What does not belong here: variants that are trained (`benchmarks/model_quality.py`).
"""

import copy
from dataclasses import replace

import torch
from torch import Tensor

from models.found import Found
from models.histories import Histories

PARTS = ("behavior", "table", "searches", "fusion")
"""What can be left out: events, profile attributes and activity, searches, and what the fusion adds to the frozen start."""


def users_without(model: Found, part: str, histories: Histories) -> Tensor:
    """`Found.users` (B, W) as if nobody had the part."""
    if part == "fusion":
        return _unfused(model).users(histories)
    missing = {"behavior": _no_events, "searches": _no_searches, "table": lambda h: _no_table(model, h)}[part]
    return model.users(missing(histories))


def _no_events(histories: Histories) -> Histories:
    flat = ("event_text", "event_age", "event_channel", "event_amount", "event_exposed")
    counts = torch.zeros_like(histories.event_counts)
    return replace(histories, event_counts=counts, **{name: getattr(histories, name)[:0] for name in flat})


def _no_searches(histories: Histories) -> Histories:
    flat = ("search_text", "search_age")
    counts = torch.zeros_like(histories.search_counts)
    return replace(histories, search_counts=counts, **{name: getattr(histories, name)[:0] for name in flat})


def _no_table(model: Found, histories: Histories) -> Histories:
    """Every attribute missing, and the activity of the average user, which tells nothing."""
    usual = model.activity_mean
    activity = histories.activity.clone()
    activity[:, : len(usual)] = usual.sign() * torch.expm1(usual.abs())
    return replace(histories, cells=torch.zeros_like(histories.cells), activity=activity)


def _unfused(model: Found) -> Found:
    alone = copy.deepcopy(model)
    torch.nn.init.zeros_(alone.fused.weight)
    torch.nn.init.zeros_(alone.fused.bias)
    return alone
