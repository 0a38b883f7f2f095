"""The Evidently workspace of a home: its reports by project and key, as `evidently ui` opens them.

What belongs here: where a report lies, and that it is kept once a key and whole. What does not: what is compared and what is made
of it, which is `monitoring.drift` and `evaluation`. A report holds counts, bins and curves; no user has a row in it.
"""

import datetime as dt
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from found_platform import home

if TYPE_CHECKING:
    from evidently.core.report import Snapshot

FEATURE_DRIFT, BENCHMARK = "feature_drift", "benchmark"
PROJECTS = {
    FEATURE_DRIFT: "Activity of users, a day against four weeks before.",
    BENCHMARK: "The benchmark of a cutoff: scenarios, and the methods' AUCs against the cutoff before.",
}
"""What each project holds."""


def folder(place: Path) -> Path:
    """The workspace of the home at `place`."""
    return place / "monitoring" / "evidently"


def project_id(project: str) -> uuid.UUID:
    """The same in every home."""
    return uuid.uuid5(uuid.NAMESPACE_OID, f"found/{project}")


def run_id(project: str, key: str) -> uuid.UUID:
    """Of the report of a key, so that a report that is made again takes the place of the one before."""
    return uuid.uuid5(project_id(project), key)


def pages(project: str) -> str:
    """Where `evidently ui` lists the reports of a project."""
    return f"/projects/{project_id(project)}/reports"


def page(project: str, key: str) -> str:
    """Where `evidently ui` shows a report."""
    return f"{pages(project)}/{run_id(project, key)}"


def path(place: Path, project: str, key: str) -> Path:
    """The file of a report."""
    return folder(place) / str(project_id(project)) / "snapshots" / f"{run_id(project, key)}.json"


def stamp(day: dt.date) -> dt.datetime:
    """When a report of a day is of, which places it on a dashboard."""
    return dt.datetime.combine(day, dt.time())


def keep(place: Path, project: str, key: str, snapshot: "Snapshot") -> None:
    """Keeps a report in place of the one that had its key.

    Evidently writes into a workspace beside this one, and the files are moved: a killed process leaves no half of a report, and
    everything is its owner's alone.
    """
    from evidently.sdk.models import ProjectModel
    from evidently.ui.workspace import Workspace

    root = home.make_private(folder(place))
    with tempfile.TemporaryDirectory(suffix=".partial", dir=root) as scratch:
        workspace = Workspace.create(scratch)
        model = ProjectModel(id=project_id(project), name=project, description=PROJECTS[project])
        workspace.add_project(model).dashboard.add_panel(_panel(project))
        report_path = Path(workspace.add_run(model.id, snapshot, name=key).url)
        target = path(place, project, key)
        home.make_private(target.parent.parent)
        home.make_private(target.parent)
        home.write_whole(target, report_path.read_bytes())
        for about in report_path.parent.parent.glob("*.json"):  # once: a person may have changed the dashboard since
            if not (other := target.parent.parent / about.name).exists():
                home.write_whole(other, about.read_bytes())


def forget(place: Path, project: str, key: str) -> None:
    """Removes the report of a key, if there is one."""
    path(place, project, key).unlink(missing_ok=True)


def files(place: Path) -> Iterator[list[Path]]:
    """The files of the reports of each project, oldest first by when they were written."""
    for project in PROJECTS:
        report_files = path(place, project, "").parent.glob("*.json")
        yield sorted(report_files, key=lambda file: (file.stat().st_mtime, file.name))


def _panel(project: str) -> Any:
    """What moved over time, of all columns that a report of this project compares."""
    from evidently.sdk.models import PanelMetric
    from evidently.sdk.panels import line_plot_panel

    title = {FEATURE_DRIFT: "PSI by day", BENCHMARK: "Drift of AUCs by cutoff"}[project]
    return line_plot_panel(title, [PanelMetric(legend="{{column}}", metric="ValueDrift")])
