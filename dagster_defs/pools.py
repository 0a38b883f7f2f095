"""Places in Dagster's pools: a run of a command that waits for one says for whom, and gives up in the end, as for a lock.

What belongs here: how long a command waits for a place in a pool or in the daemon's queue, and who has it. What does not: which
asset is in which pool (`graph`), how many places a pool has (`dagster.yaml`). Dagster itself waits for ever.
"""

import datetime as dt
import logging
import time
from collections.abc import Iterable

import dagster as dg
from dagster._utils.concurrency import ConcurrencyClaimStatus

from dagster_defs.graph import ASKED_BY
from found_platform import command_line, home
from found_platform.errors import JobFailed

log = logging.getLogger(__name__)


def limit_waiting(instance: dg.DagsterInstance, seconds: float) -> None:
    """Has runs that this process executes on an instance fail where a pool has no place for them for so long."""
    storage = instance.event_log_storage
    claim = storage.claim_concurrency_slot
    since: dict[tuple[str, str], float] = {}  # by run and step, of those that wait

    def claim_or_fail(concurrency_key: str, run_id: str, step_key: str, priority: int | None = None) -> ConcurrencyClaimStatus:
        pool, waiter = concurrency_key, (run_id, step_key)
        status = claim(pool, run_id, step_key, priority)
        if status.is_claimed:
            since.pop(waiter, None)
            return status
        if waiter not in since:
            log.warning("%s", command_line.line(f"waiting for the pool {pool}, held by {holders(instance, pool)}"))
        if time.monotonic() - since.setdefault(waiter, time.monotonic()) >= seconds:
            raise JobFailed(too_long(f"the pool {pool} is still held by {holders(instance, pool)}", seconds))
        return status

    storage.claim_concurrency_slot = claim_or_fail


def too_long(problem: str, seconds: float) -> str:
    """The sentence of a run that has waited for so many seconds, and what to do."""
    return (
        f"After {home.duration(seconds)} {problem}: wait until that has ended, or end it on its page in the Dagster UI "
        "(found serve --all), then run this again; FOUND_WAIT_MINUTES is how long a command waits."
    )


def holders(instance: dg.DagsterInstance, pool: str) -> str:
    """The runs that have the places of a pool."""
    slots = instance.event_log_storage.get_concurrency_info(pool).claimed_slots
    return described(instance, dict.fromkeys(slot.run_id for slot in slots)) or "another run"


def described(instance: dg.DagsterInstance, run_ids: Iterable[str]) -> str:
    """Runs for a person: number, asset or job, who asked for it, since when."""
    return ", ".join(_described(instance, run_id) for run_id in run_ids)


def _described(instance: dg.DagsterInstance, run_id: str) -> str:
    record = instance.get_run_record_by_id(run_id)
    if record is None:
        return f"run {run_id[:8]}"
    run = record.dagster_run
    assets = sorted(key.to_user_string() for key in run.asset_selection or ())
    began = dt.datetime.fromtimestamp(record.start_time or record.create_timestamp.timestamp(), dt.UTC)
    asked_by = f", asked for by {run.tags[ASKED_BY]}" if ASKED_BY in run.tags else ""
    return f"run {run_id[:8]} ({', '.join(assets) or run.job_name}{asked_by}, since {began:%Y-%m-%d %H:%M} UTC)"
