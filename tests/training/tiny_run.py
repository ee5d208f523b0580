"""A training small enough for every test: endless batches made from sample numbers, and who listens."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mcld.config import DiffusionParams, RuntimeParams, TrainParams
from mcld.models import MCLD
from mcld.training.loop import TrainingSettings
from mcld.training.reports import StepReport, TrainingProgress
from mcld.training.step import EmbeddingFacts
from mcld.types import Batch, BatchPart, Pair
from tests.tiny_models import TINY_CONFIG

SampleId = tuple[int, int]


@dataclass(kw_only=True)
class TinyBatches:
    """Epochs of `epoch_size` samples, in the loader's order; `damaged` samples have targets that are NaN.

    `seen` is what it gave so far: ids by step and piece.
    """

    batch_size: int = 2
    epoch_size: int = 6
    damaged: frozenset[SampleId] = frozenset()
    before_step: Callable[[int], None] = lambda _step: None
    seen: list[tuple[int, tuple[SampleId, ...]]] = field(default_factory=list)

    def batches(self, *, start_step: int, part: BatchPart) -> Iterator[Batch]:
        step = start_step
        while True:
            self.before_step(step)
            numbers = range(step * self.batch_size, (step + 1) * self.batch_size)[part.rank :: part.num_ranks]
            size = len(numbers) // part.num_pieces
            for piece in range(part.num_pieces):
                ids = tuple(divmod(n, self.epoch_size) for n in numbers[piece * size : (piece + 1) * size])
                self.seen.append((step, ids))
                yield self.batch(ids, step=step)
            step += 1

    def batch(self, ids: tuple[SampleId, ...], *, step: int) -> Batch:
        rows = [self._row(one) for one in ids]
        stacked = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        pair = Pair(source="a/1_front", target="a/2_side", split="train")
        return Batch(pairs=(pair,) * len(ids), step=step, sample_ids=ids, **stacked)

    def _row(self, sample_id: SampleId) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(sample_id[1])
        iuv = torch.randint(0, 25, (3, 32, 16), generator=generator).to(torch.uint8)
        iuv[0, 0, 0], iuv[0, 0, 8] = 23, 1  # a face, and something else
        target = torch.cat([torch.full((4, 4, 2), 2.0), torch.full((4, 4, 2), -10.0)])
        return {
            "target_moments": target * float("nan") if sample_id in self.damaged else target,
            "target_iuv": iuv,
            "texture_moments": torch.randn(8, 4, 4, generator=generator),
            "image_embedding": torch.randn(8, generator=generator),
            "texture_embedding": torch.randn(8, generator=generator),
            "face_embedding": torch.randn(6, generator=generator),
            "face_found": torch.tensor(sample_id[1] % 2 == 0),
        }


@dataclass(kw_only=True)
class Recorder:
    """Remembers what it is told; calls `then` after checkpoints and samples."""

    events: list[str] = field(default_factory=list)
    reports: list[StepReport] = field(default_factory=list)
    then: Callable[[str, TrainingProgress], None] = lambda _kind, _progress: None

    def on_step(self, report: StepReport) -> None:
        self.reports.append(report)

    def on_checkpoint(self, progress: TrainingProgress) -> None:
        self.events.append(f"checkpoint {progress.step}")
        self.then("checkpoint", progress)

    def on_sample(self, progress: TrainingProgress) -> None:
        self.events.append(f"sample {progress.step}")
        self.then("sample", progress)


def tiny_model(*, dtype: torch.dtype = torch.float32) -> MCLD:
    """The same at every call."""
    torch.manual_seed(0)
    return MCLD(TINY_CONFIG).to(dtype)


def tiny_settings(
    directory: Path, *, runtime: RuntimeParams | None = None, reads_ahead: bool = True, **train: Any
) -> TrainingSettings:
    """Six steps, a checkpoint every two and a sample every three, unless `train` says otherwise."""
    params = {
        "steps": 6,
        "batch_size": 2,
        "learning_rate": 1e-2,
        "checkpoint_every_steps": 2,
        "sample_every_steps": 3,
        "warmup_steps": 1,
        **train,
    }
    return TrainingSettings(
        train=TrainParams.model_validate(params),
        diffusion=DiffusionParams(),
        runtime=runtime or RuntimeParams(),
        scaling_factor=1.0,
        facts=EmbeddingFacts(image_spread=torch.ones(8), blank=None),
        fingerprint="run",
        checkpoint_dir=directory,
        reads_ahead=reads_ahead,
    )


def with_train(settings: TrainingSettings, **changes: Any) -> TrainingSettings:
    """The same run (same fingerprint) with other settings of training."""
    return dataclasses.replace(settings, train=settings.train.model_copy(update=changes))
