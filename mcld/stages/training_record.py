"""What training leaves for people beside the model: sample grids, the loss curve, points in MLflow."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from diffusers import AutoencoderKL
from torch import Tensor

from mcld.config import GenerateParams, Params
from mcld.data.codec import encode_png
from mcld.data.loader import Samples
from mcld.diffusion import NoiseSchedule, seeded_generators
from mcld.evaluation.pictures import colour_iuv, stack_grid
from mcld.evaluation.protocols import to_8_bit
from mcld.faults import passing
from mcld.inference.generate import Generator
from mcld.inference.test_pairs import choose_test_pairs, pair_seed
from mcld.models import MCLD
from mcld.stages.training_metrics import STEPS_PER_POINT, window_metrics
from mcld.storage import write_bytes, write_json
from mcld.tracking import TrackedRun
from mcld.training.reports import StepReport, TrainingProgress

LOSS_NAME = "loss.csv"
# The same for every run, whatever the generate stage is told: grids of two runs can then be compared.
SAMPLING = GenerateParams()


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRenderer:
    """Renders the fixed sample pairs. As a listener it throws them away: some processes must join in only."""

    vae: AutoencoderKL
    samples: Samples
    schedule: NoiseSchedule
    num_pairs: int

    def render(self, model: MCLD) -> np.ndarray:
        """(H, W, 3) uint8: the grid of `sample_grid`."""
        generator = Generator(model=model, vae=self.vae, schedule=self.schedule)
        return sample_grid(generator, samples=self.samples, num_pairs=self.num_pairs)

    def on_step(self, report: StepReport) -> None:
        """Nothing to do."""

    def on_checkpoint(self, progress: TrainingProgress) -> None:
        """Nothing to do."""

    def on_sample(self, progress: TrainingProgress) -> None:
        """Render with the others."""
        self.render(progress.average)


@dataclass(slots=True, kw_only=True)
class TrainingRecord:
    """What the first process tells MLflow and leaves as pictures. A point that is there is not told again."""

    params: Params
    tracked: TrackedRun
    renderer: SampleRenderer
    samples_dir: Path
    peak_tflops: float | None  # of all GPUs together
    flops_per_row: float | None
    _window: list[StepReport] = field(default_factory=list, init=False)
    _num_skipped: int = field(default=0, init=False)
    _told_checkpoints: set[int] = field(default_factory=set, init=False)

    def on_step(self, report: StepReport) -> None:
        """The loss of every step; what is averaged over steps after every tenth of them."""
        self._num_skipped += report.skipped
        if not report.skipped:
            self.tracked.log_metrics({"train.loss": report.loss}, step=report.step)
        self._window.append(report)
        if report.step % STEPS_PER_POINT == 0 or report.step == self.params.train.steps:
            facts = window_metrics(
                self._window,
                flops_per_row=self.flops_per_row,
                peak_tflops=self.peak_tflops,
            )
            skipped = {"train.skipped_steps": float(self._num_skipped)}
            self.tracked.log_metrics(facts | skipped, step=report.step)
            self._window.clear()

    def on_checkpoint(self, progress: TrainingProgress) -> None:
        """Where whole checkpoints lie, and how long the last one kept training waiting."""
        self.tracked.log_metrics({"train.checkpoint_stall_s": progress.save_stall_s}, step=progress.step)
        self.tell_checkpoints(progress)

    def tell_checkpoints(self, progress: TrainingProgress) -> None:
        """Checkpoints that are whole on disk by now, once each, and how many were copied."""
        for checkpoint in progress.saved:
            if checkpoint.step not in self._told_checkpoints:
                self._told_checkpoints.add(checkpoint.step)
                self.tracked.log_checkpoint(
                    checkpoint.path,
                    sha256=checkpoint.sha256,
                    step=checkpoint.step,
                    upload=self.params.runtime.upload_checkpoints,
                )
        if self.params.runtime.checkpoints_url is not None:
            counts = {
                "train.checkpoints_copied": float(progress.num_copied),
                "train.checkpoint_copy_failures": float(progress.num_copy_failures),
            }
            # The last ones are told twice: when they are on their way, and when they have arrived.
            self.tracked.log_metrics(counts, step=progress.step, corrects=True)

    def on_sample(self, progress: TrainingProgress) -> None:
        """Render the fixed sample pairs with the averaged weights."""
        path = self.samples_dir / f"step-{progress.step:06d}.png"
        write_bytes(path, data=encode_png(self.renderer.render(progress.average)))
        passing("train:sample_written")
        self.tracked.log_image(path, key="samples", step=progress.step)


def sample_grid(generator: Generator, *, samples: Samples, num_pairs: int) -> np.ndarray:
    """(H, W, 3) uint8: a row a pair with source, target pose, generated, target.

    Source and target are shown as decoded from their latents, all in the model's frame.
    """
    pairs = choose_test_pairs(samples.pairs, num_pairs=num_pairs)
    chosen = [samples.sample_for(source=pair.source, target=pair.target) for pair in pairs]
    sources = [samples.sample_for(source=pair.source, target=pair.source) for pair in pairs]
    seeds = [pair_seed(SAMPLING.seed, source=pair.source, target=pair.target) for pair in pairs]
    columns = [
        _pictures(generator.reconstruct(sources)),
        [colour_iuv(item.target_iuv) for item in chosen],
        _pictures(generator.render(chosen, generator=seeded_generators(seeds), params=SAMPLING)),
        _pictures(generator.reconstruct(chosen)),
    ]
    return stack_grid([list(row) for row in zip(*columns, strict=True)])


def write_loss(losses: Sequence[float], *, metrics_dir: Path) -> None:
    """Write the curve (loss.csv) and its end (train.json), for DVC and for the report."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["step", "loss"])
    writer.writerows([step + 1, f"{loss:.6f}"] for step, loss in enumerate(losses))
    write_bytes(metrics_dir / LOSS_NAME, data=text.getvalue().encode())
    metrics = {
        "final_loss": round(losses[-1], 6),
        "mean_loss_of_last_100": round(float(np.mean(losses[-100:])), 6),
        "steps": len(losses),
    }
    write_json(metrics_dir / "train.json", value=metrics)


def _pictures(images: Tensor) -> list[np.ndarray]:
    return [to_8_bit(image) for image in images.permute(0, 2, 3, 1).numpy()]
