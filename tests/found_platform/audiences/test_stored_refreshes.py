"""Refreshes that older homes kept are read as those of today."""

import datetime as dt
import json
from pathlib import Path

import pyarrow as pa
import pytest

from found_platform import lake
from found_platform.audiences import membership
from found_platform.scoring.demand import Demand
from found_platform.settings import Settings


@pytest.mark.parametrize(("stored", "min_amount"), [({"least": 500.0}, 500.0), ({"min_amount": 20.0}, 20.0), ({}, 0.0)])
def test_a_demand_of_an_older_home_keeps_its_minimum_amount(tmp_path: Path, stored: dict[str, float], min_amount: float) -> None:
    settings = Settings.load(tmp_path)
    demand = {"sentence": "gold", "phrases": ["gold ring"], "unwanted": [], "channels": ["pay_bill"], "note": "", **stored}
    row = {field.name: "" if field.type == pa.string() else 0 for field in membership.REFRESHES_SCHEMA}
    row |= {"audience": "gold", "refresh": 1, "as_of": dt.date(2026, 3, 1), "refreshed_at": dt.datetime(2026, 3, 1, tzinfo=dt.UTC)}
    row |= {"demand": json.dumps(demand), "rewriting": None, "delta_versions": "{}"}
    table = pa.Table.from_pylist([row], membership.REFRESHES_SCHEMA)
    lake.append(settings.lake, membership.REFRESHES, table, schema=membership.REFRESHES_SCHEMA)
    (refresh,) = membership.history(settings, "gold")
    assert Demand(**refresh.demand).min_amount == min_amount
