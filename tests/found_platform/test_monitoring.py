"""Drift reports: quiet where nothing moved, loud where it did."""

import datetime as dt
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from found_platform import lake
from found_platform.errors import BadInput
from found_platform.monitoring import drift
from found_platform.settings import Settings


def test_a_report_is_saved_with_a_figure_for_each_feature(settings: Settings, cutoff: dt.date) -> None:
    day = cutoff - dt.timedelta(days=1)
    folder = settings.home / "monitoring" / "feature_drift" / str(day)
    saved = json.loads((folder / "report.json").read_text())
    assert set(saved["psi"]) == set(drift.FEATURES)
    assert len(drift.FEATURES) == 12
    assert (folder / "report.html").stat().st_size > 100_000


def test_a_shifted_population_is_seen(settings: Settings, cutoff: dt.date, tmp_path: Path) -> None:
    day = cutoff - dt.timedelta(days=1)
    shutil.copytree(settings.lake, tmp_path / "found" / "lake")
    made = Settings.load(tmp_path / "found")
    rows = lake.read(made.lake, "user_tabular", lake.days_where(day, cutoff))
    calm = drift.report(made, day)
    column = pc.add(pc.multiply(rows["events_28d"], 6), 40)
    shifted = rows.set_column(rows.column_names.index("events_28d"), "events_28d", column.cast(pa.int64()))
    lake.replace_days(made.lake, "user_tabular", shifted, day, cutoff, schema=rows.schema)
    moved = drift.report(made, day)
    assert "events_28d" in moved.drifted
    assert moved.psi["events_28d"] > 5 * calm.psi["events_28d"]
    assert {k: v for k, v in moved.psi.items() if k != "events_28d"} == {k: v for k, v in calm.psi.items() if k != "events_28d"}


def test_a_day_without_a_snapshot_is_named(settings: Settings) -> None:
    with pytest.raises(BadInput, match="no rows on 2031-01-01"):
        drift.report(settings, dt.date(2031, 1, 1))
