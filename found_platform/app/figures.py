"""The figures of a home, for a program that watches it: ages, lags and counts, read from the instance and the home."""

import datetime as dt
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass

from found_platform.app.context import Context
from found_platform.app.operations import pulse_of
from found_platform.app.use_case import Effect, use_case
from found_platform.settings import Settings

DAY = 86_400.0


@dataclass(frozen=True)
class Figure:
    """One figure. `labels` tell several of a name apart; none names a person."""

    name: str
    about: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()


@use_case(Effect.READS)
def figures(context: Context) -> list[Figure]:
    """Every figure, as of now. What there is nothing of is left out: no daemon ever, no audience, no report."""
    settings = context.settings
    return [
        *_of_the_instance(context),
        *_of_the_home(settings),
        *_of_audiences(settings),
        *_of_drift(settings),
        *_of_alerts(settings),
    ]


def _of_the_instance(context: Context) -> Iterator[Figure]:
    from dagster_defs import pulse as pulses

    with pulse_of(context) as pulse:
        for daemon, age in pulses.heartbeats(pulse).items():
            yield Figure("found_daemon_heartbeat_age_seconds", "Since the last sign of life", age, (("daemon", daemon),))
        for name, age in pulses.ticks(pulse).items():
            about = "Since the newest tick of a schedule or sensor that is on"
            yield Figure("found_tick_age_seconds", about, age, (("name", name),))
        for asset, days in pulses.lag(pulse).items():
            yield Figure("found_partitions_missing", "Days of the source that an asset has not made", days, (("asset", asset),))
        for state, count in pulses.unfinished(pulse).items():
            yield Figure("found_runs", "Runs that wait or work", count, (("state", state),))


def _of_alerts(settings: Settings) -> Iterator[Figure]:
    from found_platform.monitoring import alerts

    about, refused = "Alerts that a channel does not take", {each.channel: each.alerts for each in alerts.refused(settings)}
    for channel in alerts.channels(settings):
        yield Figure("found_alerts_refused", about, refused.get(channel, 0), (("channel", channel),))


def _of_the_home(settings: Settings) -> Iterator[Figure]:
    from found_platform import daily, lake

    yield Figure("found_disk_free_bytes", "Free under the home", shutil.disk_usage(settings.home).free)
    if lake.exists(settings.lake, "quarantine"):
        rows = lake.dataset(settings.lake, "quarantine").count_rows()
        yield Figure("found_quarantined_rows", "Rows of the source that were refused", rows)
    last = daily.last_day(settings.lake, "raw_events")
    if last is not None:
        yield Figure("found_newest_day_age_days", "Since the newest day of events", _age(last))


def _age(day: dt.date) -> float:
    return (dt.datetime.now(dt.UTC).date() - day).days


def _of_audiences(settings: Settings) -> Iterator[Figure]:
    from found_platform.audiences import membership, specification

    for name in specification.names(settings):
        refresh = membership.last(settings, name)
        if refresh is not None:
            seconds = time.time() - refresh.refreshed_at.timestamp()
            yield Figure("found_refresh_age_seconds", "Since an audience was refreshed", seconds, (("audience", name),))
            yield Figure("found_audience_users", "Members of an audience", refresh.size, (("audience", name),))


def _of_drift(settings: Settings) -> Iterator[Figure]:
    from found_platform.monitoring.figures import DRIFTED, NOT_JUDGED, PASSED

    reports = sorted(settings.home.glob("monitoring/feature_drift/*/report.json"))
    if not reports:
        return
    report = json.loads(reports[-1].read_text())
    states = [figure["state"] for figure in (*report.get("features", ()), *report.get("traffic", ()))]
    for state in (PASSED, DRIFTED, NOT_JUDGED):
        labels = (("state", state.replace(" ", "_")),)
        yield Figure("found_drift_figures", "Figures of the newest drift report", states.count(state), labels)
    day = dt.date.fromisoformat(report["day"])
    yield Figure("found_drift_report_age_days", "Since the day of the newest drift report", _age(day))
