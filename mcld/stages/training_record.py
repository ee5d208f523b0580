"""What training leaves for people beside the model: sample grids, the loss curve, points in MLflow."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from diffusers import AutoencoderKL
from torch import Tensor

from mcld.config import GenerateParams, TrainParams
from mcld.data.codec import encode_png
from mcld.data.loader import Samples
from mcld.diffusion import NoiseSchedule, seeded_generators
from mcld.evaluation.pictures import colour_iuv, stack_grid
from mcld.evaluation.protocols import to_8_bit
from mcld.faults import passing
from mcld.inference.generate import Generator
from mcld.inference.test_pairs import choose_test_pairs, pair_seed
from mcld.storage import write_bytes, write_json
from mcld.tracking import TrackedRun
from mcld.training.reports import StepReport, TrainingProgress

LOSS_NAME = "loss.csv"
# The same for every run, whatever the generate stage is told: grids of two runs can then be compared.
SAMPLING = GenerateParams()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecord:
    """Listens to the loop, at moments that a resumed run meets again at the same steps."""

    train: TrainParams
    samples_dir: Path
    vae: AutoencoderKL
    samples: Samples
    schedule: NoiseSchedule
    tracked: TrackedRun

    def on_step(self, report: StepReport) -> None:
        """Nothing of a single step: losses are logged at checkpoints."""

    def on_checkpoint(self, progress: TrainingProgress) -> None:
        """Log the losses since the last checkpoint: a killed run then repeats none of them."""
        every = self.train.checkpoint_every_steps
        first = (progress.step - 1) // every * every
        points = [(step + 1, progress.losses[step]) for step in range(first, progress.step)]
        self.tracked.log_series("train.loss", values=points)

    def on_sample(self, progress: TrainingProgress) -> None:
        """Render the fixed sample pairs with the averaged weights."""
        generator = Generator(model=progress.average, vae=self.vae, schedule=self.schedule)
        grid = sample_grid(generator, samples=self.samples, num_pairs=self.train.num_sample_pairs)
        path = self.samples_dir / f"step-{progress.step:06d}.png"
        write_bytes(path, data=encode_png(grid))
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
