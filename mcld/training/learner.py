"""The part of training that changes weights: pieces of a batch forward and backward, then one update.

A step waits for the GPU once: between the backward pass and the update, to read the sums by which all
processes decide alike whether to update at all.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mcld.config import DiffusionParams, RuntimeParams, TrainParams
from mcld.devices import on_device
from mcld.diffusion import NoiseSchedule
from mcld.errors import ConfigError
from mcld.models import MCLD
from mcld.models.acceleration import fast_attention
from mcld.training.acceleration import make_fast
from mcld.training.averaging import MovingAverage
from mcld.training.checkpoint import TrainingState
from mcld.training.distributed import Ranks, add_up, gradients_exchanged, parallel_model, share
from mcld.training.guards import Piece, SkippedSteps, memory_explained, suspect_samples
from mcld.training.interruption import StopRequests
from mcld.training.optimisation import (
    adamw,
    clip_gradients,
    gradient_norm,
    local_gradients,
    muon_and_adamw,
    step_optimizers,
)
from mcld.training.reports import StepTotals, piece_sums, read_totals
from mcld.training.schedules import learning_rate_factor
from mcld.training.step import EmbeddingFacts, PreparedBatch, StepLoss, prepared_loss


class LossHistory(nn.Module):
    """The loss of every step so far, kept with the checkpoint so that a resumed run has the whole curve."""

    loss: Tensor

    def __init__(self, num_steps: int) -> None:
        super().__init__()
        self.register_buffer("loss", torch.full((num_steps,), math.nan, dtype=torch.float64))


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenStep:
    """What came of a step."""

    totals: StepTotals
    loss: float  # NaN when it was skipped
    learning_rate: float
    data_wait_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """A model, what wraps it for several processes, its average and its optimisers."""

    model: MCLD
    wrapped: nn.Module  # what is called in training
    average: MovingAverage | None
    history: LossHistory
    optimizers: dict[str, Optimizer]
    skipped: SkippedSteps
    train: TrainParams
    diffusion: DiffusionParams
    runtime: RuntimeParams
    scaling_factor: float
    facts: EmbeddingFacts
    schedule: NoiseSchedule
    ranks: Ranks

    @classmethod
    def of(
        cls,
        model: MCLD,
        *,
        train: TrainParams,
        diffusion: DiffusionParams,
        runtime: RuntimeParams,
        scaling_factor: float,
        facts: EmbeddingFacts,
        ranks: Ranks,
    ) -> Learner:
        """Make `model` ready, in place: layout, compiler, shares, optimisers, in the order that they need.

        Raises ConfigError for settings that exclude each other.
        """
        is_shared = ranks.is_distributed and runtime.parallel == "fsdp"
        if is_shared:
            _check_shares(train, runtime=runtime)
        model.set_gradient_checkpointing(runtime.gradient_checkpointing)
        make_fast(model, runtime=runtime, device=ranks.device, keeps_layout=is_shared)
        # A model whose weights are shared out cannot be copied.
        average = MovingAverage(model, decay=train.ema_decay) if train.ema else None
        half = train.precision == "bfloat16"
        wrapped = parallel_model(model, ranks=ranks, way=runtime.parallel, half=half)
        if is_shared and average is not None:
            share(_module_of(average), ranks=ranks)
        return cls(
            model=model,
            wrapped=wrapped,
            average=average,
            history=LossHistory(train.steps),
            optimizers=_optimizers(model, train=train),
            skipped=SkippedSteps(train),
            train=train,
            diffusion=diffusion,
            runtime=runtime,
            scaling_factor=scaling_factor,
            facts=on_device(facts, device=ranks.device),
            schedule=NoiseSchedule(beta_curve=diffusion.beta_schedule),
            ranks=ranks,
        )

    @property
    def state(self) -> TrainingState:
        """All that a step changes."""
        modules: dict[str, nn.Module] = {"model": self.model, "history": self.history}
        if self.average is not None:
            modules["average"] = self.average
        return TrainingState(modules=modules, optimizers=self.optimizers)

    @property
    def averaged(self) -> MCLD:
        """The averaged weights, or where none are kept the trained ones."""
        return self.model if self.average is None else _module_of(self.average)

    @property
    def is_shared(self) -> bool:
        """Whether this process holds only a share of the weights."""
        return self.ranks.is_distributed and self.runtime.parallel == "fsdp"

    def losses(self, num_steps: int) -> list[float]:
        """Of the first steps; NaN where one was skipped."""
        losses: list[float] = self.history.loss[:num_steps].tolist()
        return losses

    def resumed(self, first_step: int) -> None:
        """Go on counting where the loaded losses end."""
        self.skipped.resumed(self.losses(first_step))

    def take_step(self, step: int, *, source: Iterator[PreparedBatch], requests: StopRequests) -> TakenStep:
        """One optimiser step on this process's pieces of the batch, or none if no number comes of it.

        What this process was asked until the sums are made counts; requests of all come back in the totals.
        """
        self.model.zero_grad(set_to_none=True)
        num_pieces = self.runtime.accumulation_steps
        sums, pieces, data_wait_s = None, [], 0.0
        for number in range(num_pieces):
            started = time.monotonic()
            piece = next(source)
            data_wait_s += time.monotonic() - started
            assert piece.batch.step == step, "the loader's batches are of another step"
            with (
                memory_explained(piece.batch, runtime=self.runtime, train=self.train),
                gradients_exchanged(self.wrapped, now=number == num_pieces - 1),
            ):
                loss = self._forward_backward(piece, num_pieces=num_pieces)
            more = piece_sums(loss, prepared=piece, num_timesteps=self.schedule.num_timesteps)
            sums = more if sums is None else sums + more
            pieces.append(Piece(batch=piece.batch, per_row=loss.per_row.detach()))
        assert sums is not None
        return self._update(step, sums=sums, pieces=pieces, stops=requests.counts, data_wait_s=data_wait_s)

    def _forward_backward(self, piece: PreparedBatch, *, num_pieces: int) -> StepLoss:
        device = self.ranks.device
        half = self.train.precision == "bfloat16"
        # Also over the backward pass, see fast_attention; reading was outside of it.
        with fast_attention(device):
            if self.runtime.cuda_graphs:
                torch.compiler.cudagraph_mark_step_begin()
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
                loss = prepared_loss(
                    self.wrapped,
                    prepared=piece,
                    scaling_factor=self.scaling_factor,
                    facts=self.facts,
                    train=self.train,
                    diffusion=self.diffusion,
                )
            # The mean over the global batch: pieces are equally large, and processes are averaged.
            torch.autograd.backward(loss.total / num_pieces if num_pieces > 1 else loss.total)
        return loss

    def _update(
        self, step: int, *, sums: Tensor, pieces: list[Piece], stops: list[float], data_wait_s: float
    ) -> TakenStep:
        gradients = local_gradients(self.model)
        totals, norm = self._agree(sums, gradients=gradients, stops=stops)
        factor = learning_rate_factor(
            step,
            schedule=self.train.schedule,
            num_steps=self.train.steps,
            warmup_steps=self.train.warmup_steps,
            final_fraction=self.train.final_learning_rate_fraction,
        )
        loss = math.nan
        if totals.is_finite:
            loss = totals.loss_sum / totals.rows
            clip_gradients(gradients, norm=norm, max_norm=self.train.max_grad_norm)
            # The first update makes the optimisers' state.
            with memory_explained(pieces[-1].batch, runtime=self.runtime, train=self.train):
                step_optimizers(self.optimizers, factor=factor)
            if self.average is not None:
                self.average.update(self.model, step=step)
            self.skipped.took_one()
        else:
            self.skipped.skipped(step=step + 1, suspects=suspect_samples(pieces))
        self.history.loss[step] = loss
        return TakenStep(
            totals=totals,
            loss=loss,
            learning_rate=self.train.learning_rate * factor,
            data_wait_s=data_wait_s,
        )

    def _agree(
        self, sums: Tensor, *, gradients: list[Tensor], stops: list[float]
    ) -> tuple[StepTotals, Tensor]:
        """The step's figures over all processes, and the gradient's norm as a tensor; waits for the GPU."""
        norm = gradient_norm(gradients, device=self.ranks.device)
        # Of shares, squares add up; replicas all have the same norm, and so its mean.
        part = norm.to(sums.dtype) ** 2 if self.is_shared else norm.to(sums.dtype) / self.ranks.num_ranks
        asked = [torch.full((), stop, dtype=sums.dtype, device=sums.device) for stop in stops]
        vector = add_up(torch.cat([sums, torch.stack([part, *asked])]), ranks=self.ranks)
        place = len(sums)
        whole_norm = vector[place].sqrt() if self.is_shared else vector[place]
        values: list[float] = torch.cat([vector, whole_norm[None]]).tolist()
        totals = read_totals(
            values[:place], gradient_norm=values[-1], stops=values[place + 1 : place + 1 + len(stops)]
        )
        return totals, whole_norm


def _optimizers(model: MCLD, *, train: TrainParams) -> dict[str, Optimizer]:
    if train.optimizer == "adamw":
        return adamw(model, learning_rate=train.learning_rate, weight_decay=train.weight_decay)
    return muon_and_adamw(
        model,
        ends=("conv_in", "conv_out"),
        kernel_learning_rate=train.kernel_learning_rate,
        learning_rate=train.learning_rate,
    )


def _check_shares(train: TrainParams, *, runtime: RuntimeParams) -> None:
    if train.optimizer == "muon":
        raise ConfigError(
            "runtime.parallel: fsdp shares out the rows of a matrix, and train.optimizer muon needs it "
            "whole; use runtime.parallel ddp, or train.optimizer adamw"
        )
    if runtime.compile:
        raise ConfigError(
            "runtime.parallel: fsdp gathers weights inside the networks that runtime.compile would compile "
            "whole; use runtime.parallel ddp, or runtime.compile false"
        )


def _module_of(average: MovingAverage) -> MCLD:
    assert isinstance(average.average, MCLD)
    return average.average
