"""How often the drift report is wrong: its alarms on calm logs, and how soon which figure tells of each drift of the simulator.

    .venv/bin/python benchmarks/drift.py [--seeds 20] [--first 0] [--users 1000]

Each seed is a population over nine weeks, from the simulator's files to the figures that `feature_drift` reports. A drift begins
with the last week; the same log without one is judged at both ends of that week. Writes build/bench-drift.json after each log, goes
on where it was, and prints the tables of docs/simulator.md over all seeds in it.
"""

import argparse
import datetime as dt
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from found_platform.features import write
from found_platform.monitoring import drift, figures, traffic
from found_platform.settings import Settings
from found_platform.sources import staging
from found_platform.sources.config import SourceConfig

START = dt.date(2026, 1, 1)
DAYS, WEEK = 63, 7
"""The features need 28 days before a reference that lies 28 days back; then comes the week of the drift."""

DRIFTED_FROM = START + dt.timedelta(days=DAYS - WEEK)
DELAYS = (1, 2, 3, 7)
"""Days of a drift when the report is made; features are slow to move, and compared after a week alone."""

TELLS = {
    "new_product_line": "known_texts",
    "dead_channel": "share_search",
    "shifted_population": "users",
    "broken_units": "price_level",
    "changed_prices": "price_level",
    "bot_traffic": "busiest_1pct",
}
"""By drift: the figure that a person would look at."""

RECORD = Path("build/bench-drift.json")
OFTEN = 0.25
"""Other figures are named that move in this share of the logs, or more, after a week."""


def judged(folder: Path, seed: int, users: int, name: str | None) -> list[dict[str, Any]]:
    """A report a day that is asked: what drifted, and what was not judged."""
    settings = Settings.load(folder / "home")
    drifts = {name: DRIFTED_FROM} if name else {}
    simulator = {"users": users, "days": DAYS, "seed": seed, "drifts": drifts}
    source = SourceConfig.model_validate({"name": "simulated", "simulator": simulator})
    staging.open_home(settings, staging.discover(settings, source))
    staging.stage(settings)
    end = START + dt.timedelta(days=DAYS)
    write.raw_events(settings, START, end)
    write.raw_profile(settings)
    write.feature(settings, "behavior_text", START, end)
    reports = []
    for delay in DELAYS if name else (0, WEEK):
        day = DRIFTED_FROM + dt.timedelta(days=delay - 1)
        every = traffic.figures(settings, day)
        if delay in (0, WEEK):
            for snapshot in (day, day - dt.timedelta(days=drift.REFERENCE_DAYS)):
                write.feature(settings, "user_tabular", snapshot, snapshot + dt.timedelta(days=1))
            every += drift.features(settings, day)
        states = {state: [f.name for f in every if f.state == state] for state in (figures.DRIFTED, figures.NOT_JUDGED)}
        reports.append({"seed": seed, "users": users, "drift": name, "delay": delay, "figures": len(every), **states})
    return reports


def tables(rows: list[dict[str, Any]]) -> str:
    """What was seen, as Markdown."""
    calm = [row for row in rows if row["drift"] is None]
    alarms = [row for row in calm if row[figures.DRIFTED]]
    unsure, every = sum(len(row[figures.NOT_JUDGED]) for row in calm), sum(row["figures"] for row in calm)
    by_figure = Counter(f for row in calm for f in row[figures.DRIFTED])
    delays = " | ".join(f"after {d} d" for d in DELAYS)
    lines = [
        f"{len(calm)} reports of calm logs: {len(alarms)} ({len(alarms) / len(calm):.1%}) with an alarm, where "
        f"{figures.FALSE_ALARMS:.0%} are allowed: {dict(by_figure) or 'none'}. Not judged were {unsure} of {every} figures.",
        "",
        f"| drift | figure that tells | {delays} | others that move in a week |",
        "|" + " --- |" * (len(DELAYS) + 3),
    ]
    for name, figure in TELLS.items():
        mine = {d: [row for row in rows if (row["drift"], row["delay"]) == (name, d)] for d in DELAYS}
        caught = [f"{sum(figure in row[figures.DRIFTED] for row in mine[d])}/{len(mine[d])}" for d in DELAYS]
        moved = Counter(f for row in mine[WEEK] for f in row[figures.DRIFTED] if f != figure)
        others = ", ".join(f"`{f}`" for f, count in moved.most_common() if count >= OFTEN * len(mine[WEEK])) or "none"
        lines.append(f"| `{name}` | `{figure}` | {' | '.join(caught)} | {others} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--users", type=int, default=1000)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = json.loads(RECORD.read_text()) if RECORD.exists() else []
    RECORD.parent.mkdir(exist_ok=True)
    for seed in range(options.first, options.first + options.seeds):
        for name in (None, *TELLS):
            if not any((row["seed"], row["users"], row["drift"]) == (seed, options.users, name) for row in rows):
                with tempfile.TemporaryDirectory() as folder:
                    rows += judged(Path(folder), seed, options.users, name)
                RECORD.write_text(json.dumps(rows))
        print(f"seed {seed} of {options.users} users", flush=True)
    print(tables([row for row in rows if row["users"] == options.users]))


if __name__ == "__main__":
    main()
