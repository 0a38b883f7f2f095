"""A day's drift report: Evidently on a dozen activity features against the snapshot 28 days earlier, and the week's traffic.

Evidently costs per column, so the features are chosen; profile attributes hardly move and are left out.
"""

import datetime as dt
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from found_platform import feature_store, lake
from found_platform.errors import BadInput
from found_platform.monitoring import traffic
from found_platform.settings import Settings

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
REFERENCE_DAYS = 28
PSI_DRIFTED = 0.2
"""A population stability index above this is called a drift."""
MAX_ROWS = 20_000
"""Users sampled on either side: the share of users in a bin is known well enough, and the report stays within seconds."""


@dataclass(frozen=True)
class DriftReport:
    """PSI by feature, the figures of the traffic, and where the report lies."""

    day: dt.date
    reference: dt.date
    psi: dict[str, float]
    traffic: list[traffic.Figure]
    html: Path
    users: int

    @property
    def drifted(self) -> list[str]:
        """Names of the features and of the traffic's figures that moved."""
        return [name for name, value in self.psi.items() if value > PSI_DRIFTED] + [f.name for f in self.traffic if f.drifted]


def report(settings: Settings, day: dt.date) -> DriftReport:
    """Compares the snapshot of `day` with that of 28 days earlier, or of the first day there is if that is later.

    Saves HTML and JSON under `HOME/monitoring/feature_drift`. Raises BadInput when either snapshot has no users.
    """
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    reference_day = max(day - dt.timedelta(days=REFERENCE_DAYS), _first_day(settings))
    current, reference = (_snapshot(settings, d) for d in (day, reference_day))
    features = [f for f in FEATURES if current[f].notna().any() and reference[f].notna().any()]
    definition = DataDefinition(numerical_columns=features)
    snapshot = Report([DataDriftPreset(method="psi", threshold=PSI_DRIFTED, columns=features)]).run(
        Dataset.from_pandas(current[features], data_definition=definition),
        Dataset.from_pandas(reference[features], data_definition=definition),
    )
    folder = settings.home / "monitoring" / "feature_drift" / str(day)
    folder.mkdir(parents=True, exist_ok=True)
    snapshot.save_html(str(folder / "report.html"))
    psi = _psi(snapshot.dict(), features)
    made = DriftReport(day, reference_day, psi, traffic.figures(settings, day), folder / "report.html", len(current))
    said = {"day": str(day), "reference": str(reference_day), "drifted": made.drifted, "psi": psi}
    (folder / "report.json").write_text(json.dumps(said | {"traffic": [asdict(f) for f in made.traffic]}, indent=1))
    return made


def _first_day(settings: Settings) -> dt.date:
    days = lake.read(settings.lake, "user_tabular", columns=["event_date"])["event_date"]
    if not len(days):
        raise BadInput("user_tabular has no rows: materialise it first.")
    return min(days.unique().to_pylist())


def _snapshot(settings: Settings, day: dt.date):
    table = feature_store.snapshot(settings, "user_tabular", day, ["user_key", *FEATURES])
    if not table.num_rows:
        raise BadInput(f"user_tabular has no rows on {day}: materialise that day first.")
    frame = table.to_pandas().sort_values("user_key")  # keyed hashes: the first rows are a fair sample
    return frame.head(MAX_ROWS)


def _psi(result: dict, features: list[str]) -> dict[str, float]:
    found = {}
    for metric in result["metrics"]:
        column = (metric.get("config") or {}).get("column")
        if column in features and isinstance(metric["value"], int | float):
            found[column] = round(float(metric["value"]), 4)
    return found
