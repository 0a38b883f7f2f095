"""Threads of numerical libraries: whoever lowers their number while others do too gives the number from before back at the end."""

import os
import subprocess
import sys
import threading

import pytest

from found_platform import threads


def numbers(kind: str) -> list[int]:
    """Of the libraries that replay knows: another test may have loaded more."""
    return [library.num_threads for library in threads._libraries(kind).lib_controllers]


def test_overlapping_limits_end_in_the_number_from_before() -> None:
    """A begins, B begins, A ends, B ends: the order in which a limit that is not counted stays for good."""
    threads._in_a_thread_of_its_own(lambda: threads._libraries("blas").limit(limits=2))
    before = numbers("blas")
    assert set(before) == {2}
    a_is_in, b_is_in, a_is_out, b_is_out = (threading.Event() for _ in range(4))
    inside: dict[str, list[int]] = {}

    def first() -> None:
        with threads.one_each():
            a_is_in.set()
            assert b_is_in.wait(30)
        a_is_out.set()
        assert b_is_out.wait(30)  # as the thread of a pool lives on

    def second() -> None:
        assert a_is_in.wait(30)
        with threads.one_each():
            b_is_in.set()
            assert a_is_out.wait(30)
            inside["b"] = numbers("blas")
        b_is_out.set()

    runners = [threading.Thread(target=run) for run in (first, second)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join(60)
    assert set(inside["b"]) == {1}
    assert numbers("blas") == before


def test_a_limit_holds_in_the_thread_that_set_it_and_ends_with_it() -> None:
    before = numbers("openmp")
    with threads.one_each():
        assert set(numbers("openmp")) <= {1}
        with threads.one_each():
            assert set(numbers("openmp")) <= {1}
        assert set(numbers("blas")) == {1}
    assert numbers("openmp")[: len(before)] == before


@pytest.mark.parametrize("own", [None, "ACTIVE"])
def test_threads_of_openmp_sleep_while_they_wait_unless_somebody_says_otherwise(own: str | None) -> None:
    """It is set before any library with such threads is loaded, which reads it once."""
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"} | ({"OMP_WAIT_POLICY": own} if own else {})
    code = "import os, sys, found_platform.cli; assert 'torch' not in sys.modules; from found_platform import settings; "
    code += "print(os.environ['OMP_WAIT_POLICY'])"
    output = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout
    assert output.strip() == (own or "PASSIVE")
