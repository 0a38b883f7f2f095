"""The channels of events: a file each, `NAME.yaml`, with all that is particular to it. A new channel is a new file.

What belongs here: what a channel is called in data, models, descriptions and demands. What does not: reading or counting events.
The four that are here are those of the FOUND paper (section 3.1).
"""

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

import yaml


@dataclass(frozen=True)
class Channel:
    """A channel.

    Attributes:
        code: its number in `behavior_sequence` and its row in the models' tables; never given to another channel.
        kind: of a description of the future: what doing something in it is called.
        modality: whether its texts belong to the behaviour sequence, or are the searches.
        sentence: how a description tells it, with places for `{days}` and `{items}`.
        verbs: words of a demand that ask for it.
        examples: verbs that demands are made up with, to teach a rewriter.
    """

    name: str
    code: int
    kind: str
    modality: Literal["sequence", "search"]
    sentence: str
    verbs: tuple[str, ...]
    examples: tuple[str, ...]


@cache
def channels() -> tuple[Channel, ...]:
    """All channels, by code. Raises ValueError where the codes are not 0, 1, 2, … or not exactly one channel holds the searches."""
    files = [file for file in resources.files(__name__).iterdir() if file.name.endswith(".yaml")]
    declared = [_read(file.name.removesuffix(".yaml"), file.read_text()) for file in files]
    declared.sort(key=lambda channel: channel.code)
    if [channel.code for channel in declared] != list(range(len(declared))):
        raise ValueError(f"The codes of the channels are {[c.code for c in declared]}: number them 0, 1, 2, … without a gap.")
    if sum(channel.modality == "search" for channel in declared) != 1:
        raise ValueError("Exactly one channel has the modality `search`.")
    return tuple(declared)


def _read(name: str, text: str) -> Channel:
    content = yaml.safe_load(text)
    return Channel(name, **{**content, "verbs": tuple(content["verbs"]), "examples": tuple(content["examples"])})
