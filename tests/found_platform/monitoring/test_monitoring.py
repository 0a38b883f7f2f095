"""Drift reports: quiet where nothing moved, loud where it did."""

import datetime as dt
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from conftest import at, lake_of, write_source

from found_platform import lake
from found_platform.contract import CHANNELS
from found_platform.errors import BadInput
from found_platform.features import write
from found_platform.monitoring import drift, traffic
from found_platform.settings import Settings
from found_platform.sources import staging
from found_platform.sources.config import SourceConfig


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
    shutil.copy(settings.home / "source.yaml", tmp_path / "found")
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


def lake_with(tmp_path: Path, **asked: object) -> Settings:
    """A lake of 1,000 simulated users over 56 days with events and texts, as a source would bring them."""
    settings = Settings.load(tmp_path / "found")
    source = SourceConfig.model_validate({"name": "simulated", "simulator": {"users": 1000, "days": 56, "seed": 7, **asked}})
    staging.open_home(settings, staging.discover(settings, source))
    staging.stage(settings)
    start, end = dt.date(2026, 1, 1), dt.date(2026, 2, 26)
    write.raw_events(settings, start, end)
    write.feature(settings, "behavior_text", start, end)
    return settings


LAST = dt.date(2026, 2, 25)


def test_nothing_is_said_of_a_calm_week_nor_of_a_young_source(tmp_path: Path) -> None:
    calm = lake_with(tmp_path)
    figures = traffic.figures(calm, LAST)
    assert [f.name for f in figures if f.drifted] == []
    assert {f.name for f in figures} == {"users", "events_per_user", "known_texts", "busiest_1pct", "price_level"} | {
        f"share_{c}" for c in CHANNELS
    }
    assert traffic.figures(calm, dt.date(2026, 2, 10)) == []


@pytest.mark.parametrize(
    ("drift", "figure"),
    [
        ("new_product_line", "known_texts"),
        ("dead_channel", "share_search"),
        ("shifted_population", "users"),
        ("broken_units", "price_level"),
        ("changed_prices", "price_level"),
        ("bot_traffic", "busiest_1pct"),
    ],
)
def test_every_drift_is_caught_from_the_sources_files_to_a_figure(tmp_path: Path, drift: str, figure: str) -> None:
    """A week of it is enough, and the figure that says so is the one that a person would look at."""
    drifted = lake_with(tmp_path, drifts={drift: LAST - dt.timedelta(days=6)})
    found = {f.name: f for f in traffic.figures(drifted, LAST)}
    assert found[figure].drifted
    if drift in ("broken_units", "changed_prices"):
        factor = {"broken_units": 100.0, "changed_prices": 1.35}[drift]
        assert found["price_level"].value == pytest.approx(factor, rel=0.15)
        assert [f.name for f in found.values() if f.drifted] == ["price_level"]


def test_figures_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two users in the reference week, one of them gone in the last; a price that doubled; a text nobody knew."""
    monkeypatch.setattr(traffic, "ENOUGH", 1)
    rows = [
        {"user_id": "a", "event_time": at("2026-01-01"), "text": "tea", "amount": 1.0},
        {"user_id": "a", "event_time": at("2026-01-10"), "text": "tea", "amount": 2.0},
        {"user_id": "b", "event_time": at("2026-01-10"), "text": "tea", "amount": 2.0},
        {"user_id": "a", "event_time": at("2026-02-07"), "text": "tea", "amount": 4.0},
        {"user_id": "a", "event_time": at("2026-02-08"), "text": "coffee", "amount": 9.0},
    ]
    settings = lake_of(tmp_path / "home", write_source(tmp_path, rows))
    found = {f.name: (f.value, f.reference) for f in traffic.figures(settings, dt.date(2026, 2, 11))}
    assert found["users"] == (1, 2)
    assert found["events_per_user"] == (2, 1)
    assert found["known_texts"] == (0.5, 1)
    assert found["price_level"] == (pytest.approx(2), 1)
    assert found["share_pay_bill"] == (1, 1)
    assert found["share_search"] == (0, 0)


def test_a_day_without_a_snapshot_is_named(settings: Settings) -> None:
    with pytest.raises(BadInput, match="no rows on 2031-01-01"):
        drift.report(settings, dt.date(2031, 1, 1))
