"""Which pairs of the endless training stream a process, or one of its workers, puts into its batches.

Epochs of P pairs follow each other without end; step s takes pairs sB … (s + 1)B - 1 of that stream, B being
the global batch. So the stream's position is the step, and every batch is full.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np

from mcld.errors import ConfigError
from mcld.types import BatchPart


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroBatch:
    """What one piece of a step holds."""

    step: int
    sample_ids: tuple[tuple[int, int], ...]  # (epoch, index in it) by row


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows of every global batch: those of a process, or of its worker w of W, every W-th of each piece."""

    batch_size: int  # global
    num_pairs: int  # an epoch
    part: BatchPart
    worker: int = 0
    num_workers: int = 1

    def __post_init__(self) -> None:
        """Raises ConfigError when the global batch is not divisible."""
        ranks, pieces = self.part.num_ranks, self.part.num_pieces
        if self.batch_size % (ranks * pieces):
            raise ConfigError(
                f"train.batch_size: {self.batch_size} is not divisible by {ranks} processes "
                f"x {pieces} accumulation steps; make it a multiple of {ranks * pieces}"
            )

    @property
    def per_piece(self) -> int:
        """Rows of one micro-batch of the process, over all its workers."""
        return self.batch_size // (self.part.num_ranks * self.part.num_pieces)

    def first_epoch(self, start_step: int) -> int:
        """The epoch in which a step begins."""
        return start_step * self.batch_size // self.num_pairs

    def indices(self, epoch: int, *, start_step: int) -> np.ndarray:
        """(N,) int64, rising: which pairs of an epoch's order are among the rows from `start_step` on."""
        start, end = epoch * self.num_pairs, (epoch + 1) * self.num_pairs
        position = np.arange(max(start, start_step * self.batch_size), end)
        row = position % self.batch_size
        number = row // self.part.num_ranks % self.per_piece  # within its micro-batch
        mine = (row % self.part.num_ranks == self.part.rank) & (number % self.num_workers == self.worker)
        chosen: np.ndarray = position[mine] - start
        return chosen

    def micro_batches(self, start_step: int) -> Iterator[MicroBatch]:
        """All pieces of all steps from `start_step` on, without end."""
        numbers = range(self.worker, self.per_piece, self.num_workers)
        for step in count(start_step):
            for piece in range(self.part.num_pieces):
                rows = [
                    self.part.rank + self.part.num_ranks * (piece * self.per_piece + number)
                    for number in numbers
                ]
                ids = tuple(divmod(step * self.batch_size + row, self.num_pairs) for row in rows)
                yield MicroBatch(step=step, sample_ids=ids)
