"""The demand that a run of somebody's own data proposes to look up first."""

import datetime as dt
from pathlib import Path

import pytest
from conftest import at, write_source

from found_platform.app import graph
from found_platform.features import write
from found_platform.settings import Settings
from found_platform.sources import config, staging


@pytest.mark.parametrize(
    ("categories", "demand"),
    [
        (("Camping", "Camping", "Kitchen"), "people who will buy camping"),
        (("My Shop", "My Shop", "My Shop"), "people who will buy tent"),  # all of one category: it says nothing
        ((None, None, None), "people who will buy tent"),
    ],
)
def test_the_first_demand_is_of_a_category_that_tells_things_apart(tmp_path: Path, categories: tuple, demand: str) -> None:
    rows = zip(("tent", "tent", "kettle"), categories, strict=True)
    events = [{"user_id": "u1", "event_time": at("2024-01-01"), "text": text, "category": category} for text, category in rows]
    settings = Settings.load(tmp_path / "home", profile="tiny")
    source = staging.open_home(settings, staging.discover(settings, config.load(write_source(tmp_path, events))))
    staging.stage(settings)
    write.raw_events(settings, *source.days)
    assert graph._a_demand(settings, dt.date(2024, 1, 2)) == demand
