"""From a loader's batches to batches on the device with their noise drawn, some ahead of the model."""

from __future__ import annotations

import dataclasses
import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from mcld.config import DiffusionParams, TrainParams
from mcld.diffusion import NoiseSchedule
from mcld.training.distributed import Ranks
from mcld.training.placement import check_shares
from mcld.training.step import PreparedBatch, StepDraws, draw_step, prepare_batch
from mcld.types import Batch, BatchPart

Item = TypeVar("Item")
NUM_AHEAD = 2  # batches waiting: one hides a slow read, more only take memory
POLL_S = 0.1
JOIN_S = 5.0


class BatchSource(Protocol):
    """What training needs of a loader: an endless stream whose order is a function of the seed alone."""

    def batches(self, *, start_step: int, part: BatchPart) -> Iterator[Batch]:
        """A process's batches from `start_step` on, `part.num_pieces` a step."""


def batch_part(*, batch_size: int, num_pieces: int, ranks: Ranks) -> BatchPart:
    """What this process takes of every global batch. Raises ConfigError when that is no whole number."""
    check_shares(batch_size, num_ranks=ranks.num_ranks, num_pieces=num_pieces)
    return BatchPart(rank=ranks.rank, num_ranks=ranks.num_ranks, num_pieces=num_pieces)


def prepared(
    batches: Iterable[Batch],
    *,
    train: TrainParams,
    diffusion: DiffusionParams,
    schedule: NoiseSchedule,
    device: torch.device,
) -> Generator[PreparedBatch, None, None]:
    """Draw each batch's randomness and start its way to the device."""
    for batch in batches:
        draws = draw_step(batch, train=train, diffusion=diffusion, num_timesteps=schedule.num_timesteps)
        if device.type == "cuda":
            draws = _pinned(draws)
        yield prepare_batch(batch, draws=draws, schedule=schedule, device=device)


@contextmanager
def read_ahead(items: Generator[Item, None, None], *, num_ahead: int = NUM_AHEAD) -> Iterator[Iterator[Item]]:
    """The same items, made by a thread while the caller is busy. What the thread raises, the caller gets."""
    reader = _Reader(items, num_ahead=num_ahead)
    thread = threading.Thread(target=reader.make_all, name="read-ahead", daemon=True)
    thread.start()
    try:
        yield reader.take_all()
    finally:
        reader.stopping.set()
        thread.join(timeout=JOIN_S)
        if not thread.is_alive():  # else it still waits for a read, and may not be interrupted
            items.close()


@dataclasses.dataclass(frozen=True, slots=True)
class _End:
    """After the last item: why there are no more, if that is an error."""

    error: BaseException | None


class _Reader(Generic[Item]):
    def __init__(self, items: Iterator[Item], *, num_ahead: int) -> None:
        self._items = items
        self._made: queue.Queue[Item | _End] = queue.Queue(maxsize=num_ahead)
        self.stopping = threading.Event()

    def make_all(self) -> None:
        """In the thread: put items until there are no more, or nobody wants them."""
        try:
            for item in self._items:
                self._put(item)
                if self.stopping.is_set():
                    return
        except BaseException as error:  # noqa: BLE001  # raised again where it is asked for
            self._put(_End(error))
        else:
            self._put(_End(None))

    def take_all(self) -> Iterator[Item]:
        """Of the caller: the items, in order."""
        while True:
            item = self._made.get()
            if not isinstance(item, _End):
                yield item
                continue
            if item.error is not None:
                raise item.error
            return

    def _put(self, item: Item | _End) -> None:
        while not self.stopping.is_set():
            try:
                self._made.put(item, timeout=POLL_S)
            except queue.Full:
                continue
            return


def _pinned(draws: StepDraws) -> StepDraws:
    fields = {field.name: getattr(draws, field.name) for field in dataclasses.fields(draws)}
    return StepDraws(**{name: item.pin_memory() for name, item in fields.items() if isinstance(item, Tensor)})
