from __future__ import annotations

import pytest

from mcld.service.shelf import Shelf, new_id


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def shelf_of(clock: Clock, *, max_items: int = 3, max_bytes: int = 100, ttl_s: float = 10.0) -> Shelf[str]:
    return Shelf[str](max_items=max_items, max_bytes=max_bytes, ttl_s=ttl_s, clock=clock)


def test_what_is_put_is_found_by_its_id_alone(clock: Clock) -> None:
    shelf = shelf_of(clock)
    first, second = shelf.put("a", num_bytes=1), shelf.put("b", num_bytes=1)

    assert (shelf.get(first), shelf.get(second)) == ("a", "b")
    assert shelf.get(new_id()) is None


def test_ids_are_long_and_differ() -> None:
    ids = {new_id() for _ in range(1000)}

    assert len(ids) == 1000
    assert min(len(one) for one in ids) == 22


def test_what_was_not_used_longest_leaves_when_another_comes(clock: Clock) -> None:
    shelf = shelf_of(clock, max_items=2)
    first, second = shelf.put("a", num_bytes=1), shelf.put("b", num_bytes=1)
    shelf.get(first)
    shelf.put("c", num_bytes=1)

    assert shelf.get(first) == "a"
    assert shelf.get(second) is None


def test_many_leave_for_one_that_is_large(clock: Clock) -> None:
    shelf = shelf_of(clock, max_bytes=100)
    small = [shelf.put("small", num_bytes=40) for _ in range(2)]
    large = shelf.put("large", num_bytes=90)

    assert [shelf.get(key) for key in (*small, large)] == [None, None, "large"]


def test_one_that_is_larger_than_the_shelf_stays_until_the_next_comes(clock: Clock) -> None:
    shelf = shelf_of(clock, max_bytes=10)
    large = shelf.put("large", num_bytes=90)
    assert shelf.get(large) == "large"
    shelf.put("small", num_bytes=1)

    assert shelf.get(large) is None


def test_what_nobody_used_for_the_time_is_forgotten_and_use_begins_it_anew(clock: Clock) -> None:
    shelf = shelf_of(clock, ttl_s=10.0)
    used, unused = shelf.put("a", num_bytes=1), shelf.put("b", num_bytes=1)
    clock.now = 8.0
    shelf.get(used)
    clock.now = 16.0

    assert (shelf.get(used), shelf.get(unused)) == ("a", None)


def test_a_sweep_frees_what_nobody_asks_for(clock: Clock) -> None:
    shelf = shelf_of(clock, ttl_s=10.0)
    shelf.put("a", num_bytes=1)
    clock.now = 11.0
    assert len(shelf) == 1
    shelf.sweep()

    assert len(shelf) == 0


def test_lasting_items_neither_leave_nor_count_nor_can_be_removed(clock: Clock) -> None:
    shelf = shelf_of(clock, max_items=1)
    lasting = shelf.put("example", num_bytes=99, is_lasting=True)
    others = [shelf.put(name, num_bytes=99) for name in "ab"]
    clock.now = 9.0

    assert [shelf.get(key) for key in others] == [None, "b"]
    assert not shelf.remove(lasting)
    clock.now = 1e6
    assert shelf.get(lasting) == "example"


def test_what_is_removed_is_gone_and_cannot_be_removed_again(clock: Clock) -> None:
    shelf = shelf_of(clock)
    key = shelf.put("a", num_bytes=1)

    assert shelf.remove(key)
    assert shelf.get(key) is None
    assert not shelf.remove(key)
