"""What ends a training, or skips a step of it, with a sentence: no number, no memory."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from mcld.config import RuntimeParams, TrainParams
from mcld.errors import CheckpointError, ConfigError
from mcld.types import Batch

# What PyTorch's allocator for the CPU says, in a plain RuntimeError.
NO_MEMORY_WORDS = ("can't allocate memory", "not enough memory")
MAX_NAMED = 8

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A batch that was worked off, and the losses of its rows."""

    batch: Batch
    per_row: Tensor  # (B,)


class SkippedSteps:
    """Counts the steps in a row that were skipped."""

    def __init__(self, train: TrainParams) -> None:
        self._train = train
        self._in_row = 0
        self._suspects = ""

    def resumed(self, losses: list[float]) -> None:
        """Go on counting after these losses, NaN for each skipped step."""
        numbers = [number for number, loss in enumerate(losses, start=1) if not math.isnan(loss)]
        self._in_row = len(losses) - (numbers[-1] if numbers else 0)

    def took_one(self) -> None:
        """A step was not skipped."""
        self._in_row = 0

    def skipped(self, *, step: int, suspects: list[tuple[int, int]]) -> None:
        """Step number `step` (from 1) was skipped; `suspects` are the sample ids that may be why."""
        self._in_row += 1
        named = ", ".join(f"{epoch}:{index}" for epoch, index in suspects[:MAX_NAMED])
        self._suspects = f"samples (epoch:index) {named}{' ...' if len(suspects) > MAX_NAMED else ''}"
        logger.warning(
            "training: the loss or its gradient is not a number at step %d; the step is skipped; %s",
            step,
            self._suspects,
        )

    def raise_if_too_many(self, *, step: int) -> None:
        """Raise CheckpointError after `train.max_skipped_steps` in a row, of which `step` was the last."""
        if self._in_row < self._train.max_skipped_steps:
            return
        raise CheckpointError(
            f"training: the loss or its gradient is not a number at step {step}, the last of {self._in_row} "
            f"skipped in a row (train.max_skipped_steps); {self._suspects}. The last checkpoint is kept, and "
            f"its weights are good. Lower train.learning_rate ({self._train.learning_rate}), use "
            "train.precision float32, or look at these samples"
        )


def suspect_samples(pieces: list[Piece]) -> list[tuple[int, int]]:
    """The ids of the rows whose loss is not a number, or of all rows if every loss is one."""
    ids = [one for piece in pieces for one in piece.batch.sample_ids]
    losses = [loss for piece in pieces for loss in piece.per_row.tolist()]
    bad = [one for one, loss in zip(ids, losses, strict=True) if not math.isfinite(loss)]
    return bad or ids


@contextmanager
def memory_explained(batch: Batch, *, runtime: RuntimeParams, train: TrainParams) -> Iterator[None]:
    """Within it, running out of memory is a ConfigError saying what was held and what to lower."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        reason = str(error).partition("\n")[0] or "out of memory"
        is_memory = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not is_memory and not any(word in str(error) for word in NO_MEMORY_WORDS):
            raise
        height, width = batch.target_iuv.shape[2:]
        raise ConfigError(
            f"training: {len(batch.sample_ids)} rows at once in this process, at {height} x {width} pixels, "
            f"do not fit into memory ({reason}). {_remedies(runtime, train=train)}; then repeat the command"
        ) from error


def _remedies(runtime: RuntimeParams, *, train: TrainParams) -> str:
    remedies = [
        f"raise runtime.accumulation_steps ({runtime.accumulation_steps}): same result, smaller pieces",
        *([] if runtime.gradient_checkpointing else ["set runtime.gradient_checkpointing to true"]),
        *([] if runtime.parallel == "fsdp" else ["set runtime.parallel to fsdp, with several processes"]),
        f"or lower train.batch_size ({train.batch_size}): another training",
    ]
    text = ", ".join(remedies)
    return text[0].upper() + text[1:]
