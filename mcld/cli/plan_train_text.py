"""The text of `mcld plan train`."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING

from mcld.training.gpus import RESERVED_SHARE
from mcld.training.plan import GIB

if TYPE_CHECKING:
    from mcld.cli.plan_train import TrainingPlan

WIDTH = 100
LABEL = 18


def describe(plan: TrainingPlan) -> str:
    """Sections of labelled figures, then what is assumed or does not go together."""
    sections = (
        ("parameters", _parameters(plan)),
        ("memory of a process", _memory(plan)),
        ("batch", _batch(plan)),
        ("work", _work(plan)),
        ("data", _data(plan)),
        ("checkpoints", _checkpoints(plan)),
    )
    lines = [f"plan of train, for {_target(plan)}", f"  model from {plan.model_from}"]
    for name, rows in sections:
        lines += ["", name, *rows]
    notes = (*plan.batch.remedies, *plan.notes)
    if notes:
        lines += ["", "note"]
        for note in notes:
            lines += textwrap.wrap(note, width=WIDTH, initial_indent="  - ", subsequent_indent="    ")
    return "\n".join(lines)


def _target(plan: TrainingPlan) -> str:
    count = plan.batch.num_processes
    processes = f"{count} process{'es' if count > 1 else ''}"
    if plan.gpu is None and plan.memory_gib is None:
        return f"{processes}, no GPU"
    name = plan.gpu.name if plan.gpu is not None else "a GPU"
    return f"{processes} on {name} with {plan.memory_gib:.1f} GiB"


def _parameters(plan: TrainingPlan) -> Iterable[str]:
    yield f"  {'':<{LABEL}}{'trained':>12}{'frozen':>12}"
    for network in plan.networks:
        yield f"  {network.name:<{LABEL}}{_millions(network.num_trained)}{_millions(network.num_frozen)}"
    trained = sum(network.num_trained for network in plan.networks)
    frozen = sum(network.num_frozen for network in plan.networks)
    yield f"  {'together':<{LABEL}}{_millions(trained)}{_millions(frozen)}"


def _memory(plan: TrainingPlan) -> Iterable[str]:
    memory, rows = plan.memory, plan.batch.rows
    for name, num_bytes in memory.parts.items():
        yield _row(name, _bytes(num_bytes))
    half = "weights in bfloat16, and " if plan.precision == "bfloat16" else ""
    if memory.step_constant >= 2**20:
        yield _row("step, any rows", f"{_bytes(memory.step_constant)}  {half}what does not grow")
    how = ["recomputed in the backward pass"] if plan.recomputes else []
    how.append(
        "torch.compile, from one measurement" if plan.is_compiled else "eager; torch.compile needs less"
    )
    yield _row(
        f"step, {rows:g} rows",
        f"{_bytes(rows * memory.step_per_row)}  {_bytes(memory.step_per_row)} a row; {', '.join(how)}",
    )
    yield _row("at the peak", _bytes(memory.fixed + rows * memory.step_per_row))


def _batch(plan: TrainingPlan) -> Iterable[str]:
    batch = plan.batch
    yield _row(
        "rows at once",
        f"{batch.rows:g} = {batch.batch_size} / (processes {batch.num_processes} x "
        f"accumulation steps {batch.accumulation_steps})",
    )
    if batch.max_rows is None:
        yield _row("rows that fit", "unknown: no GPU named")
        return
    verdict = "fits" if batch.rows <= batch.max_rows else "DOES NOT FIT, see the notes"
    yield _row(
        "rows that fit",
        f"{batch.max_rows}, with {RESERVED_SHARE:.0%} left to driver and allocator: {verdict}",
    )


def _work(plan: TrainingPlan) -> Iterable[str]:
    work = plan.work
    yield _row("an image", f"{_scaled(work.flops_per_image)}FLOP forward and backward (multiply-add = 2)")
    if work.images_per_s is None or work.peak_tflops is None or work.seconds is None:
        yield _row("images a second", "unknown: no known GPU named")
        return
    basis = "assumed"
    if work.is_measured:
        basis = f"measured there at full size, {64 if plan.is_compiled else 32} rows; fewer reach less"
    yield _row("rate", f"{work.share_of_peak:.1%} of {work.peak_tflops:g} TFLOP/s published, dense ({basis})")
    if work.bound_by == "starting kernels":
        yield _row("", "but too little work for that: the time to start an eager step's kernels counts")
    yield _row(
        "images a second",
        f"about {_three(work.images_per_s)}, over all processes; loading and communication are not counted",
    )
    yield _row("time", f"about {_duration(work.seconds)} for {plan.steps} steps")


def _data(plan: TrainingPlan) -> Iterable[str]:
    data = plan.data
    if data is None:
        yield _row("shards", "not made yet")
        return
    yield _row(
        "shards",
        f"{data.num_shards} of training, {_bytes(data.num_bytes)}: {data.num_outfits} outfits, "
        f"{data.num_images} images, {data.num_pairs} pairs",
    )
    yield _row("readers", f"{data.num_readers}, {data.shards_per_reader:g} shards each")
    yield _row("streams", f"{data.num_streams}, {data.streams_per_process:g} for each process")
    yield _row("epochs", f"{_three(data.epochs)}, {_bytes(data.bytes_an_epoch)} to read in each")
    fits = (
        "kept: read once"
        if data.is_resident
        else "may be more than runtime.resident_gib, and then read every time"
    )
    yield _row("decoded", f"at most {_bytes(data.resident_bytes)} in each process; {fits}")
    if plan.work.images_per_s is not None:
        rate = plan.work.images_per_s * data.bytes_an_epoch / data.num_pairs
        yield _row("reading", f"{_bytes(rate)} a second{' until all is kept' if data.is_resident else ''}")


def _checkpoints(plan: TrainingPlan) -> Iterable[str]:
    kept = plan.checkpoints
    yield _row("one", _bytes(kept.num_bytes))
    yield _row("kept at the end", f"{kept.num_kept} of {kept.num_saves}: {_bytes(kept.kept_bytes)} on disk")


def _row(label: str, text: str) -> str:
    return f"  {label:<{LABEL}}{text}".rstrip()


def _millions(count: int) -> str:
    return f"{count / 1e6:>10,.2f} M"


def _bytes(count: float) -> str:
    """Three digits and a binary unit."""
    for unit, size in (("GiB", GIB), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{_three(count / size)} {unit}"
    return f"{count:.0f} B"


def _scaled(count: float) -> str:
    for unit, size in (("T", 1e12), ("G", 1e9)):
        if count >= size:
            return f"{_three(count / size)} {unit}"
    return f"{_three(count / 1e6)} M"


def _three(value: float) -> str:
    """Three digits, and no exponent."""
    if value <= 0:
        return "0"
    return f"{value:,.{max(0, 2 - math.floor(math.log10(value)))}f}"


def _duration(seconds: float) -> str:
    if seconds >= 3600:
        return f"{_three(seconds / 3600)} hours"
    return f"{_three(seconds / 60)} minutes" if seconds >= 60 else f"{_three(seconds)} seconds"
