"""Drift reports: quiet where nothing moved, loud where it did, and never green without having judged."""

import datetime as dt
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from conftest import at, lake_of, write_source

from found_platform import daily, lake, reports
from found_platform.contract import CHANNELS
from found_platform.errors import BadInput
from found_platform.features import write
from found_platform.monitoring import drift, figures, stability, traffic
from found_platform.monitoring.figures import Figure
from found_platform.settings import Settings
from found_platform.sources import staging
from found_platform.sources.config import SourceConfig

LAST = dt.date(2026, 2, 25)
EARLIER = LAST - dt.timedelta(days=28)


def lake_with(tmp_path: Path, **changes: object) -> Settings:
    """A lake of 1,000 simulated users over 56 days with events and texts, as a source would bring them."""
    settings = Settings.load(tmp_path / "found")
    source = SourceConfig.model_validate({"name": "simulated", "simulator": {"users": 1000, "days": 56, "seed": 7, **changes}})
    staging.open_home(settings, staging.discover(settings, source))
    staging.stage(settings)
    start, end = dt.date(2026, 1, 1), dt.date(2026, 2, 26)
    write.raw_events(settings, start, end)
    write.raw_profile(settings)
    write.feature(settings, "behavior_text", start, end)
    return settings


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A stationary log of eight weeks with the two snapshots that a report of its last day compares."""
    settings = lake_with(tmp_path_factory.mktemp("calm"))
    for day in (EARLIER, LAST):
        write.feature(settings, "user_tabular", day, day + dt.timedelta(days=1))
    return settings


def copy_of(settings: Settings, folder: Path) -> Settings:
    shutil.copytree(settings.lake, folder / "found" / "lake")
    shutil.copy(settings.home / "source.yaml", folder / "found")
    return Settings.load(folder / "found")


@pytest.mark.slow
def test_a_report_of_a_calm_log_passes_with_every_figure_judged(calm: Settings) -> None:
    report = drift.report(calm, LAST)
    assert (report.state, report.drifted, report.sentence) == (figures.PASSED, [], "all figures are within their limits")
    assert [f.name for f in report.features] == list(drift.FEATURES)
    assert len(drift.FEATURES) == 12
    assert max(int(n) for f in drift.FEATURES for n in re.findall(r"(\d+)d$", f)) == drift.WINDOW
    saved = json.loads((calm.home / "monitoring" / "feature_drift" / str(LAST) / "report.json").read_text())
    assert (saved["state"], saved["psi"]) == ("passed", {f.name: f.value for f in report.features})
    assert all(0.2 <= f["limit"] < 0.25 for f in saved["features"])
    assert report.html is not None
    assert report.html.stat().st_size > 100_000
    users = set(lake.read(calm.lake, "user_tabular", lake.days_where(LAST, LAST + dt.timedelta(days=1)))["user_key"].to_pylist())
    report_files = [path for path in (calm.home / "monitoring").rglob("*") if path.is_file()]
    assert reports.path(calm.home, reports.FEATURE_DRIFT, str(LAST)) in report_files
    words = {word for path in report_files for word in re.findall(rb"[0-9a-f]{32}", path.read_bytes())}
    assert len(next(iter(users))) == 32
    assert not users & {word.decode() for word in words}, "reports, also those in Evidently's workspace, are of nobody"


@pytest.mark.slow
def test_a_shifted_population_is_seen(calm: Settings, tmp_path: Path) -> None:
    copy = copy_of(calm, tmp_path)
    rows = lake.read(copy.lake, "user_tabular", lake.days_where(LAST, LAST + dt.timedelta(days=1)))
    column = pc.if_else(pc.greater(rows["events_28d"], 0), pc.add(pc.multiply(rows["events_28d"], 6), 40), 0)
    shifted = rows.set_column(rows.column_names.index("events_28d"), "events_28d", column.cast(pa.int64()))
    daily.replace_days(copy.lake, "user_tabular", shifted, LAST, LAST + dt.timedelta(days=1), schema=rows.schema)
    moved = drift.report(copy, LAST)
    assert (moved.state, moved.drifted) == (figures.DRIFTED, ["events_28d"])
    assert moved.sentence == "drifted: events_28d"


def test_windows_that_were_not_full_are_not_compared_and_the_report_says_so(calm: Settings) -> None:
    write.feature(calm, "user_tabular", LAST - dt.timedelta(days=1), LAST)
    report = drift.report(calm, LAST - dt.timedelta(days=1))
    assert {f.state for f in report.features} == {figures.NOT_JUDGED}
    assert (report.state, report.html) == (figures.NOT_JUDGED, None)
    assert "the history at the reference day 2026-01-27 is 27 days long, and the features need 28" in report.sentence


def activity(users: int, seed: int, times: float = 1.0) -> pd.DataFrame:
    """Features of active users as a law gives them whose rates vary from user to user; `times` multiplies the rates."""
    rng = np.random.default_rng(seed)
    rate = times * rng.gamma(0.7, 6, users)
    columns = {name: rng.poisson(rate / (4 if name.endswith("_7d") else 1)) for name in drift.FEATURES}
    columns["amount_28d"] = rng.lognormal(3, 1, users).round(2) * columns["pay_bill_28d"]
    columns["days_since_last"] = np.minimum(27, rng.geometric(1 - np.exp(-rate / 28) + 1e-3) - 1)
    return pd.DataFrame({**columns, "events_28d": 1 + columns["events_28d"]}).astype(float)


def index_of(current: pd.DataFrame, reference: pd.DataFrame) -> list[tuple[float, float]]:
    """PSI and limit of each feature, without Evidently's report."""
    judged = []
    for name in drift.FEATURES:
        places, labels = stability.bins(current[name].to_numpy(), reference[name].to_numpy())
        counts = [np.bincount(place, minlength=len(labels)) for place in places]
        judged.append((float(stability.psi(*counts)), stability.limit(*counts, figures.FALSE_ALARMS / len(drift.FEATURES))))
    return judged


@pytest.mark.parametrize("users", [80, 150, 300])
def test_two_samples_of_one_law_are_no_drift_however_small(users: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty pairs of samples, twelve features each: at most one false alarm; the practical limit alone cries for small ones."""
    monkeypatch.setattr(stability, "DRAWS", 5_000)
    alarms = [any(psi > limit for psi, limit in index_of(activity(users, s), activity(users, 1000 + s))) for s in range(20)]
    assert sum(alarms) <= 1


def test_a_real_shift_among_two_thousand_users_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rates two and a half times as high; and nothing is said of the same rates."""
    monkeypatch.setattr(stability, "DRAWS", 5_000)
    for seed in range(5):
        shifted = index_of(activity(2000, seed, times=2.5), activity(2000, 1000 + seed))
        same = index_of(activity(2000, seed), activity(2000, 1000 + seed))
        assert any(psi > limit for psi, limit in shifted)
        assert not any(psi > limit for psi, limit in same)
        assert max(limit for _, limit in same) == stability.PRACTICAL, "so many users are sure of the practical limit"


def test_the_index_is_evidentlys(calm: Settings) -> None:
    current, reference = activity(500, 1), activity(400, 2, times=2.0)
    compared = drift.compare(current, reference, drift.FEATURES)
    assert [f.value for f in compared] == pytest.approx([psi for psi, _ in index_of(current, reference)], abs=1e-4)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda frame: frame.assign(events_7d=np.nan), "400 of 700 values are no numbers"),
        (lambda frame: frame.assign(events_7d=np.where(np.arange(len(frame)) == 7, np.inf, frame.events_7d)), "1 of 700 values"),
        (lambda frame: frame.head(30), "30 active users on one of the days, and 50 are needed"),
        (lambda frame: frame.assign(events_28d=0), "0 active users on one of the days"),
    ],
)
def test_what_cannot_be_compared_is_not_judged_and_does_not_pass(change: Callable[[pd.DataFrame], pd.DataFrame], why: str) -> None:
    (figure,) = drift.compare(change(activity(400, 1)), activity(300, 2), ["events_7d"])
    assert figure.state == figures.NOT_JUDGED
    assert why in figure.why
    assert figures.state([figure]) == figures.NOT_JUDGED


def test_a_channel_that_is_silent_on_both_days_is_not_judged_and_one_that_fell_silent_has_drifted() -> None:
    silent = [activity(400, s).assign(search_7d=0.0) for s in (1, 2)]
    (both,) = drift.compare(*silent, ["search_7d"])
    assert (both.state, both.why) == (figures.NOT_JUDGED, "silent: nobody has any on either day")
    (fell,) = drift.compare(silent[0], activity(400, 3), ["search_7d"])
    assert fell.state == figures.DRIFTED


@pytest.mark.parametrize(
    "result",
    [
        {},
        [],
        None,
        {"metrics": {"events_7d": 0.1}},
        {"metrics": [None, 3]},
        {"metrics": [{"metric": "DriftedColumns", "value": {"count": 0, "share": 0.0}}]},
        {"metrics": [{"config": {"column": "events_7d", "method": "wasserstein"}, "value": 0.1}]},
        {"metrics": [{"config": {"column": "events_7d", "method": "psi"}, "value": {"psi": 0.1}}]},
        {"metrics": [{"config": {"column": "events_7d", "method": "psi"}, "value": True}]},
        {"metrics": [{"config": {"column": "events_7d", "method": "psi"}, "value": float("nan")}]},
    ],
)
def test_a_result_of_another_shape_is_not_judged(result: object) -> None:
    by_name = drift._judged(result, {"events_7d": 0.2})
    assert {f.state for f in by_name.values()} == {figures.NOT_JUDGED}
    assert figures.sentence(list(by_name.values())).startswith("not judged: events_7d (Evidently's ")


def test_a_report_is_no_better_than_its_worst_figure() -> None:
    good = Figure("a", 0.1, 0.0, 0.2, figures.PASSED)
    bad, unknown = Figure("b", 0.3, 0.0, 0.2, figures.DRIFTED), figures.not_judged("c", "too young")
    assert figures.state([]) == figures.NOT_JUDGED
    assert figures.state([good]) == figures.PASSED
    assert figures.state([good, unknown]) == figures.NOT_JUDGED
    assert figures.state([good, unknown, bad]) == figures.DRIFTED
    assert figures.sentence([good, unknown, bad]) == "drifted: b; not judged: c (too young)"


def test_nothing_passes_of_a_young_source(calm: Settings) -> None:
    young = traffic.figures(calm, dt.date(2026, 2, 10))
    assert {(f.state, f.why) for f in young} == {(figures.NOT_JUDGED, "the source is 41 days old, and 42 are needed")}
    assert {f.name for f in young} == {f.name for f in traffic.figures(calm, LAST)}
    assert {f.name for f in young} == {"users", "events_per_user", "known_texts", "busiest_1pct", "price_level"} | {
        f"share_{c}" for c in CHANNELS
    }


@pytest.mark.slow
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
    by_name = {f.name: f for f in traffic.figures(drifted, LAST)}
    assert by_name[figure].drifted
    if drift in ("broken_units", "changed_prices"):
        factor = {"broken_units": 100.0, "changed_prices": 1.35}[drift]
        assert by_name["price_level"].value == pytest.approx(factor, rel=0.15)
        assert [f.name for f in by_name.values() if f.drifted] == ["price_level"]


def test_figures_by_hand(tmp_path: Path) -> None:
    """Two users in the reference week, one of them gone in the last; a price that doubled; a text nobody knew."""
    rows = [
        {"user_id": "a", "event_time": at("2026-01-01"), "text": "tea", "amount": 1.0},
        {"user_id": "a", "event_time": at("2026-01-10"), "text": "tea", "amount": 2.0},
        {"user_id": "b", "event_time": at("2026-01-10"), "text": "tea", "amount": 2.0},
        {"user_id": "a", "event_time": at("2026-02-07"), "text": "tea", "amount": 4.0},
        {"user_id": "a", "event_time": at("2026-02-08"), "text": "coffee", "amount": 9.0},
    ]
    settings = lake_of(tmp_path / "home", write_source(tmp_path, rows))
    by_name = {f.name: f for f in traffic.figures(settings, dt.date(2026, 2, 11))}
    assert {name: (f.value, f.reference) for name, f in by_name.items()} == {
        "users": (1, 2),
        "events_per_user": (2, 1),
        "known_texts": (0.5, 1),
        "busiest_1pct": (1, 1),
        "share_pay_bill": (1, 1),
        "price_level": (pytest.approx(2), 1),
    }, "a channel that the source has not is no figure"
    assert [f.name for f in by_name.values() if f.drifted] == ["price_level"], "the scatter of its payments is none"
    assert {by_name[name].state for name in ("users", "events_per_user", "known_texts")} == {figures.NOT_JUDGED}, "of two users"


def weeks(users: int, seed: int, **changes: float) -> traffic.Weeks:
    """Two weeks of users whose rates and habits stay and whose moods change; `changes` multiply a channel's rate in the last."""
    rng = np.random.default_rng(seed)
    rate, habits = rng.gamma(0.7, 3, users), rng.dirichlet([3, 4, 1, 1], users)
    sides = []
    for factors in (changes, {}):
        mood = rng.lognormal(-0.125, 0.5, users)
        by_channel = rng.poisson((rate * mood)[:, None] * habits * [factors.get(c, 1.0) for c in CHANNELS])
        events = by_channel.sum(1)
        sides.append(np.column_stack([events > 0, events, rng.binomial(events, 0.9), by_channel]).astype(float))
    return traffic.Weeks(*sides)


NAMES = ["users", "events_per_user", "known_texts", "busiest_1pct", *(f"share_{c}" for c in CHANNELS)]


def judged(log: traffic.Weeks) -> dict[str, Figure]:
    values, references = log.figures()
    columns = zip(NAMES, values, references, log.limits(figures.FALSE_ALARMS / 9), strict=True)
    return {name: traffic.judged(name, *rest) for name, *rest in columns}


@pytest.mark.parametrize("users", [80, 150, 300])
def test_a_calm_week_of_few_users_is_no_drift(users: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty logs, eight figures each. A factor of 1.25 alone cries over most of them at 80 users."""
    monkeypatch.setattr(traffic, "DRAWS", 2000)
    assert sum(any(f.drifted for f in judged(weeks(users, seed)).values()) for seed in range(20)) <= 1


@pytest.mark.slow
def test_what_changed_among_two_thousand_users_is_caught_and_a_calm_week_passes() -> None:
    half = judged(weeks(2000, 1, search=0.5))
    assert [name for name, f in half.items() if f.drifted] == ["share_search"]
    assert {f.state for f in judged(weeks(2000, 2)).values()} == {figures.PASSED}


def test_the_busiest_may_move_as_far_as_calm_logs_did_and_no_farther() -> None:
    """Seed 6 of the simulator's bots, and as much as the calm log that moved most (docs/simulator.md)."""
    bots, calm = (traffic.judged("busiest_1pct", share, 0.087, 1.4) for share in (0.153, 0.126))
    assert (bots.state, calm.state) == (figures.DRIFTED, figures.PASSED)


def test_an_empty_week_and_a_silent_channel_do_not_pass() -> None:
    calm = weeks(300, 1)
    gone = judged(traffic.Weeks(np.zeros_like(calm.current), calm.reference))
    assert gone["users"].state == figures.DRIFTED
    assert {f.state for f in gone.values()} == {figures.DRIFTED, figures.NOT_JUDGED}
    assert gone["share_spm"].why == "no events in the week"
    nothing = judged(traffic.Weeks(calm.current[:0], calm.reference[:0]))
    assert {f.state for f in nothing.values()} == {figures.NOT_JUDGED}
    dead = judged(weeks(300, 1, spm=0.0))
    assert dead["share_spm"].state == figures.DRIFTED
    silent = [np.hstack([side[:, :6], np.zeros((300, 1))]) for side in (calm.current, calm.reference)]
    assert judged(traffic.Weeks(silent[0], silent[1]))["share_search"].why == "silent: nothing in either week"


@pytest.mark.slow
def test_small_homes_of_one_law_do_not_cry_drift(tmp_path: Path) -> None:
    """Eighty users over eight weeks, from the source's files to the report."""
    settings = lake_with(tmp_path, users=80, seed=1)
    for day in (EARLIER, LAST):
        write.feature(settings, "user_tabular", day, day + dt.timedelta(days=1))
    report = drift.report(settings, LAST)
    assert report.drifted == []
    assert {f.state for f in report.features} <= {figures.PASSED, figures.NOT_JUDGED}


def test_a_day_without_a_snapshot_is_named(settings: Settings) -> None:
    with pytest.raises(BadInput, match="no rows on 2031-01-01"):
        drift.report(settings, dt.date(2031, 1, 1))
