"""Requests of several threads at once: each gets its own answer or its own error, and they are answered together."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from serving import batching
from serving.batching import MOST, Together


class OddError(Exception):
    """Of requests that are odd."""


def behind_a_gate() -> tuple[Together[int, int], threading.Event, list[int]]:
    """Whoever answers waits for the gate; and how many were answered at a time."""
    sizes: list[int] = []
    gate = threading.Event()

    def answer(numbers: Sequence[int]) -> list[int]:
        gate.wait(10)
        sizes.append(len(numbers))
        return list(numbers)

    return Together(answer, lambda number: 0), gate, sizes


def test_everyone_gets_their_own_and_few_calls_serve_many() -> None:
    sizes: list[int] = []

    def double(numbers: Sequence[int]) -> list[int]:
        sizes.append(len(numbers))
        time.sleep(0.01)
        assert len({number % 3 for number in numbers}) == 1, "of one kind"
        return [2 * number for number in numbers]

    together = Together(double, lambda number: number % 3)
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(together.ask, range(300))) == [2 * number for number in range(300)]
    assert sum(sizes) == 300
    assert len(sizes) < 250
    assert max(sizes) <= MOST


def test_a_fault_is_its_own_and_costs_the_others_nothing() -> None:
    def answer(numbers: Sequence[int]) -> list[int]:
        time.sleep(0.005)
        odd = [number for number in numbers if number % 2]
        if odd:
            raise OddError(str(odd[0]))
        return list(numbers)

    together = Together(answer, lambda number: 0)

    def ask(number: int) -> object:
        try:
            return together.ask(number)
        except OddError as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(100)))
    assert found == [str(number) if number % 2 else number for number in range(100)]


def test_what_breaks_off_the_one_who_leads_leaves_nobody_waiting() -> None:
    gate = threading.Event()

    def broken(numbers: Sequence[int]) -> list[int]:
        gate.wait(5)
        if 1 in numbers:
            raise KeyboardInterrupt
        return list(numbers)

    together = Together(broken, lambda number: 0)
    ended: list[object] = []

    def ask(number: int) -> None:
        try:
            ended.append(together.ask(number))
        except BaseException as error:  # noqa: BLE001
            ended.append(type(error))

    threads = [threading.Thread(target=ask, args=(number,)) for number in (0, 1, 2, 3)]
    for thread in threads:
        thread.start()
        time.sleep(0.1)
    gate.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert len(ended) == 4
    assert KeyboardInterrupt in ended
    assert together.ask(7) == 7


def test_a_failure_of_ours_reaches_all_of_the_batch_and_nobody_waits_for_ever() -> None:
    begun = threading.Event()

    def fail(numbers: Sequence[int]) -> list[int]:
        begun.wait(5)
        raise ZeroDivisionError

    together = Together(fail, lambda number: 0)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(together.ask, number) for number in range(4)]
        begun.set()
        for one in asked:
            with pytest.raises(ZeroDivisionError):
                one.result(10)


def test_more_than_are_taken_at_a_time_wait_for_the_next() -> None:
    together, gate, sizes = behind_a_gate()
    with ThreadPoolExecutor(MOST + 20) as pool:
        asked = [pool.submit(together.ask, number) for number in range(MOST + 20)]
        time.sleep(0.3)
        gate.set()
        assert [one.result(10) for one in asked] == list(range(MOST + 20))
    assert max(sizes) <= MOST
    assert len(sizes) in (2, 3)


def test_as_many_as_last_time_are_waited_for_and_who_is_alone_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "MOMENT_SECONDS", 60.0)  # whoever waits for who never comes does not end in time
    together, gate, sizes = behind_a_gate()
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(together.ask, 0)
        time.sleep(0.2)
        behind = [pool.submit(together.ask, number) for number in (1, 2, 3)]
        time.sleep(0.2)
        gate.set()
        assert [one.result(10) for one in (first, *behind)] == [0, 1, 2, 3]
        assert sizes == [1, 3], "the first was alone"
        again = []
        for number in (4, 5, 6):
            again.append(pool.submit(together.ask, number))
            time.sleep(0.2)
        assert [one.result(10) for one in again] == [4, 5, 6]
    assert sizes == [1, 3, 3], "they came one after the other"
    monkeypatch.setattr(batching, "MOMENT_SECONDS", 0.01)
    assert together.ask(7) == 7
    monkeypatch.setattr(batching, "MOMENT_SECONDS", 60.0)
    began = time.monotonic()
    assert [together.ask(number) for number in range(3)] == [0, 1, 2]
    assert time.monotonic() - began < 30.0
