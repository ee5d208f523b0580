"""Train end to end from this folder's shards for some steps, and say where the time goes.

    python -m benchmarks.training --steps 60                                 params.yaml as it is
    python -m benchmarks.training --steps 80 --batch 64 --compile --profile 20
    torchrun --nproc-per-node 8 -m benchmarks.training --steps 80 --batch 512 --compile

It needs the stages up to `shards`, and changes nothing of them. The first quarter of the steps warms up. For
a GPU at full size: `mcld profile use mannequins-base`; in params.yaml latents of 512 x 512, textures of
768 x 512, images of 1101 x 750, weights.untrained_channels [320, 640, 1280, 1280]; then
`dvc repro shards weights` and the second line. One JSON line: images a second, share of time waiting for
data, TFLOP/s, memory, stall of a checkpoint; `--profile N` adds a table of where N steps go.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from benchmarks.measure import machine, product_ceiling_tflops, show
from mcld.config import Params, load_params
from mcld.stages.training import Task, open_training
from mcld.stages.training_metrics import peak_of, window_metrics
from mcld.training.distributed import Ranks, open_ranks
from mcld.training.loop import train_model
from mcld.training.reports import StepReport, TrainingProgress
from mcld.workspace import Workspace

TABLE_ROWS = 25


@dataclass(slots=True, kw_only=True)
class Collector:
    """Keeps reports. Saves cost what they cost; samples are not rendered."""

    profiler: profile | None
    reports: list[StepReport] = field(default_factory=list)
    stalls_s: list[float] = field(default_factory=list)

    def on_step(self, report: StepReport) -> None:
        """Kept."""
        self.reports.append(report)
        if self.profiler is not None:
            self.profiler.step()

    def on_checkpoint(self, progress: TrainingProgress) -> None:
        """How long it kept training waiting."""
        self.stalls_s.append(progress.save_stall_s)

    def on_sample(self, progress: TrainingProgress) -> None:
        """Another benchmark measures sampling."""


def main() -> None:
    """Measure, as one process or as one of those that torchrun started."""
    options = parsed()
    params = params_of(options)
    with open_ranks(params.runtime) as ranks:
        collector, flops_per_row = trained(params, ranks=ranks, options=options)
        if ranks.is_first:
            tell(collector, params=params, ranks=ranks, flops_per_row=flops_per_row)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch", type=int, help="train.batch_size, of all processes")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--cuda-graphs", action="store_true")
    parser.add_argument("--profile", type=int, default=0, metavar="STEPS")
    return parser.parse_args()


def params_of(options: argparse.Namespace) -> Params:
    """params.yaml with what the command line says; one checkpoint in the middle, one at the end."""
    params = load_params()
    train = {"steps": options.steps, "checkpoint_every_steps": max(1, options.steps // 2)}
    if options.batch:
        train["batch_size"] = options.batch
    runtime = {
        "compile": options.compile or params.runtime.compile,
        "cuda_graphs": options.cuda_graphs or params.runtime.cuda_graphs,
    }
    return params.model_copy(
        update={
            "train": params.train.model_copy(update=train),
            "runtime": params.runtime.model_copy(update=runtime),
        }
    )


def trained(params: Params, *, ranks: Ranks, options: argparse.Namespace) -> tuple[Collector, float | None]:
    """Train from the first step on; reports, and operations of a row."""
    workspace = Workspace()
    directory = workspace.state_dir / "benchmark"  # shared by all processes
    if ranks.is_first:
        shutil.rmtree(directory, ignore_errors=True)
    task = Task(params=params, workspace=workspace, identity="benchmark", format_version=0)
    opened = open_training(ranks, task=task)
    settings = replace(opened.settings, checkpoint_dir=directory)
    with ExitStack() as stack:
        profiler = stack.enter_context(profiled(options)) if options.profile and ranks.is_first else None
        collector = Collector(profiler=profiler)
        train_model(opened.model, batches=opened.loader, settings=settings, listener=collector, ranks=ranks)
    if ranks.is_first:
        shutil.rmtree(directory, ignore_errors=True)
    return collector, settings.flops_per_row


def profiled(options: argparse.Namespace) -> profile:
    """A profiler of the last steps; its table goes to stderr."""
    on_gpu = torch.cuda.is_available()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    order = "self_cuda_time_total" if on_gpu else "self_cpu_time_total"

    def print_table(finished: profile) -> None:
        table = finished.key_averages().table(sort_by=order, row_limit=TABLE_ROWS)
        sys.stderr.write(f"{table}\n")

    wait = max(0, options.steps - options.profile - 2)
    return profile(
        activities=activities,
        schedule=schedule(wait=wait, warmup=1, active=options.profile),
        on_trace_ready=print_table,
    )


def tell(collector: Collector, *, params: Params, ranks: Ranks, flops_per_row: float | None) -> None:
    """One JSON line."""
    reports = collector.reports[len(collector.reports) // 4 :]
    metrics = window_metrics(
        reports, flops_per_row=flops_per_row, peak_tflops=peak_of(ranks, train=params.train)
    )
    half = params.train.precision == "bfloat16"
    ceiling = product_ceiling_tflops(ranks.device, dtype=torch.bfloat16 if half else torch.float32)
    tflops_per_s = metrics.get("train.tflops_per_s", 0.0) / ranks.num_ranks
    show(
        {
            "benchmark": "training",
            "processes": ranks.num_ranks,
            "batch_size": params.train.batch_size,
            "latents_px": [params.latents.height_px, params.latents.width_px],
            "compiled": params.runtime.compile,
            "cuda_graphs": params.runtime.cuda_graphs,
            "images_per_s": round(metrics["train.images_per_s"], 2),
            "median_step_s": round(statistics.median(report.seconds for report in reports), 4),
            "data_wait_share": round(metrics["train.data_wait_share"], 5),
            "tflops_per_s_a_process": round(tflops_per_s, 4),
            "share_of_product": round(tflops_per_s / ceiling, 4),
            "memory_gib": round(metrics["train.memory_gib"], 2),
            "checkpoint_stall_s": [round(stall, 4) for stall in collector.stalls_s],
            **machine(ranks.device),
        }
    )


if __name__ == "__main__":
    main()
