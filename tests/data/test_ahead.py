"""Values made ahead: the same ones, errors in their turn, and nothing left running."""

from __future__ import annotations

import threading
from collections.abc import Generator
from itertools import count, islice

import pytest

from mcld.data.ahead import made_ahead


def test_values_come_in_order_and_end() -> None:
    assert list(made_ahead(value for value in range(20))) == list(range(20))


def test_an_error_comes_after_the_values_before_it() -> None:
    def failing() -> Generator[int, None, None]:
        yield 1
        yield 2
        raise ValueError("three")

    values = made_ahead(failing(), num_ahead=5)
    assert list(islice(values, 2)) == [1, 2]
    with pytest.raises(ValueError, match="three"):
        next(values)


def test_no_more_are_made_than_asked_for_and_closing_ends_the_thread_and_its_source() -> None:
    made: list[int] = []
    is_closed = threading.Event()

    def endless() -> Generator[int, None, None]:
        try:
            for value in count():
                made.append(value)
                yield value
        finally:
            is_closed.set()

    before = set(threading.enumerate())
    values = made_ahead(endless(), num_ahead=3)
    assert next(values) == 0
    (maker,) = set(threading.enumerate()) - before
    while len(made) < 5:  # one is given, three wait, and one waits for room
        assert maker.is_alive()
    values.close()
    assert not maker.is_alive()
    assert is_closed.is_set()
    assert len(made) <= 6
