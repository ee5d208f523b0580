"""Measure what a checkpoint costs: how long training stands still, and when the files are whole.

    python -m benchmarks.checkpoint                             the embedded tiny model
    python -m benchmarks.checkpoint --size cpu
    python -m benchmarks.checkpoint --size full --device cuda   [GPU] MCLD at full size; 70 GB on the disk

The state is that of training: model, average and AdamW. `stall_s` is what `CheckpointStore.save` holds
training up for; `complete_s` is until the folder has its name, with optimiser steps going on meanwhile, of
which the median is told beside that of undisturbed ones. A blocking save is `save` and `finish` with nothing
beside. The first save takes the memory for the copies, and so is told apart. One JSON line a result.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
import typer

from benchmarks.encoder_sizes import model_for
from benchmarks.measure import machine, measure, show, wait
from benchmarks.model_sizes import SIZES, random_model
from mcld.models import MCLD
from mcld.training.averaging import MovingAverage
from mcld.training.checkpoint import CheckpointStore, TrainingState
from mcld.training.checkpoint_folders import run_dir, step_dir
from mcld.training.optimisation import adamw, step_optimizers

Size = Literal["tiny", "cpu", "full"]
FINGERPRINT = "benchmark"


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """A model with its average and optimiser, which steps on gradients that stay the same."""

    model: MCLD
    average: MovingAverage
    state: TrainingState
    device: torch.device

    @classmethod
    def of(cls, model: MCLD, *, device: torch.device) -> Training:
        """With an optimiser that remembers a step already."""
        average = MovingAverage(model, decay=0.999)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.full_like(parameter, 1e-3)
        state = TrainingState(
            modules={"model": model, "average": average},
            optimizers=adamw(model, learning_rate=1e-5, weight_decay=0.01),
        )
        training = cls(model=model, average=average, state=state, device=device)
        training.step()
        return training

    def step(self) -> None:
        """The part of a step that writes to every tensor of the state."""
        step_optimizers(self.state.optimizers, factor=1.0)
        self.average.update(self.model, step=1000)
        wait(self.device)


def main(
    size: Annotated[Size, typer.Option(help="tiny: the embedded model; cpu; full.")] = "tiny",
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="Where the state lies.")] = "cpu",
    repeats: Annotated[int, typer.Option(min=1)] = 5,
    directory: Annotated[Path | None, typer.Option(help="Where to write; else the temporary folder.")] = None,
) -> None:
    """Save, blocking and in the background, then resume, and print what each took."""
    place = torch.device(device)
    if place.type == "cpu":
        torch.set_num_threads(2)
    model = model_for("tiny", device=place) if size == "tiny" else random_model(SIZES[size], device=place)
    training = Training.of(model, device=place)
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        report(training, size=size, repeats=repeats, directory=Path(folder))


def report(training: Training, *, size: Size, repeats: int, directory: Path) -> None:
    """One line for blocking saves, one for those in the background, one for resuming."""
    store = open_store(directory)
    store.save(training.state, step=1)
    first_stall_s = store.stall_s
    store.finish()
    common: dict[str, object] = {
        "num_bytes": store.saved[-1].num_bytes,
        "num_files": len(store.saved[-1].files),
        "parameters": sum(parameter.numel() for parameter in training.model.parameters()),
        "repeats": repeats,
    }
    blocking = [blocking_save(training, store=store, step=2 + number) for number in range(repeats)]
    figures: dict[str, dict[str, object]] = {
        "blocking save": {"median_s": middle(blocking), "best_s": round(min(blocking), 4)},
        "save": {
            "first_stall_s": round(first_stall_s, 4),
            **background_saves(training, store=store, directory=directory, repeats=repeats),
        },
        "open and resume": resumed(training, directory=directory, repeats=repeats),
    }
    for part, values in figures.items():
        show(
            {"benchmark": f"checkpoint, {size} size, {part}", **values, **common, **machine(training.device)}
        )


def blocking_save(training: Training, *, store: CheckpointStore, step: int) -> float:
    """Seconds until a save is complete, waiting for it."""
    started = time.perf_counter()
    store.save(training.state, step=step)
    store.finish()
    return time.perf_counter() - started


def background_saves(
    training: Training, *, store: CheckpointStore, directory: Path, repeats: int
) -> dict[str, object]:
    """Train on until each save is complete."""
    alone = measure(training.step, repeats=5, warm_ups=1, device=training.device)
    stalls: list[float] = []
    complete: list[float] = []
    steps: list[float] = []
    for number in range(repeats):
        started = time.perf_counter()
        step = 100 + number
        store.save(training.state, step=step)
        stalls.append(store.stall_s)
        target = step_dir(run_dir(directory, fingerprint=FINGERPRINT), step=step)
        while not target.is_dir():
            before = time.perf_counter()
            training.step()
            steps.append(time.perf_counter() - before)
        complete.append(time.perf_counter() - started)
        store.finish()
    return {
        "stall_s": middle(stalls),
        "best_stall_s": round(min(stalls), 4),
        "worst_stall_s": round(max(stalls), 4),
        "complete_s": middle(complete),
        "step_s_meanwhile": middle(steps),
        "step_s_alone": round(alone.median_s, 4),
    }


def resumed(training: Training, *, directory: Path, repeats: int) -> dict[str, object]:
    """Open the folder again and load the newest checkpoint: its files are hashed, then read."""
    opening: list[float] = []
    resuming: list[float] = []
    for _ in range(repeats):
        started = time.perf_counter()
        store = open_store(directory)
        opening.append(time.perf_counter() - started)
        assert store.resume(training.state) > 1
        wait(training.device)
        resuming.append(time.perf_counter() - started - opening[-1])
    return {"open_s": middle(opening), "resume_s": middle(resuming)}


def open_store(directory: Path) -> CheckpointStore:
    """As training does."""
    return CheckpointStore.open(directory, fingerprint=FINGERPRINT, keep_last=2, keep_every=0, facts={})


def middle(seconds: list[float]) -> float:
    """The median, to a tenth of a millisecond."""
    return round(statistics.median(seconds), 4)


if __name__ == "__main__":
    typer.run(main)
