"""Plots a simulated population beside a real one: events a user, gaps, text frequencies, weekdays.

    .venv/bin/python benchmarks/population.py HOME OTHER_HOME docs/population.png

Both homes must have `raw_events`. Nothing is fitted; the plots show where the simulation is lifelike and where it is not.
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from found_platform import lake
from found_platform.settings import Settings
from found_platform.sources.config import of_home


def figures(home: Path) -> dict[str, np.ndarray]:
    """What is plotted of one home; exposures are left out."""
    con = lake.connect()
    con.register("e", lake.dataset(Settings.load(home).lake, "raw_events"))
    own = "FROM e WHERE NOT exposure"

    def column(query: str) -> np.ndarray:
        return np.array([row[0] for row in con.execute(query).fetchall()], float)

    return {
        "events": column(f"SELECT count(*) AS n {own} GROUP BY user_key ORDER BY n DESC"),
        "gaps": column(
            f"SELECT date_diff('day', lag(event_date) OVER (PARTITION BY user_key ORDER BY event_date), event_date) AS gap "
            f"FROM (SELECT DISTINCT user_key, event_date {own}) QUALIFY gap IS NOT NULL"
        ),
        "texts": column(f"SELECT count(*) AS n {own} GROUP BY text_id ORDER BY n DESC"),
        "weekdays": column(f"SELECT count(*) {own} GROUP BY isodow(event_date) ORDER BY isodow(event_date)"),
    }


def main(homes: list[Path], target: Path) -> None:
    figure, axes = plt.subplots(2, 2, figsize=(11, 8))
    for home in homes:
        name, data = of_home(Settings.load(home)).name, figures(home)
        users = np.arange(1, len(data["events"]) + 1) / len(data["events"])
        axes[0, 0].loglog(users, data["events"] / data["events"].mean(), label=name)
        values, counts = np.unique(data["gaps"], return_counts=True)
        axes[0, 1].loglog(values, counts / counts.sum(), ".", label=name)
        axes[1, 0].loglog(np.arange(1, len(data["texts"]) + 1), data["texts"] / data["texts"].sum(), label=name)
        axes[1, 1].plot(range(1, 8), data["weekdays"] / data["weekdays"].mean(), "o-", label=name)
    labels = [
        ("share of users, most active first", "events over the mean"),
        ("days between active days of a user", "share"),
        ("rank of a text", "share of events"),
        ("day of the week, Monday = 1", "events over the mean"),
    ]
    for axis, (x, y) in zip(axes.flat, labels, strict=True):
        axis.set_xlabel(x)
        axis.set_ylabel(y)
        axis.legend()
    axes[1, 1].set_ylim(0, 1.6)
    figure.tight_layout()
    figure.savefig(target, dpi=80)


if __name__ == "__main__":
    main([Path(sys.argv[1]), Path(sys.argv[2])], Path(sys.argv[3]))
