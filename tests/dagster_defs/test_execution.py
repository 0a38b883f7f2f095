"""Errors of runs as sentences: ours as they were raised, others without the names of their classes."""

import signal
import subprocess
from pathlib import Path

import dagster as dg
import pytest
from dagster._utils.interrupts import setup_interrupt_handlers

from dagster_defs.build import build_defs
from dagster_defs.execution import QUIET, RunOutcome, interruptible, open_instance
from found_platform.errors import BadInput, JobFailed
from found_platform.settings import Settings


class Refused(BadInput):
    """An error made from ours, as `found_platform` has some."""


def outcome(settings: Settings, error: BaseException, cause: BaseException | None = None) -> RunOutcome:
    """Of a run of a home's `quarantine` whose body raises an error."""

    @dg.asset
    def quarantine() -> None:
        raise error from cause

    job = build_defs(settings, assets=[quarantine]).resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(asset_selection=[quarantine.key], run_config=QUIET, raise_on_error=False)
    return RunOutcome("quarantine", result.success, list(result.all_events))


@pytest.mark.parametrize(
    ("error", "cause", "kind", "message"),
    [
        (BadInput("The file a.csv does not exist."), None, BadInput, "The file a.csv does not exist."),
        (Refused("labels.csv: line 3 is empty."), None, BadInput, "labels.csv: line 3 is empty."),
        (JobFailed("Training stage align failed:\nNaN"), None, JobFailed, "Training stage align failed:\nNaN"),
        (JobFailed("The index is busy."), OSError("code 1"), JobFailed, "The index is busy."),
        (RuntimeError("the disk is full"), None, JobFailed, "quarantine failed: the disk is full (the run's page"),
        (KeyError("u1"), None, JobFailed, "quarantine failed: there is no entry 'u1' (the run's page"),
        (FileNotFoundError(2, "No such file or directory", "a"), None, JobFailed, "quarantine failed: [Errno 2] No such file"),
        (ValueError(), None, JobFailed, "quarantine failed: no reason was given (the run's page"),
    ],
)
def test_an_error_is_a_sentence_without_the_name_of_a_class(
    tmp_path: Path, error: Exception, cause: Exception | None, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as raised:
        outcome(Settings.load(tmp_path), error, cause).raise_for_failure()
    assert str(raised.value).startswith(message)
    assert "Error" not in str(raised.value)
    assert "found_platform" not in str(raised.value)


def test_an_interrupt_stays_one(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        outcome(Settings.load(tmp_path), KeyboardInterrupt()).raise_for_failure()


def test_what_a_script_starts_in_the_background_can_be_ended_and_so_can_what_follows_its_logs() -> None:
    def end_a_process() -> None:
        process = subprocess.Popen(["sleep", "60"])
        process.terminate()
        assert process.wait(10) == -signal.SIGTERM

    before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell starts it
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with interruptible():
            setup_interrupt_handlers()  # as each run does
            end_a_process()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        end_a_process()
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def test_the_instance_of_an_older_home_gets_todays_configuration_and_a_persons_own_stays(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path)
    settings.dagster_home.mkdir()
    path = settings.dagster_home / "dagster.yaml"
    path.write_text(
        "# Copied to HOME/dagster/dagster.yaml at the first run; DAGSTER_HOME is that folder.\n"
        "telemetry: {enabled: false}\nnux: {enabled: false}\n"
        "concurrency:\n  runs: {max_concurrent_runs: 2}\n  pools: {granularity: op, default_limit: 1}\n"
    )
    with open_instance(settings):
        assert "found/in_order" in path.read_text()
    own = path.read_text().replace("max_concurrent_runs: 4", "max_concurrent_runs: 8")
    path.write_text(own)
    with open_instance(settings):
        assert path.read_text() == own
