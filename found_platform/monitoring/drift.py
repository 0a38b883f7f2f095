"""A day's drift report: Evidently on a dozen activity features against the snapshot 28 days earlier, and the week's traffic.

Compared are the users who were active in the 28 days up to either day. Everybody who was ever seen would not do: the silent among
them only grow in number, on the calmest log. Evidently costs per column, so the features are chosen; profile attributes hardly move
and are left out.
"""

import datetime as dt
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from found_platform import feature_store, garbage, lake, reports, workers
from found_platform.contract import CHANNELS
from found_platform.errors import BadInput
from found_platform.monitoring import figures, stability, traffic
from found_platform.monitoring.figures import DRIFTED, FALSE_ALARMS, PASSED, REFERENCE_DAYS, Figure, not_judged
from found_platform.settings import Settings
from found_platform.sources import config as source_config

if TYPE_CHECKING:
    import pandas as pd
    from evidently.core.report import Snapshot

    Keep = Callable[[Snapshot], None]

FEATURES = (
    "events_7d",
    "events_28d",
    "active_days_7d",
    "active_days_28d",
    "amount_28d",
    "pay_bill_7d",
    "pay_bill_28d",
    "spm_7d",
    "mini_program_7d",
    "search_7d",
    "days_since_last",
    "spm_28d",
)
ACTIVE = "events_28d"
"""Users are compared who have any of these."""
WINDOW = 28
"""Days that the longest feature looks back: with a shorter history its window is not full, and nothing is compared."""
MAX_ROWS = 20_000
"""Users sampled on either side: the share of users in a bin is known well enough, and the report stays within seconds."""


@dataclass(frozen=True)
class DriftReport:
    """What the features (PSI) and the traffic did. `html` is None where there was nothing to compare."""

    day: dt.date
    reference: dt.date
    features: list[Figure]
    traffic: list[Figure]
    html: Path | None
    users: int

    @property
    def figures(self) -> list[Figure]:
        return [*self.features, *self.traffic]

    @property
    def state(self) -> str:
        """`passed` only where every figure was judged and is within its limit."""
        return figures.state(self.figures)

    @property
    def sentence(self) -> str:
        return figures.sentence(self.figures)

    @property
    def drifted(self) -> list[str]:
        """Names of the features and of the traffic's figures that moved."""
        return [figure.name for figure in self.figures if figure.drifted]


_begun: dict[tuple[Path, dt.date, str], Callable[[], tuple[DriftReport, dict[str, int]]]] = {}
"""Reports that were begun in forks, by home, day and what they are made from."""


def begin(settings: Settings, day: dt.date, made_of: str) -> None:
    """Has a report made beside this process, where something forks: `of` of the same waits for it."""
    if workers.forks():
        _begun[settings.home, day, made_of] = workers.ahead(_recorded, settings, day)


def of(settings: Settings, day: dt.date, made_of: str) -> DriftReport:
    """The report that was begun for this day and these inputs, or else one that is made now."""
    if (begun := _begun.pop((settings.home, day, made_of), None)) is None:
        return report(settings, day)
    finished, reads = begun()
    lake.record_reads(reads)
    return finished


def let_go(settings: Settings) -> None:
    """Lets go of the reports of a home that nobody has waited for."""
    for key in [key for key in _begun if key[0] == settings.home]:
        _begun.pop(key, None)


def _recorded(settings: Settings, day: dt.date) -> tuple[DriftReport, dict[str, int]]:
    if workers.in_a_fork():
        with garbage.loading():
            import evidently.metrics  # noqa: F401
    with lake.recorded_reads() as reads:
        return report(settings, day), reads


def report(settings: Settings, day: dt.date) -> DriftReport:
    """Compares the snapshot of `day` with that of 28 days earlier.

    Saves JSON, and HTML where there is something to compare, under `HOME/monitoring/feature_drift`, and Evidently's report in the
    home's workspace. Raises BadInput when a snapshot that is needed has no users.
    """
    reference_day = day - dt.timedelta(days=REFERENCE_DAYS)
    users = len(_snapshot(settings, day))
    folder = settings.home / "monitoring" / "feature_drift" / str(day)
    folder.mkdir(parents=True, exist_ok=True)
    html: Path | None = folder / "report.html"
    html.unlink(missing_ok=True)
    reports.forget(settings.home, reports.FEATURE_DRIFT, str(day))

    def keep(snapshot: "Snapshot") -> None:
        snapshot.save_html(str(folder / "report.html"))
        reports.keep(settings.home, reports.FEATURE_DRIFT, str(day), snapshot)

    moved = features(settings, day, keep)
    html = html if html.exists() else None
    drift = DriftReport(day, reference_day, moved, traffic.figures(settings, day), html, users)
    document = {
        "day": str(day),
        "reference": str(reference_day),
        "state": drift.state,
        "why": drift.sentence,
        "drifted": drift.drifted,
        "psi": {f.name: f.value for f in moved},
        "features": [asdict(f) for f in moved],
        "traffic": [asdict(f) for f in drift.traffic],
    }
    (folder / "report.json").write_text(json.dumps(document, indent=1))
    return drift


def features(settings: Settings, day: dt.date, keep: "Keep | None" = None) -> list[Figure]:
    """What the features of active users did in the 28 days up to `day`; `keep` is given Evidently's report.

    Raises BadInput when a snapshot that is needed has no users.
    """
    config = source_config.of_home(settings)
    reference_day = day - dt.timedelta(days=REFERENCE_DAYS)
    names = [name for name in FEATURES if _is_brought(name, config)]
    history = (reference_day - config.days[0]).days + 1
    if history < WINDOW:
        why = f"the history at the reference day {reference_day} is {max(history, 0)} days long, and the features need {WINDOW}"
        return [not_judged(name, why) for name in names]
    return compare(_snapshot(settings, day), _snapshot(settings, reference_day), names, keep, day)


def compare(
    current: "pd.DataFrame",
    reference: "pd.DataFrame",
    names: Sequence[str],
    keep: "Keep | None" = None,
    day: dt.date | None = None,
) -> list[Figure]:
    """The PSI of each feature among the active users of two snapshots, and whether it is more than chance and practice allow.

    Evidently computes the index, of values in bins; `keep` is given its report, which is of `day`.
    """
    import pandas as pd

    sides = [frame.loc[(frame[ACTIVE] > 0) | frame[ACTIVE].isna()] for frame in (current, reference)]
    figures: dict[str, Figure] = {}
    binned: list[dict[str, np.ndarray]] = [{}, {}]
    limits: dict[str, float] = {}
    for name in names:
        values = [np.asarray(side[name], float) for side in sides]
        why = _why_not(values)
        if why is not None:
            figures[name] = not_judged(name, why)
            continue
        places, labels = stability.bins(values[0], values[1])
        counts = [np.bincount(place, minlength=len(labels)) for place in places]
        limits[name] = stability.limit(counts[0], counts[1], FALSE_ALARMS / len(names))
        for side, place in zip(binned, places, strict=True):
            side[name] = np.array(labels, object)[place]
    if limits:
        figures |= _judged(_evidently(pd.DataFrame(binned[0]), pd.DataFrame(binned[1]), limits, keep, day), limits)
    return [figures[name] for name in names]


def _why_not(values: list[np.ndarray]) -> str | None:
    """Why two samples of a feature cannot be compared, if they cannot."""
    users = min(map(len, values))
    if users < stability.FEWEST:
        return f"{users} active users on one of the days, and {stability.FEWEST} are needed"
    if missing := sum(int((~np.isfinite(v)).sum()) for v in values):
        return f"{missing:,} of {sum(map(len, values)):,} values are no numbers"
    if all((v == 0).all() for v in values):
        return "silent: nobody has any on either day"
    return None


def _evidently(
    current: "pd.DataFrame", reference: "pd.DataFrame", limits: dict[str, float], keep: "Keep | None", day: dt.date | None
) -> dict[str, Any]:
    """Evidently's result for features in bins, as it is."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    definition = DataDefinition(categorical_columns=list(limits))
    snapshot = Report([ValueDrift(column=name, method="psi", threshold=limit) for name, limit in limits.items()]).run(
        Dataset.from_pandas(current, data_definition=definition),
        Dataset.from_pandas(reference, data_definition=definition),
        timestamp=reports.stamp(day) if day else None,
    )
    if keep is not None:
        keep(snapshot)
    return snapshot.dict()


def _judged(result: Any, limits: dict[str, float]) -> dict[str, Figure]:
    """Each feature by what Evidently says of it; what it does not say, or says in another way than we know, is not judged."""
    metrics = result.get("metrics") if isinstance(result, dict) else None
    values: dict[str, Any] = {}
    for metric in metrics if isinstance(metrics, list) else ():
        config = metric.get("config") if isinstance(metric, dict) else None
        if isinstance(config, dict) and config.get("method") == "psi":
            values[str(config.get("column"))] = metric.get("value")
    figures = {}
    for name, limit in limits.items():
        value = values.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            figures[name] = not_judged(name, "Evidently's result has no PSI for it where one is expected: see its version")
        elif not math.isfinite(value):
            figures[name] = not_judged(name, f"Evidently's PSI is {value}")
        else:
            state = DRIFTED if value > limit else PASSED
            figures[name] = Figure(name, round(float(value), 4), 0.0, round(limit, 4), state)
    return figures


def _is_brought(feature: str, config: source_config.SourceConfig) -> bool:
    """Whether the source brings what a feature is made of."""
    channel = next((c for c in CHANNELS if feature.startswith(f"{c}_")), None)
    if feature.startswith("amount"):
        return traffic.has_amounts(config)
    return channel is None or channel in traffic.own_channels(config)


def _snapshot(settings: Settings, day: dt.date) -> "pd.DataFrame":
    table = feature_store.snapshot(settings, "user_tabular", day, ["user_key", *FEATURES])
    if not table.num_rows:
        raise BadInput(f"user_tabular has no rows on {day}: materialise that day first.")
    frame = table.to_pandas().sort_values("user_key")  # keyed hashes: the first rows are a fair sample
    return frame.head(MAX_ROWS)
