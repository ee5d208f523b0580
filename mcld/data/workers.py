"""Processes that read and decode: worker w of W makes every W-th row of each micro-batch."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from typing import TypeVar

from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from mcld.data.batches import interleave, read_batches
from mcld.data.reader import PairReader
from mcld.data.rows import Rows
from mcld.errors import MCLDError, WorkerError
from mcld.types import Batch

T = TypeVar("T")

DEATH_S = 10.0  # from what a dead process leaves undone to its exit code
LOOK_AGAIN_S = 0.05
NUM_AHEAD = 2  # micro-batches that each worker has ready
# What a worker yields: its rows, or, last, what is to be told to the user.
Given = Batch | MCLDError


class WorkerRows(IterableDataset[Given]):
    """What one worker reads; it learns only then which of them it is."""

    def __init__(self, reader: PairReader, *, rows: Rows, start_step: int) -> None:
        self._reader, self._rows, self._start_step = reader, rows, start_step

    def __iter__(self) -> Iterator[Given]:
        worker = get_worker_info()
        assert worker is not None
        rows = replace(self._rows, worker=worker.id, num_workers=worker.num_workers)
        try:
            yield from read_batches(self._reader, rows=rows, start_step=self._start_step)
        except MCLDError as error:  # as it is: PyTorch would add a traceback to its sentence
            yield error


def worker_batches(
    reader: PairReader, *, rows: Rows, start_step: int, num_workers: int, pin: bool
) -> Generator[Batch, None, None]:
    """The same micro-batches as `read_batches`, made by processes that live as long as this generator.

    Run it in another thread than the main one: there PyTorch would interrupt whatever runs when one dies.
    Raises what a worker raises, and WorkerError when one dies.
    """
    num_workers = min(num_workers, rows.per_piece)  # one without a row would have nothing to do
    loader = DataLoader(
        WorkerRows(reader, rows=rows, start_step=start_step),
        batch_size=None,
        num_workers=num_workers,
        prefetch_factor=NUM_AHEAD,
        collate_fn=_unchanged,
        worker_init_fn=_leave_signals_to_parent,
        # Spawn: a forked copy of a process whose libraries run threads (PyTorch, OpenCV) may hang.
        multiprocessing_context="spawn",
    )
    before = set(multiprocessing.active_children())
    arriving = iter(loader)  # one value of each worker in turn
    processes = [process for process in multiprocessing.active_children() if process not in before]
    try:
        while True:
            yield interleave([_next(arriving, processes=processes) for _ in range(num_workers)], pin=pin)
    finally:
        for process in processes:  # now, not when the last traceback that holds the iterator is forgotten
            process.kill()  # they only read
            process.join()


def _next(arriving: Iterator[Given], *, processes: list[BaseProcess]) -> Batch:
    try:
        given = next(arriving)
    except (RuntimeError, EOFError, OSError) as error:  # in whichever way of talking its death is noticed
        died = _died(processes)
        if not died:
            raise
        raise WorkerError(
            f"loader: {', '.join(_cause(process) for process in died)}; "
            "if memory (or /dev/shm) is short, lower "
            f"runtime.loader_workers (now {len(processes)}), and repeat the command"
        ) from error
    if isinstance(given, MCLDError):
        raise given
    return given


def _died(processes: list[BaseProcess]) -> list[BaseProcess]:
    """Those that ended badly, waited for; looked at again: another thread's look may hide an exit code."""
    deadline = time.monotonic() + DEATH_S
    while True:
        connection.wait([process.sentinel for process in processes], timeout=DEATH_S)
        died = [process for process in processes if process.exitcode]
        if died or time.monotonic() > deadline:
            return died
        time.sleep(LOOK_AGAIN_S)


def _cause(process: BaseProcess) -> str:
    code = process.exitcode
    assert code is not None
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return f"worker process {process.pid} {how}"


def _leave_signals_to_parent(worker_id: int) -> None:
    """A terminal, or a cluster, sends them to all processes at once: training has a checkpoint to write yet.

    Workers end when their parent lets go of them, or is gone.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _unchanged(given: T) -> T:
    return given
