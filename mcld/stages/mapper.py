"""Where parts are worked on: the one seam between a stage and processes, a flow or a cluster."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from mcld.errors import WorkerError

Item = TypeVar("Item")
Result = TypeVar("Result")


class Mapper(Protocol):
    """Applies a picklable function to picklable items, somewhere; results come in the items' order."""

    def map(
        self, function: Callable[[Item], Result], items: Sequence[Item], *, description: str
    ) -> Iterator[Result]:
        """Raises what `function` raises, and WorkerError when a worker dies."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialMapper:
    """In this process, one by one."""

    def map(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        *,
        description: str,
    ) -> Iterator[Result]:
        """Apply `function` lazily, item by item."""
        return map(function, items)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalMapper:
    """On a pool of processes of this machine. With one worker or one item, in this process."""

    num_workers: int

    def map(
        self, function: Callable[[Item], Result], items: Sequence[Item], *, description: str
    ) -> Iterator[Result]:
        """Apply `function` on up to `num_workers` items at a time.

        The first error cancels what has not begun.
        """
        num_workers = min(self.num_workers, len(items))
        if num_workers <= 1:
            return SerialMapper().map(function, items, description=description)
        return _map_on_pool(function, items, num_workers=num_workers, description=description)


def _map_on_pool(
    function: Callable[[Item], Result], items: Sequence[Item], *, num_workers: int, description: str
) -> Iterator[Result]:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    # Spawn: a forked copy of a process whose libraries run threads (PyTorch, OpenCV) may hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(num_workers, mp_context=context, initializer=_start_worker)
    try:
        yield from pool.map(function, items)
    except BrokenProcessPool as error:
        raise WorkerError(
            f"{description}: a worker process died (killed, or out of memory); finished parts are kept: "
            f"lower runtime.num_workers (now {num_workers}) if memory is short, and repeat the command"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    """Workers are the parallelism: libraries that start threads would get in each other's way.

    A worker also ends when its parent is killed: left alone, it would write into a folder that the repeated
    command is working on.
    """
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    from multiprocessing import connection, parent_process

    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
