"""What Python's collector leaves alone: the objects of libraries, and everything at the end of a command."""

import gc
import subprocess
import sys

BEGIN = "import gc\nfrom found_platform import garbage\n"
CYCLE = """
class Cycle:
    def __del__(self):
        print('collected', flush=True)

def leave():
    cycle = Cycle()
    cycle.own = cycle

leave()
"""


def _printed(*lines: str) -> list[str]:
    ran = subprocess.run([sys.executable, "-c", "\n".join((BEGIN, *lines))], capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    return ran.stdout.splitlines()


def test_objects_of_libraries_are_looked_through_neither_while_they_are_loaded_nor_later() -> None:
    loaded = ("import json.tool, asyncio", "print(gc.isenabled())")
    within = "\n    ".join(("with garbage.loading():", *loaded))
    counts = "print(gc.isenabled(), gc.get_freeze_count() > 1000, len(gc.get_objects()) < 1000)"
    assert _printed(within, counts) == ["False", "True True True"]


def test_who_has_turned_the_collector_off_finds_it_off() -> None:
    assert _printed("gc.disable()", "with garbage.loading():\n    pass", "print(gc.isenabled())") == ["False"]


def test_a_command_looks_for_garbage_while_it_runs_and_not_at_its_end() -> None:
    assert _printed(CYCLE) == ["collected"], "as Python does"
    assert _printed("garbage.of_command()", CYCLE) == []
    assert _printed("garbage.of_command()", CYCLE, "gc.collect()", "print('end')") == ["collected", "end"]


def test_what_has_to_end_in_good_order_at_the_end_of_a_command_does() -> None:
    lines = (
        "import atexit, threading, time, weakref",
        "garbage.of_command()",
        "atexit.register(print, 'at exit')",
        "threading.Thread(target=lambda: (time.sleep(0.1), print('thread'))).start()",
        "class Owner: ...",
        "owner = Owner()",
        "finalize = weakref.finalize(owner, print, 'finalized')",
    )
    assert _printed(*lines) == ["thread", "finalized", "at exit"]


def test_only_the_oldest_generation_waits_longer() -> None:
    before = gc.get_threshold()
    assert _printed("garbage.of_command()", "print(*gc.get_threshold())") == [f"{before[0]} {before[1]} 100"]


def test_a_command_ends_without_a_word_of_files_that_nobody_closed() -> None:
    """Some are let go of when Python's modules are gone, and with them what keeps warnings from being printed."""
    lines = (
        "import os, sys, warnings",
        "from found_platform.cli import main",
        "os.left = open(os.devnull, 'wb')",
        "sys.argv = ['found', '--help']",
        "try:\n    main()\nexcept SystemExit:\n    warnings.simplefilter('always')",
    )
    assert any("audience" in line for line in _printed(*lines))
