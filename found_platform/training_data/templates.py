"""The sentences in which a window is told, as data: `templates.yaml` and what the channels say of themselves."""

import functools
from importlib import resources
from typing import Any

import yaml

from found_platform.channels import channels


@functools.cache
def templates() -> dict[str, Any]:
    """The sentences: `kinds` of the channels, then of columns, as `templates.yaml` has these; `nothing`, and how many `items`."""
    content = yaml.safe_load((resources.files("found_platform.training_data") / "templates.yaml").read_text())
    kinds = {channel.kind: {"channel": channel.name, "sentence": channel.sentence} for channel in channels()}
    return {**content, "kinds": {**kinds, **content["columns"]}}
