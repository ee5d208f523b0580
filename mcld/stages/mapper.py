"""Where parts are worked on: the one seam between a stage and processes, a flow or a cluster."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from mcld.config import RuntimeParams, num_workers
from mcld.devices import VISIBLE_DEVICES, visible_device_ids
from mcld.errors import WorkerError

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

    from mcld.workspace import Workspace

# OpenMP, two libraries of linear algebra, OpenCV
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")

Item = TypeVar("Item")
Result = TypeVar("Result")


class Mapper(Protocol):
    """Applies a picklable function to picklable items, somewhere; results come in the items' order."""

    def map(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        *,
        description: str,
        uses_device: bool = False,
    ) -> Iterator[Result]:
        """With `uses_device` one worker a GPU, each seeing its own GPU alone; without GPUs one worker.

        Raises what `function` raises, and WorkerError when a worker dies.
        """
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
        uses_device: bool = False,
    ) -> Iterator[Result]:
        """Apply `function` lazily, item by item."""
        return map(function, items)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalMapper:
    """On a pool of processes of this machine. With one worker or one item, in this process.

    `device_ids` are the GPUs to use, as CUDA_VISIBLE_DEVICES spells them; None: all that PyTorch sees.
    """

    num_workers: int
    device_ids: tuple[str, ...] | None = None

    def map(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        *,
        description: str,
        uses_device: bool = False,
    ) -> Iterator[Result]:
        """Apply `function` on up to `num_workers` items at a time, or on one a GPU.

        The first error cancels what has not begun.
        """
        workers = self._device_workers() if uses_device else [_WorkerPlace()] * self.num_workers
        workers = workers[: len(items)]
        if len(workers) <= 1:
            return SerialMapper().map(function, items, description=description)
        return _map_on_pool(function, items, places=workers, description=description)

    def _device_workers(self) -> list[_WorkerPlace]:
        device_ids = visible_device_ids() if self.device_ids is None else self.device_ids
        num_threads = max(1, self.num_workers // max(1, len(device_ids)))
        return [_WorkerPlace(device_id=device_id, num_threads=num_threads) for device_id in device_ids]


@dataclass(frozen=True, slots=True, kw_only=True)
class _WorkerPlace:
    """What one worker process has to itself. Workers without a GPU are the parallelism: one thread each."""

    device_id: str | None = None
    num_threads: int = 1


def mapper_of(runtime: RuntimeParams, *, workspace: Workspace) -> Mapper:
    """What `runtime.mapper` names, for the stages of a workspace that is locked while they run."""
    if runtime.mapper == "ray":
        from mcld.stages.ray_mapper import RayMapper

        return RayMapper.of(runtime, workspace=workspace)
    return local_mapper(runtime)


def local_mapper(runtime: RuntimeParams) -> LocalMapper:
    """The mapper of a machine: its cores, and its GPUs unless `runtime.device` forbids them."""
    device_ids = () if runtime.device == "cpu" else None
    return LocalMapper(num_workers=num_workers(runtime), device_ids=device_ids)


def _map_on_pool(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    places: Sequence[_WorkerPlace],
    description: str,
) -> Iterator[Result]:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    # Spawn: a forked copy of a process whose libraries run threads (PyTorch, OpenCV) may hang.
    context = multiprocessing.get_context("spawn")
    free_places = context.Queue()
    for place in places:
        free_places.put(place)
    pool = ProcessPoolExecutor(
        len(places), mp_context=context, initializer=_start_worker, initargs=(free_places,)
    )
    try:
        yield from pool.map(function, items)
    except BrokenProcessPool as error:
        remedy = (
            f"lower runtime.num_workers (now {len(places)})"
            if places[0].device_id is None
            else f"lower {description}.batch_size"
        )
        raise WorkerError(
            f"{description}: a worker process died (killed, or out of memory); finished parts are kept: "
            f"{remedy} if memory is short, and repeat the command"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker(free_places: Queue[_WorkerPlace]) -> None:
    """Take a place: libraries that start more threads than theirs would get in each other's way.

    A worker also ends when its parent is killed: left alone, it would write into a folder that the repeated
    command is working on.
    """
    place = free_places.get()
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(place.num_threads)
    if "torch" in sys.modules:  # a script that imports it at the top did so here too, before this was said
        import torch

        torch.set_num_threads(place.num_threads)
    if place.device_id is not None:
        os.environ[VISIBLE_DEVICES] = place.device_id  # before PyTorch looks: then this GPU is its only one
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    from multiprocessing import connection, parent_process

    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
