"""What watches over the data: the drift reports of a home, newest first, and where Evidently's reports lie."""

import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from found_platform.app.context import Context
from found_platform.app.use_case import Effect, use_case
from found_platform.errors import NotFound


@dataclass(frozen=True)
class DriftDay:
    """A day's drift report. `figures` are of features (PSI) and traffic, each with name, value, limit, state and why; `has_page`
    says whether Evidently's page was written."""

    day: str
    reference: str
    state: str
    why: str
    figures: tuple[dict[str, Any], ...]
    has_page: bool


@dataclass(frozen=True)
class Drift:
    """The reports that a home has."""

    days: tuple[DriftDay, ...]


@use_case(Effect.READS)
def drift(context: Context) -> Drift:
    """Every drift report, newest first."""
    folder = context.settings.home / "monitoring" / "feature_drift"
    files = sorted(folder.glob("*/report.json"), reverse=True) if folder.exists() else []
    days = []
    for file in files:
        report = json.loads(file.read_text())
        figures = (*report.get("features", ()), *report.get("traffic", ()))
        page = (file.parent / "report.html").exists()
        days.append(DriftDay(report["day"], report["reference"], report["state"], report["why"], figures, page))
    return Drift(tuple(days))


@use_case(Effect.READS)
def drift_page(context: Context, day: dt.date) -> Path:
    """Evidently's page of a day. Raises NotFound where there is none."""
    path = context.settings.home / "monitoring" / "feature_drift" / str(day) / "report.html"
    if not path.exists():
        raise NotFound(f"There is no drift page of {day}: `found demo` writes one where there is something to compare.")
    return path


def workspace(context: Context) -> Path:
    """The Evidently workspace of the home, made if no report is in it yet."""
    from found_platform import reports
    from found_platform.home import make_private

    return make_private(reports.folder(context.settings.home))
