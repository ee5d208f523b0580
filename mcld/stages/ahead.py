"""Read ahead: threads prepare the next batches while a model works on this one, so that no GPU waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Value = TypeVar("Value")

NUM_BATCHES_AHEAD = 2


def ahead(
    batches: Iterable[Sequence[Item]],
    *,
    read: Callable[[Item], Value],
    pool: ThreadPoolExecutor,
    num_batches: int = NUM_BATCHES_AHEAD,
) -> Iterator[tuple[Sequence[Item], list[Value]]]:
    """Each batch, in order, with what `read` makes of its items; up to `num_batches` more are begun by then.

    Raises what `read` raises, when the batch's turn comes.
    """
    waiting: deque[tuple[Sequence[Item], list[Future[Value]]]] = deque()
    for batch in batches:
        waiting.append((batch, [pool.submit(read, item) for item in batch]))
        if len(waiting) > num_batches:
            yield _waited_for(waiting.popleft())
    while waiting:
        yield _waited_for(waiting.popleft())


def _waited_for(begun: tuple[Sequence[Item], list[Future[Value]]]) -> tuple[Sequence[Item], list[Value]]:
    batch, futures = begun
    return batch, [future.result() for future in futures]
