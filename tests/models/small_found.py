"""A small FOUND model in float64, and users for it."""

import torch
from random_histories import histories_of

from models.behavior import BehaviorConfig
from models.found import Found, FoundConfig, frozen_projection
from models.histories import Histories
from models.table_codec import Column
from models.tabular import TabularConfig

TEXT, DIM, COLUMNS = 5, 4, (3, 4)
BERT = {
    "model_type": "bert",
    "vocab_size": 64,
    "hidden_size": TEXT * 2,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}


def config(**changes: object) -> FoundConfig:
    parts = {
        "encoder": "random-bert",
        "encoder_revision": "r",
        "text_dim": TEXT,
        "dim": DIM,
        "activity": 3,
        "behavior": BehaviorConfig(TEXT, width=8, windows=5, layers=1, heads=2, dropout=0.0),
        "tabular": TabularConfig(COLUMNS, width=8, layers=1, heads=2, dropout=0.0),
        "searches": 2,
        "common": True,
        "width": 8,
        "heads": 2,
        "dropout": 0.0,
        "columns": (Column("age", edges=(30.0,)), Column("city", values=("Bonn", "Ulm"))),
    }
    return FoundConfig(**{**parts, **changes})  # type: ignore[arg-type]


def model(*, learned: bool = True, **changes: object) -> Found:
    """A model that has begun; `learned`: the part on top of the frozen start is no longer zero."""
    torch.manual_seed(0)
    begun = Found(config(**changes)).double()
    texts = torch.randn(40, TEXT, dtype=torch.float64)
    center, projection = frozen_projection(texts, torch.arange(40), DIM, 0.25)
    begun.begin(center, projection, torch.rand(20, 3) * 9)
    if learned:
        torch.nn.init.normal_(begun.fused.weight, std=0.3)
    return begun


def users(**changes: object) -> Histories:
    given = {"search_counts": [3, 0, 0, 1, 0], "columns": COLUMNS, **changes}
    histories = histories_of([6, 4, 0, 0, 2], **given)  # type: ignore[arg-type]
    histories.event_exposed[-2:] = True  # the last user has done nothing
    return histories
