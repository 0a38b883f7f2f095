"""Single-flight caching."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from found_platform.cache import single_flight


def test_threads_that_ask_the_same_at_the_same_time_make_it_once() -> None:
    calls: list[int] = []
    started = threading.Barrier(8)

    @single_flight(2)
    def slow(number: int) -> list[int]:
        calls.append(number)
        time.sleep(0.1)
        return [number]

    def ask() -> list[int]:
        started.wait(10)
        return slow(7)

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: ask(), range(8)))
    assert calls == [7]
    assert all(result is results[0] for result in results)


def test_what_was_used_longest_ago_goes_first() -> None:
    calls: list[int] = []

    @single_flight(2)
    def double(number: int) -> int:
        calls.append(number)
        return 2 * number

    assert [double(n) for n in (1, 2, 1, 3, 1, 2)] == [2, 4, 2, 6, 2, 4]
    assert calls == [1, 2, 3, 2]
    double.cache_clear()
    assert double(1) == 2
    assert calls[-1] == 1


def test_what_is_being_made_does_not_go_while_others_ask_for_more_than_is_kept() -> None:
    """Else whoever asks for it meanwhile would make it again."""
    calls: list[int] = []
    go_on = threading.Event()

    @single_flight(2)
    def slow(number: int) -> int:
        calls.append(number)
        assert go_on.wait(60)
        return number

    with ThreadPoolExecutor(8) as pool:
        futures = []
        for number in (1, 2, 3, 4, 1, 2, 3, 4):
            futures.append(pool.submit(slow, number))
            while len(calls) < min(len(futures), 4):
                time.sleep(0.001)
        time.sleep(0.05)
        go_on.set()
    assert [future.result() for future in futures] == [1, 2, 3, 4, 1, 2, 3, 4]
    assert sorted(calls) == [1, 2, 3, 4]
    assert len(slow._results) == 2


def test_a_failure_is_told_to_everybody_who_waits_and_is_not_kept() -> None:
    fails = [True]

    @single_flight(1)
    def sometimes() -> str:
        time.sleep(0.05)
        if fails[0]:
            raise ValueError("not now")
        return "fine"

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(sometimes) for _ in range(4)]
    assert all(isinstance(future.exception(), ValueError) for future in futures)
    fails[0] = False
    assert sometimes() == "fine"
    with pytest.raises(TypeError):
        sometimes("too much")  # pyright: ignore[reportCallIssue]
