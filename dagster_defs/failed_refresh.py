"""Why the newest run that looks for an audience's members found none, where it did not.

What belongs here: that one question, for a person who looks at the audience; its last good members stay what they are. What does not:
alerts and the doctor, which look at every run (`pulse`). The state of a run is read from Dagster's file, and Dagster, which takes two
seconds to load, is asked only where a run has failed, or where its records are not in a file.
"""

import contextlib
import sqlite3

from dagster_defs import event_log
from found_platform import home
from found_platform.settings import Settings

JOB = "refresh_audiences"
"""`jobs.REFRESH`, which would load Dagster."""

NEWEST = "SELECT status, run_id FROM runs WHERE pipeline_name = ? AND partition = ? ORDER BY id DESC LIMIT 1"
TAGS = "SELECT key, value FROM run_tags WHERE run_id = ?"


def why(settings: Settings, audience: str) -> str | None:
    """What was wrong with the newest refresh of an audience, and what to do; None where it succeeded or still goes on."""
    path = settings.dagster_home / "history" / "runs.db"
    if not path.exists() or event_log.is_elsewhere(settings.dagster_home / "dagster.yaml"):
        return None
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=60)) as con:
        row = con.execute(NEWEST, [JOB, audience]).fetchone()
        if row is None or row[0] == "SUCCESS":
            return None
        status, run_id = row
        tags = dict(con.execute(TAGS, [run_id]).fetchall())
    if status == "FAILURE":
        return f"The newest refresh failed: {_sentence(settings, run_id)}. The members here are those before it; refresh it again."
    session = None if "dagster/parent_run_id" in tags else tags.get(".dagster/found_session")
    if status == "CANCELED" or (session is not None and home.is_free(settings.home, f"session-{session}")):
        return "The newest refresh was stopped before it was done. The members here are those before it; refresh it again."
    return None


def _sentence(settings: Settings, run_id: str) -> str:
    """The sentence that a failed run ended with, without its full stop."""
    from dagster_defs.execution import RunOutcome, open_instance
    from found_platform.errors import BadInput, JobFailed

    with open_instance(settings) as instance:
        events = [entry.dagster_event for entry in instance.all_logs(run_id) if entry.dagster_event]
    try:
        RunOutcome(JOB, False, events).raise_for_failure()
    except (BadInput, JobFailed) as error:
        return str(error).rstrip(".")
    except KeyboardInterrupt:
        pass
    return "it was stopped"
