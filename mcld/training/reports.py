"""What training tells of itself: of every step, and at checkpoints and samples.

All figures of a step are sums over the rows of all processes. They travel in one small vector: one
collective and one wait for the GPU a step, which the guard against losses that are no numbers needs anyway.
"""

from __future__ import annotations

import math
import resource
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from mcld.models import MCLD
from mcld.training.step import PreparedBatch, StepLoss
from mcld.types import Checkpoint

NUM_BINS = 10  # of timesteps


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """One optimiser step, over all processes."""

    step: int  # counted from 1
    loss: float  # mean over the global batch; NaN when skipped
    terms: Mapping[str, float]  # mean squared error of v on "face" and "rest" cells, where there are any
    bin_sums: tuple[float, ...]  # by tenth of the timesteps: of the losses of its rows
    bin_counts: tuple[int, ...]  # rows; add both up over steps
    gradient_norm: float  # before clipping
    learning_rate: float
    seconds: float  # from the end of the last step, whatever listeners did in between left out
    data_wait_s: float  # of them, waiting for batches, in this process
    rows: int
    skipped: bool  # loss or gradient is not a number: nothing was changed
    memory_bytes: int  # most ever in use: of the GPU where there is one, else of this process


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingProgress:
    """The model after `step` steps, averaged if asked for, and all losses so far, NaN for skipped steps."""

    step: int
    average: MCLD
    losses: list[float]
    saved: tuple[Checkpoint, ...] = ()  # whole on disk by now; the newest may still be on its way
    save_stall_s: float = 0.0  # what the last save kept training waiting
    num_copied: int = 0  # checkpoints that this process has sent to the object store
    num_copy_failures: int = 0


class TrainingListener(Protocol):
    """Is told by the first process. What it does in between changes nothing in training."""

    def on_step(self, report: StepReport) -> None:
        """Called after every step."""

    def on_checkpoint(self, progress: TrainingProgress) -> None:
        """Called after every checkpoint; its files may still be being written."""

    def on_sample(self, progress: TrainingProgress) -> None:
        """Called every `sample_every_steps` and at the end: look at `progress.average`.

        With shares of the model (fsdp) every process is told: each must render, as often as the first one
        does, and all but the first throw away what they get.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTotals:
    """A step's vector, added up and read."""

    loss_sum: float
    rows: int
    gradient_norm: float
    terms: Mapping[str, float]
    bin_sums: tuple[float, ...]
    bin_counts: tuple[int, ...]
    stops: list[float]  # by signal, how many processes were asked to stop

    @property
    def is_finite(self) -> bool:
        """Whether loss and gradient are numbers on every process."""
        return math.isfinite(self.loss_sum) and math.isfinite(self.gradient_norm)


def piece_sums(loss: StepLoss, *, prepared: PreparedBatch, num_timesteps: int) -> Tensor:
    """(6 + 2 * NUM_BINS,) float64: what a piece of a batch adds to its step. Asks nothing of the CPU."""
    per_row = loss.per_row.detach().double()
    timestep = prepared.draws.timestep
    bins = torch.arange(NUM_BINS, device=timestep.device)
    is_in_bin = (timestep * NUM_BINS // num_timesteps)[:, None] == bins
    in_bin = torch.where(is_in_bin, per_row[:, None], torch.zeros_like(per_row)[:, None])
    regions = loss.regions
    single = [
        per_row.sum(),
        torch.full_like(loss.total, float(len(per_row))).detach(),
        regions.face_sum,
        regions.face_cells,
        regions.rest_sum,
        regions.rest_cells,
    ]
    return torch.cat(
        [torch.stack([value.to(per_row.dtype) for value in single]), in_bin.sum(0), is_in_bin.sum(0)]
    )


def read_totals(sums: list[float], *, gradient_norm: float, stops: list[float]) -> StepTotals:
    """Name the numbers of `piece_sums`, added up over pieces and processes."""
    loss_sum, rows, face_sum, face_cells, rest_sum, rest_cells = sums[:6]
    regions = {"face": (face_sum, face_cells), "rest": (rest_sum, rest_cells)}
    return StepTotals(
        loss_sum=loss_sum,
        rows=round(rows),
        gradient_norm=gradient_norm,
        terms={name: total / cells for name, (total, cells) in regions.items() if cells > 0},
        bin_sums=tuple(sums[6 : 6 + NUM_BINS]),
        bin_counts=tuple(round(count) for count in sums[6 + NUM_BINS : 6 + 2 * NUM_BINS]),
        stops=stops,
    )


def memory_bytes(device: torch.device) -> int:
    """The most memory that was ever in use at once."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
