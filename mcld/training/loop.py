"""The training loop: batches in, a trained model out; killed anywhere, the same call goes on bit for bit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mcld.config import DiffusionParams, TrainParams
from mcld.diffusion import NoiseSchedule
from mcld.errors import CheckpointError
from mcld.faults import passing
from mcld.models import MCLD
from mcld.progress import track
from mcld.training.acceleration import fast_attention
from mcld.training.averaging import MovingAverage
from mcld.training.checkpoint import CheckpointStore, TrainingState
from mcld.training.optimisation import adamw, apply_gradients, muon_and_adamw
from mcld.training.schedules import warmup_cosine
from mcld.training.step import EmbeddingFacts, draw_step, training_loss
from mcld.types import Batch


class BatchSource(Protocol):
    """What the loop needs of a loader: epochs whose order is a function of (seed, epoch) alone."""

    @property
    def num_batches(self) -> int:
        """Batches in an epoch."""

    def epoch(self, epoch: int, *, start_batch: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from `start_batch` on."""


class LossHistory(nn.Module):
    """The loss of every step so far, kept with the checkpoint so that a resumed run has the whole curve."""

    loss: Tensor

    def __init__(self, num_steps: int) -> None:
        super().__init__()
        self.register_buffer("loss", torch.full((num_steps,), math.nan))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """What the loop is told besides the model and the data."""

    train: TrainParams
    diffusion: DiffusionParams
    scaling_factor: float
    facts: EmbeddingFacts
    fingerprint: str  # of everything that shapes the run; a checkpoint of another fingerprint is not used
    checkpoint_dir: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingProgress:
    """What a listener sees: the model after `step` steps, averaged if asked for, and all losses so far."""

    step: int
    average: MCLD
    losses: list[float]


Listener = Callable[[TrainingProgress], None]


def train_model(
    model: MCLD,
    *,
    batches: BatchSource,
    settings: TrainingSettings,
    on_checkpoint: Listener,
    on_sample: Listener,
) -> TrainingProgress:
    """Train for `settings.train.steps` steps, resuming from the newest valid checkpoint of the same run.

    `on_checkpoint` is called after each checkpoint, `on_sample` every `sample_every_steps` and at the end.
    Raises CheckpointError when the loss is no longer a number.
    """
    params = settings.train
    average = MovingAverage(model, decay=params.ema_decay) if params.ema else None
    history = LossHistory(params.steps)
    optimizers = _optimizers(model, params=params)
    modules: dict[str, nn.Module] = {"model": model, "history": history}
    state = TrainingState(
        modules=modules | ({"average": average} if average is not None else {}), optimizers=optimizers
    )
    checkpoints = CheckpointStore.open(
        settings.checkpoint_dir, fingerprint=settings.fingerprint, keep_last=2, keep_every=0, facts={}
    )
    first = checkpoints.resume(state)
    source = _batches_from(batches, step=first)
    device = next(model.parameters()).device
    for step in track(range(first, params.steps), description="training", total=params.steps - first):
        batch = next(source)  # outside: latents made from pixels are those that the stage would have kept
        with fast_attention(device):
            loss = _train_step(model, batch=batch, optimizers=optimizers, settings=settings, step=step)
        history.loss[step] = loss
        if average is not None:
            average.update(model, step=step)
        passing("train:step")
        done = step + 1
        progress = TrainingProgress(
            step=done, average=_averaged(average) or model, losses=history.loss[:done].tolist()
        )
        if done % params.sample_every_steps == 0 or done == params.steps:
            on_sample(progress)
        if done % params.checkpoint_every_steps == 0 or done == params.steps:
            checkpoints.save(state, step=done)
            checkpoints.finish()  # the listener is told of checkpoints that are there
            on_checkpoint(progress)
    return TrainingProgress(
        step=params.steps, average=_averaged(average) or model, losses=history.loss.tolist()
    )


def _optimizers(model: MCLD, *, params: TrainParams) -> dict[str, Optimizer]:
    if params.optimizer == "adamw":
        return adamw(model, learning_rate=params.learning_rate, weight_decay=params.weight_decay)
    return muon_and_adamw(
        model,
        ends=("conv_in", "conv_out"),
        kernel_learning_rate=params.kernel_learning_rate,
        learning_rate=params.learning_rate,
    )


def _batches_from(batches: BatchSource, *, step: int) -> Iterator[Batch]:
    """Batches without end, starting where step number `step` would."""
    epoch, start_batch = divmod(step, batches.num_batches)
    while True:
        yield from batches.epoch(epoch, start_batch=start_batch)
        epoch, start_batch = epoch + 1, 0


def _train_step(
    model: MCLD,
    *,
    batch: Batch,
    optimizers: dict[str, Optimizer],
    settings: TrainingSettings,
    step: int,
) -> float:
    params = settings.train
    schedule = NoiseSchedule(beta_curve=settings.diffusion.beta_schedule)
    draws = draw_step(batch, train=params, diffusion=settings.diffusion, num_timesteps=schedule.num_timesteps)
    factor = warmup_cosine(
        step,
        num_steps=params.steps,
        warmup_steps=params.warmup_steps,
        final_fraction=params.final_learning_rate_fraction,
    )
    device = next(model.parameters()).device
    half = params.precision == "bfloat16"
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
        loss = training_loss(
            model,
            batch=batch,
            draws=draws,
            schedule=schedule,
            scaling_factor=settings.scaling_factor,
            facts=settings.facts,
            train=params,
            diffusion=settings.diffusion,
        )
    value = float(loss.total.detach())
    applied = math.isfinite(value) and apply_gradients(
        model, loss=loss.total, optimizers=optimizers, factor=factor, max_grad_norm=params.max_grad_norm
    )
    if not applied:
        raise CheckpointError(
            f"training: the loss or its gradient is not a number at step {step + 1}; "
            "the last checkpoint is kept. "
            f"Lower train.learning_rate ({params.learning_rate}) or use train.precision float32"
        )
    return value


def _averaged(average: MovingAverage | None) -> MCLD | None:
    if average is None:
        return None
    assert isinstance(average.average, MCLD)
    return average.average
