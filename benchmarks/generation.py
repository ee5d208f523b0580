"""Images a second of the stage `generate` in a workspace that has trained, by processes and threads.

    make demo && python -m benchmarks.generation --pairs 32 --batch 4

A machine without GPUs splits its cores in several ways; on GPUs run `mcld run generate`, one process each.
Each way renders all rows of all pairs into an empty folder, in turn. One JSON line a way.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.measure import machine, show
from mcld.config import PARAMS_PATH, Params, load_params
from mcld.stages import generate
from mcld.stages.mapper import LocalMapper
from mcld.stages.parts import run_parts
from mcld.workspace import Workspace

RENDERED_ROWS = 3  # the fourth goes through the VAE alone


def seconds_to_render(
    params: Params, *, workspace: Workspace, pairs: generate.TestPairs, processes: int, threads: int
) -> float:
    """Wall time, loading included. Each process has so many threads."""
    device_ids = tuple(str(number) for number in range(processes))
    mapper = LocalMapper(num_workers=processes * threads, device_ids=device_ids)
    torch.set_num_threads(threads)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        run_parts(
            "generate",
            out_dir=Path(folder),
            settings={},
            format_version=generate.FORMAT_VERSION,
            plans=generate.part_plans(pairs, batch_size=params.generate.batch_size),
            work=generate.GenerateWork(source=generate.renderer_source(params, workspace=workspace)),
            mapper=mapper,
        )
    return time.perf_counter() - started


def main(
    pairs: Annotated[int, typer.Option(min=2)] = 32,
    batch: Annotated[int, typer.Option(min=1)] = 4,
    repeats: Annotated[int, typer.Option(min=1)] = 3,
) -> None:
    """Measure one process with one thread, one with all cores, and one a core."""
    params, workspace = load_params(Path(PARAMS_PATH)), Workspace()
    changed = params.generate.model_copy(update={"num_pairs": pairs, "batch_size": batch})
    params = params.model_copy(update={"generate": changed})
    chosen = generate.chosen_pairs(params, workspace=workspace)
    cores = os.cpu_count() or 1
    for processes, threads in dict.fromkeys(((1, 1), (1, cores), (cores, 1))):
        found = [
            seconds_to_render(params, workspace=workspace, pairs=chosen, processes=processes, threads=threads)
            for _ in range(repeats)
        ]
        num_images = RENDERED_ROWS * len(chosen)
        show(
            {
                "benchmark": "generate",
                "processes": processes,
                "threads_each": threads,
                "num_pairs": len(chosen),
                "batch_size": batch,
                "images_per_s": round(num_images / statistics.median(found), 2),
                "repeats": repeats,
                "load_before": round(os.getloadavg()[0], 2),
                **machine(torch.device("cpu")),
            }
        )


if __name__ == "__main__":
    typer.run(main)
