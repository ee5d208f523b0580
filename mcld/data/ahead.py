"""Make the next values in a thread while the last one is being used."""

from __future__ import annotations

import threading
from collections.abc import Generator
from dataclasses import dataclass
from queue import Empty, Queue
from typing import Generic, TypeVar

T = TypeVar("T")

NUM_AHEAD = 2
_DRAIN_EVERY_S = 0.02


@dataclass(frozen=True, slots=True)
class _Value(Generic[T]):
    value: T


@dataclass(frozen=True, slots=True)
class _End:
    error: BaseException | None


def made_ahead(values: Generator[T, None, None], *, num_ahead: int = NUM_AHEAD) -> Generator[T, None, None]:
    """The same values; a thread makes up to `num_ahead`, and begins another, before they are asked for.

    What making a value raises is raised in its turn. Closing this generator ends the thread, after the value
    that it is at, and closes `values` in it.
    """
    waiting: Queue[_Value[T] | _End] = Queue(maxsize=num_ahead)
    is_closed = threading.Event()
    maker = threading.Thread(
        target=_make, args=(values,), kwargs={"waiting": waiting, "is_closed": is_closed}, daemon=True
    )
    maker.start()
    try:
        while isinstance(given := waiting.get(), _Value):
            yield given.value
        if given.error is not None:
            raise given.error
    finally:
        is_closed.set()
        while maker.is_alive():  # it may wait for room to put one more
            _take(waiting)
        maker.join()


def _take(waiting: Queue[_Value[T] | _End]) -> None:
    try:
        waiting.get(timeout=_DRAIN_EVERY_S)
    except Empty:
        return


def _make(
    values: Generator[T, None, None], *, waiting: Queue[_Value[T] | _End], is_closed: threading.Event
) -> None:
    error: BaseException | None = None
    try:
        for value in values:
            waiting.put(_Value(value))
            if is_closed.is_set():
                break
        values.close()
    except BaseException as raised:  # noqa: BLE001  # it is raised where values are asked for
        error = raised
    waiting.put(_End(error))
