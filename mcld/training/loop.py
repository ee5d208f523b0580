"""The training loop: batches in, a trained model out; killed anywhere, the same call goes on bit for bit.

One loop for a processor, a GPU, and many of either. Each process runs it on its rows of every batch; what
they must agree on (is the loss a number, was anyone asked to stop) travels with the figures of the step, in
one small sum over processes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from mcld.config import DiffusionParams, RuntimeParams, TrainParams
from mcld.errors import TrainingStoppedError
from mcld.faults import passing
from mcld.models import MCLD
from mcld.progress import track
from mcld.training.checkpoint import CheckpointStore
from mcld.training.checkpoint_copies import CheckpointCopies
from mcld.training.distributed import Ranks, alone, lost_ranks_explained
from mcld.training.feeding import BatchSource, batch_part, prepared, read_ahead
from mcld.training.interruption import StopRequests, asked_by, stop_requests
from mcld.training.learner import Learner
from mcld.training.reports import StepReport, TrainingListener, TrainingProgress, memory_bytes
from mcld.training.step import EmbeddingFacts, PreparedBatch

__all__ = ["BatchSource", "TrainingListener", "TrainingProgress", "TrainingSettings", "train_model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """What the loop is told besides the model and the data."""

    train: TrainParams
    diffusion: DiffusionParams
    runtime: RuntimeParams = field(default_factory=RuntimeParams)
    scaling_factor: float
    facts: EmbeddingFacts
    fingerprint: str  # of everything that shapes the run; a checkpoint of another fingerprint is not used
    checkpoint_dir: Path
    record: Mapping[str, object] = field(default_factory=dict)  # plain data to keep with every checkpoint
    # False where making batches uses the GPU: the kernels of attention are chosen for the whole process.
    reads_ahead: bool = True
    flops_per_row: float | None = None  # forward and backward, for listeners that tell TFLOP/s


def train_model(
    model: MCLD,
    *,
    batches: BatchSource,
    settings: TrainingSettings,
    listener: TrainingListener,
    ranks: Ranks | None = None,
) -> TrainingProgress:
    """Train for `settings.train.steps` steps, resuming from the newest valid checkpoint of the same run.

    Every process calls it with the same model, on its own device. Raises CheckpointError when too many steps
    in a row have no loss, TrainingStoppedError after a SIGTERM or SIGINT (a checkpoint is saved), ConfigError
    when memory or the shape of the batch does not fit, WorkerError when another process is lost.
    """
    ranks = ranks or alone(next(model.parameters()).device)
    with lost_ranks_explained(ranks, timeout_s=settings.runtime.collective_timeout_s):
        training = _Training.begin(model, settings=settings, listener=listener, ranks=ranks)
        try:
            training.run(batches)
        except Exception:
            # The others may be gone, and finishing is done together.
            if not ranks.is_distributed:
                training.store.close()
            raise
        return training.progress(settings.train.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Training:
    """What stays the same through a training."""

    learner: Learner
    store: CheckpointStore
    settings: TrainingSettings
    listener: TrainingListener
    ranks: Ranks
    first_step: int

    @classmethod
    def begin(
        cls, model: MCLD, *, settings: TrainingSettings, listener: TrainingListener, ranks: Ranks
    ) -> _Training:
        runtime, train = settings.runtime, settings.train
        learner = Learner.of(
            model,
            train=train,
            diffusion=settings.diffusion,
            runtime=runtime,
            scaling_factor=settings.scaling_factor,
            facts=settings.facts,
            ranks=ranks,
        )
        store = CheckpointStore.open(
            settings.checkpoint_dir,
            fingerprint=settings.fingerprint,
            keep_last=runtime.keep_last_checkpoints,
            keep_every=runtime.keep_every_steps,
            facts=settings.record,
            copies=_copies(settings),
        )
        first_step = store.resume(learner.state)
        learner.resumed(first_step)
        return cls(
            learner=learner,
            store=store,
            settings=settings,
            listener=listener,
            ranks=ranks,
            first_step=first_step,
        )

    def run(self, batches: BatchSource) -> None:
        """All steps that are left."""
        with ExitStack() as stack:
            requests = stack.enter_context(stop_requests())
            source = stack.enter_context(self._source(batches))
            for step in self._steps():
                self._step(step, source=source, requests=requests)
        self.store.close()

    def progress(self, done: int) -> TrainingProgress:
        """What listeners see after `done` steps."""
        copies = self.store.copies
        return TrainingProgress(
            step=done,
            average=self.learner.averaged,
            losses=self.learner.losses(done),
            saved=tuple(self.store.saved),
            save_stall_s=self.store.stall_s,
            num_copied=0 if copies is None else copies.num_sent,
            num_copy_failures=0 if copies is None else copies.num_failed,
        )

    def _step(self, step: int, *, source: Iterator[PreparedBatch], requests: StopRequests) -> None:
        started = time.monotonic()
        taken = self.learner.take_step(step, source=source, requests=requests)
        passing("train:step")
        if self.ranks.is_first:
            report = StepReport(
                step=step + 1,
                loss=taken.loss,
                terms=taken.totals.terms,
                bin_sums=taken.totals.bin_sums,
                bin_counts=taken.totals.bin_counts,
                gradient_norm=taken.totals.gradient_norm,
                learning_rate=taken.learning_rate,
                seconds=time.monotonic() - started,
                data_wait_s=taken.data_wait_s,
                rows=taken.totals.rows,
                skipped=not taken.totals.is_finite,
                memory_bytes=memory_bytes(self.ranks.device),
            )
            self.listener.on_step(report)
        self._look_and_save(step + 1, stopping=asked_by(taken.totals.stops) is not None)
        # After the step was counted and told: this ends the training if it was one too many.
        if not taken.totals.is_finite:
            self.learner.skipped.raise_if_too_many(step=step + 1)
        asked = asked_by(taken.totals.stops)
        if asked is not None:
            self.store.close()
            raise TrainingStoppedError(
                f"training: stopped by {asked.name} after step {step + 1} of {self.settings.train.steps}, "
                "which is saved; repeat the command to go on"
            )

    def _look_and_save(self, done: int, *, stopping: bool) -> None:
        train = self.settings.train
        is_last = done == train.steps
        # Shares of a model are gathered by all processes or by none.
        looks = self.ranks.is_first or self.learner.is_shared
        if looks and (done % train.sample_every_steps == 0 or is_last):
            self.listener.on_sample(self.progress(done))
        if done % train.checkpoint_every_steps == 0 or is_last or stopping:
            self.store.save(self.learner.state, step=done)
            if self.ranks.is_first:
                self.listener.on_checkpoint(self.progress(done))

    def _source(self, batches: BatchSource) -> AbstractContextManager[Iterator[PreparedBatch]]:
        settings = self.settings
        part = batch_part(
            batch_size=settings.train.batch_size,
            num_pieces=settings.runtime.accumulation_steps,
            ranks=self.ranks,
        )
        items = prepared(
            batches.batches(start_step=self.first_step, part=part),
            train=settings.train,
            diffusion=settings.diffusion,
            schedule=self.learner.schedule,
            device=self.ranks.device,
        )
        return read_ahead(items) if settings.reads_ahead else nullcontext(items)

    def _steps(self) -> Iterator[int]:
        steps = range(self.first_step, self.settings.train.steps)
        if self.ranks.is_first:
            return track(steps, description="training", total=len(steps))
        return iter(steps)


def _copies(settings: TrainingSettings) -> CheckpointCopies | None:
    runtime = settings.runtime
    if runtime.checkpoints_url is None:
        return None
    return CheckpointCopies.at(
        runtime.checkpoints_url,
        fingerprint=settings.fingerprint,
        keep_last=runtime.keep_last_checkpoints,
        keep_every=runtime.keep_every_steps,
    )
