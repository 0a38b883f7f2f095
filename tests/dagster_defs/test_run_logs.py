"""Several runs in one process: one that begins waits for none that writes its log."""

import logging
import threading
from pathlib import Path

from dagster_defs.execution import open_instance
from found_platform.settings import Settings


def begin(home: Path) -> list[logging.Handler]:
    """The handlers of a run that begins while another one writes an event, which holds the lock of its handler."""
    handlers: list[logging.Handler] = []
    writing = logging.StreamHandler()
    with open_instance(Settings(home=home)) as instance:
        beginning = threading.Thread(target=lambda: handlers.extend(instance.get_handlers()), daemon=True)
        writing.acquire()
        try:
            beginning.start()
            beginning.join(10)
            assert not beginning.is_alive(), "it waits for the other run, which waits for it as soon as anything logs"
        finally:
            writing.release()
    return handlers


def test_a_run_begins_while_another_one_writes_its_log(tmp_path: Path) -> None:
    assert len(begin(tmp_path)) == 1


def test_handlers_that_a_person_named_are_set_up_once(tmp_path: Path) -> None:
    (tmp_path / "dagster").mkdir()
    python_logs = "python_logs: {dagster_handler_config: {handlers: {mine: {class: logging.StreamHandler, level: ERROR}}}}\n"
    (tmp_path / "dagster" / "dagster.yaml").write_text(f"telemetry: {{enabled: false}}\n{python_logs}")
    with open_instance(Settings(home=tmp_path)) as instance:
        first = instance.get_handlers()[1]
    assert first.level == logging.ERROR
    assert begin(tmp_path)[1] is first
