"""Reading ahead keeps the order, stays a bounded number of batches ahead, and tells errors in their turn."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from mcld.errors import DataError
from mcld.stages.ahead import ahead

BATCHES = ((0, 1), (2, 3), (4,), (5, 6), (7,))


def refuse_four(number: int) -> int:
    if number == 4:
        raise DataError("number 4 is bad; repair it")
    return number * number


@pytest.mark.parametrize("num_batches", [0, 1, 2, 9])
def test_batches_come_in_order_with_what_was_read(num_batches: int) -> None:
    with ThreadPoolExecutor(3) as pool:
        found = list(ahead(BATCHES, read=lambda number: number + 10, pool=pool, num_batches=num_batches))
    assert found == [(batch, [number + 10 for number in batch]) for batch in BATCHES]


def test_no_more_than_the_given_number_of_batches_is_begun_ahead() -> None:
    begun = 0

    def batches() -> Iterator[tuple[int, ...]]:
        nonlocal begun
        for batch in BATCHES:
            begun += 1
            yield batch

    with ThreadPoolExecutor(1) as pool:
        counts = [begun for _ in ahead(batches(), read=refuse_nothing, pool=pool, num_batches=2)]
    assert counts == [3, 4, 5, 5, 5]


def test_an_error_comes_when_it_is_its_batchs_turn() -> None:
    with ThreadPoolExecutor(2) as pool:
        reading = ahead(BATCHES, read=refuse_four, pool=pool)
        assert [next(reading), next(reading)] == [((0, 1), [0, 1]), ((2, 3), [4, 9])]
        with pytest.raises(DataError, match="number 4 is bad"):
            next(reading)


def refuse_nothing(number: int) -> int:
    return number
