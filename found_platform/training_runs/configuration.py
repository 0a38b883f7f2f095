"""The configuration of the whole model: sizes of the profile, and what the data say themselves.

What belongs here: what a fork asks that finds the needs of training, so nothing that reads a lake. What does not: a run (`stages`).
"""

from dataclasses import asdict
from typing import Any

from found_platform.contract import CHANNELS, SEARCH
from found_platform.settings import Settings

COMMANDS = {"behavior": "pretrain", "tabular": "pretrain", "align": "align"}
"""What `python -m found_platform.training` is told, by stage, in their order."""

TOWERS = ("event_tower", "description_tower")


def model_config(settings: Settings, about: dict[str, Any]) -> dict[str, Any]:
    """The configuration of the whole model: the profile's sizes and what the data of a cutoff say `about` themselves."""
    from models.behavior import BehaviorConfig
    from models.found import FoundConfig
    from models.table_codec import Column
    from models.tabular import TabularConfig
    from models.text_tower import TowerConfig

    sizes = dict(settings.sizes.model)
    columns = tuple(
        Column(c["name"], tuple(c["edges"]), None if c["values"] is None else tuple(c["values"])) for c in about["columns"]
    )
    behavior = BehaviorConfig(about["text_dim"], channels=len(CHANNELS), **sizes.pop("behavior"))
    tabular = sizes.pop("tabular")
    event_tower, description_tower = (TowerConfig(**t) if (t := sizes.pop(n, None)) else None for n in TOWERS)
    config = FoundConfig(
        encoder=about["encoder"],
        encoder_revision=about["encoder_revision"],
        text_dim=about["text_dim"],
        activity=about["activity"],
        behavior=behavior,
        tabular=TabularConfig(tuple(c.size for c in columns), **tabular) if columns else None,
        columns=columns,
        channels=len(CHANNELS),
        search_channel=CHANNELS.index(SEARCH),
        event_tower=event_tower,
        description_tower=description_tower,
        **sizes,
    )
    return asdict(config)
