"""Why the newest run that looks for an audience's members found none, where it did not.

What belongs here: that one question, for a person who looks at the audience. What does not: alerts and the doctor, which look at
every run (`pulse`). The state of a run is read from Dagster's own file; Dagster, which takes two seconds to load, is asked for the
words of a failure, and where the records are in PostgreSQL.
"""

import contextlib
import sqlite3

from dagster_defs import event_log
from found_platform import home
from found_platform.settings import Settings

JOB = "refresh_audiences"
"""`jobs.REFRESH`, which would load Dagster; so would the tags, which are `execution`'s."""

SESSION, STARTED_ANEW = ".dagster/found_session", "dagster/parent_run_id"

NEWEST = "SELECT status, run_id FROM runs WHERE pipeline_name = ? AND partition = ? ORDER BY id DESC LIMIT 1"
TAGS = "SELECT key, value FROM run_tags WHERE run_id = ?"
AFTER = "The members here are those before it; refresh it again."


def why(settings: Settings, audience: str) -> str | None:
    """What was wrong with the newest refresh of an audience, and what to do; None where it succeeded or still goes on."""
    elsewhere = event_log.is_elsewhere(settings.dagster_home / "dagster.yaml")
    newest = _from_dagster(settings, audience) if elsewhere else _from_file(settings, audience)
    if newest is None:
        return None
    status, run_id, tags = newest
    if status == "FAILURE":
        return f"The newest refresh failed: {_sentence(settings, run_id)}. {AFTER}"
    session = None if STARTED_ANEW in tags else tags.get(SESSION)
    is_dead = status != "SUCCESS" and session is not None and home.is_free(settings.home, f"session-{session}")
    return f"The newest refresh was stopped before it was done. {AFTER}" if status == "CANCELED" or is_dead else None


def _from_file(settings: Settings, audience: str) -> tuple[str, str, dict[str, str]] | None:
    """State, id and tags of the newest run."""
    path = settings.dagster_home / "history" / "runs.db"
    if not path.exists():
        return None
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=60)) as con:
        row = con.execute(NEWEST, [JOB, audience]).fetchone()
        return row and (*row, dict(con.execute(TAGS, [row[1]]).fetchall()))


def _from_dagster(settings: Settings, audience: str) -> tuple[str, str, dict[str, str]] | None:
    import dagster as dg

    from dagster_defs.execution import open_instance

    with open_instance(settings) as instance:
        newest = instance.get_runs(dg.RunsFilter(job_name=JOB, tags={"dagster/partition": audience}), limit=1)
    return (newest[0].status.value, newest[0].run_id, dict(newest[0].tags)) if newest else None


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
