"""The code location: every asset of the house, for the home that `FOUND_HOME` names (default `.found`)."""

import os
from pathlib import Path

import dagster as dg

from dagster_defs.assets import audience, evaluate, features, ingest, prompts, publish, training
from dagster_defs.house import House
from found_platform.home import PRIVATE_UMASK
from found_platform.settings import Settings


def build_assets(house: House) -> list[dg.AssetsDefinition]:
    """Fresh asset definitions for a home."""
    return [asset for module in (ingest, features, training, publish, prompts, audience, evaluate) for asset in module.build(house)]


def build_defs(settings: Settings | None = None) -> dg.Definitions:
    """Fresh definitions for a home."""
    house = House(settings or Settings.load(Path(os.environ.get("FOUND_HOME", ".found"))))
    return dg.Definitions(assets=build_assets(house), schedules=[audience.schedule(house)], executor=dg.in_process_executor)


os.umask(PRIVATE_UMASK)  # Dagster's processes start here
defs = build_defs()
