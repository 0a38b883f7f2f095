"""What people look at on a feature table's page: how much of each column is missing, and events a day by channel as a picture."""

import datetime as dt
import io

import numpy as np

from found_platform import lake
from found_platform.cache import single_flight
from found_platform.contract import CHANNELS, days_between
from found_platform.settings import Settings

PLOTTED_DAYS = 90


def null_rates(settings: Settings, table: str, start: dt.date, end: dt.date) -> dict[str, float]:
    """The share of rows of the days `[start, end)` without a value, by column; empty where there are no rows."""
    names = lake.dataset(settings.lake, table).schema.names
    con = lake.connect(settings.duckdb_memory)
    lake.view(con, "t", settings.lake, table)
    shares = ", ".join(f"1 - count({lake.quote(name)}) / count(*)" for name in names)
    row = con.execute(f"SELECT {shares} FROM t WHERE event_date >= ? AND event_date < ?", [start, end]).fetchone()
    return {n: round(float(share), 4) for n, share in zip(names, row or (), strict=True) if share is not None}


def events_by_day(settings: Settings, end: dt.date) -> dict[str, dict[dt.date, int]]:
    """Events of each channel on each of the last days before `end`."""
    start = end - dt.timedelta(days=PLOTTED_DAYS)
    counts = {c: dict.fromkeys(days_between(start, end), 0) for c in CHANNELS}
    con = lake.connect(settings.duckdb_memory)
    lake.view(con, "t", settings.lake, "raw_events")
    query = "SELECT channel, event_date, count(*) FROM t WHERE event_date >= ? AND event_date < ? GROUP BY ALL"
    for channel, day, count in con.execute(query, [start, end]).fetchall():
        counts[channel][day] = count
    return counts


def events_plot(settings: Settings, end: dt.date) -> bytes:
    """`events_by_day` as a small PNG. The pages of four tables show the same one."""
    return _drawn(settings, end, lake.version(settings.lake, "raw_events"))


@single_flight(1)
def _drawn(settings: Settings, end: dt.date, _version: int) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    counts = events_by_day(settings, end)
    figure = Figure(figsize=(6.5, 2.2), layout="constrained")
    axes = figure.add_subplot()
    for channel, by_day in counts.items():
        if any(by_day.values()):
            axes.plot(np.array(list(by_day), "datetime64[D]"), list(by_day.values()), label=channel, linewidth=1)
    axes.set_ylabel("events a day")
    axes.set_ylim(bottom=0)
    axes.tick_params(axis="x", labelsize=7)
    axes.legend(fontsize=7, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()
