"""Mappers keep order, pass errors on, and say when a worker dies."""

from __future__ import annotations

import os
import signal

import pytest

from mcld.errors import DataError, WorkerError
from mcld.stages.mapper import LocalMapper, Mapper, SerialMapper


def square(number: int) -> int:
    return number * number


def refuse(number: int) -> int:
    if number == 2:
        raise DataError("item 2 is bad; repair it")
    return number


def die(number: int) -> int:
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("mapper", [SerialMapper(), LocalMapper(num_workers=1), LocalMapper(num_workers=2)])
def test_results_come_in_order_and_errors_as_raised(mapper: Mapper) -> None:
    assert list(mapper.map(square, range(5), description="squares")) == [0, 1, 4, 9, 16]
    with pytest.raises(DataError, match="item 2 is bad"):
        list(mapper.map(refuse, range(4), description="refuse"))


def test_dead_worker_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(
        WorkerError, match=r"texture: a worker process died .*lower runtime\.num_workers \(now 2\)"
    ):
        list(LocalMapper(num_workers=2).map(die, range(4), description="texture"))
