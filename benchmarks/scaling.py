"""Measure growth: a training step over one and two processes, and an epoch's order up to 5 M images.

    python -m benchmarks.scaling processes         1 and 2 processes of one thread each, on one machine
    python -m benchmarks.scaling order             10,000 to 5,000,000 images; the last takes about 6 GB

`processes`: the same global batch by DistributedDataParallel over gloo, the `cpu` size of model_sizes.py,
AdamW included. `all_reduce_share` is one sum of all gradients alone, over the step: what is lost at most, for
DDP sums while the backward pass goes on. On one machine that is copying; on a network it is another figure.
Steps with and without the sum are timed in turn. `cpu_s` is the processor seconds of one process, which
others on the machine disturb less than its seconds.

`order`: what the loader works out at the start of an epoch (mcld.data.order), and the memory of the table of
samples. One size is one program, so that its peak is its own. One JSON line a result.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import torch
import torch.distributed as dist
import typer
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from benchmarks.measure import machine, show
from benchmarks.model_sizes import CPU, random_conditions, random_model
from mcld.data.order import epoch_passes
from mcld.data.shards import CONDITION_MEMBERS, LATENT_MEMBERS, OutfitSample, index_shard, sample_members
from mcld.data.tar import write_tar
from mcld.storage import canonical_json
from mcld.training.optimisation import adamw

GLOBAL_BATCH = 4
VIEWS = ("1_front", "2_side", "3_back", "4_full")
OUTFITS_PER_SHARD = 500
PROCESSOR = torch.device("cpu")
app = typer.Typer(add_completion=False)


@app.command()
def processes(
    counts: Annotated[list[int] | None, typer.Argument(help="Numbers of processes; must divide 4.")] = None,
    repeats: Annotated[int, typer.Option(min=1)] = 5,
) -> None:
    """Time a step of the same global batch over several numbers of processes."""
    for count in counts or [1, 2]:
        run_program(
            "torch.distributed.run",
            "--standalone",
            f"--nproc-per-node={count}",
            "-m",
            "benchmarks.scaling",
            "rank",
            f"--repeats={repeats}",
        )


@app.command(hidden=True)
def rank(repeats: int = 5) -> None:
    """One process of `processes`; the first prints."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    step, summed = step_of(GLOBAL_BATCH // dist.get_world_size())
    buffer = torch.zeros(summed)
    parts = {"sum": lambda: step(True), "own": lambda: step(False), "alone": lambda: dist.all_reduce(buffer)}
    took = seconds_of(parts, repeats=repeats)
    if dist.get_rank() == 0:
        show(
            {
                "benchmark": f"processes, {CPU.name} size",
                "processes": dist.get_world_size(),
                "global_batch": GLOBAL_BATCH,
                "step_s": round(took["sum"][0], 4),
                "images_per_s": round(GLOBAL_BATCH / took["sum"][0], 3),
                "cpu_s": round(took["sum"][1], 3),
                "step_without_sum_s": round(took["own"][0], 4),
                "without_sum_cpu_s": round(took["own"][1], 3),
                "all_reduce_alone_s": round(took["alone"][0], 4),
                "all_reduce_share": round(took["alone"][0] / took["sum"][0], 4),
                "load": round(os.getloadavg()[0], 1),  # what else the machine was doing
                "all_reduce_mb": round(4 * summed / 1e6, 1),
                "repeats": repeats,
                **machine(PROCESSOR),
            }
        )
    dist.destroy_process_group()


def step_of(num_rows: int) -> tuple[Callable[[bool], None], int]:
    """A whole step of this process's rows, told whether to sum gradients; and how many numbers are summed."""
    model = random_model(CPU, device=PROCESSOR)
    replica = DistributedDataParallel(model, gradient_as_bucket_view=True, broadcast_buffers=False)
    optimizers = adamw(model, learning_rate=1e-5, weight_decay=0.01)
    conditions = random_conditions(CPU, batch_size=num_rows, device=PROCESSOR)
    latent = torch.randn(num_rows, CPU.config.latent_channels, *CPU.latent_hw)
    timestep = torch.randint(1000, (num_rows,))

    def step(sums: bool) -> None:
        with nullcontext() if sums else replica.no_sync():
            v: Tensor = replica(latent, timestep_B=timestep, conditions=conditions)
            torch.autograd.backward(v.square().mean())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers.values():
            optimizer.step()
        model.zero_grad(set_to_none=False)

    return step, sum(p.numel() for p in model.parameters() if p.requires_grad)


def seconds_of(
    functions: Mapping[str, Callable[[], object]], *, repeats: int
) -> dict[str, tuple[float, float]]:
    """Median seconds, and processor seconds, of calls that all processes begin together; in turn."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in functions}
    for _ in range(repeats + 1):
        for name, function in functions.items():
            dist.barrier()
            wall, processor = time.perf_counter(), time.process_time()
            function()
            used = time.process_time() - processor
            dist.barrier()
            found[name].append((time.perf_counter() - wall, used))
    # The first round warms up.
    return {
        name: (
            statistics.median(wall for wall, _ in times[1:]),
            statistics.median(cpu for _, cpu in times[1:]),
        )
        for name, times in found.items()
    }


@app.command()
def order(
    sizes: Annotated[list[int] | None, typer.Argument(help="Numbers of images.")] = None,
) -> None:
    """Time an epoch's order at several sizes, one program each."""
    for size in sizes or [10_000, 100_000, 1_000_000, 5_000_000]:
        run_program("benchmarks.scaling", "order-of", str(size))


@app.command(hidden=True)
def order_of(num_images: int) -> None:
    """One size of `order`."""
    start = peak_mib()
    samples = synthetic_samples(num_images // len(VIEWS))
    table = peak_mib()
    started = time.perf_counter()
    passes = epoch_passes(samples, seed=0, epoch=0, pairs_per_visit=4, shuffle_outfits=256)
    seconds = time.perf_counter() - started
    num_pairs = sum(len(block.pairs) for blocks in passes for block in blocks)
    held = sum(block.pairs.nbytes + block.samples.nbytes for blocks in passes for block in blocks)
    show(
        {
            "benchmark": "order of an epoch",
            "images": num_images,
            "outfits": len(samples),
            "pairs": num_pairs,
            "seconds": round(seconds, 2),
            "us_per_pair": round(1e6 * seconds / num_pairs, 3),
            "table_mib": round(table - start),
            "table_bytes_per_image": round((table - start) * 2**20 / num_images),
            "order_held_mib": round(held / 2**20, 1),
            "order_peak_mib": round(peak_mib() - table),
            "samples_jsonl_mb": round(row_bytes(samples[-1]) * len(samples) / 1e6, 1),
            **machine(PROCESSOR),
        }
    )


def synthetic_samples(num_outfits: int) -> list[OutfitSample]:
    """Rows of samples.jsonl as reading it makes them: nothing is shared between two."""
    prototype = _prototype()

    def sample(number: int) -> OutfitSample:
        return replace(
            prototype,
            outfit=f"WOMEN-Dresses-id_{number:08d}-01",
            shard=f"train-{number // OUTFITS_PER_SHARD:05d}.tar",
            views=tuple("_".join(view.split("_")) for view in VIEWS),
            pairs=tuple((source, target) for source, target in prototype.pairs),
            sha256=f"{number:064d}",
            offset=number * prototype.num_bytes,
        )

    return [sample(number) for number in range(num_outfits)]


def _prototype() -> OutfitSample:
    """A sample as the stage indexes it, so that it has whatever a sample has."""
    members = (*CONDITION_MEMBERS, *LATENT_MEMBERS)
    pairs = [(s, t) for s in range(len(VIEWS)) for t in range(len(VIEWS)) if s != t]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train-00000.tar"
        made = sample_members(
            "WOMEN-Dresses-id_00000000-01",
            split="train",
            views={view: dict.fromkeys(members, b"0") for view in VIEWS},
            members=members,
            face_found=[True] * len(VIEWS),
            image_hw=[(1101, 750)] * len(VIEWS),
            pairs=pairs,
        )
        write_tar(path, members=made)
        return index_shard(path)[0]


def row_bytes(sample: OutfitSample) -> int:
    """Of its line in samples.jsonl."""
    return len(canonical_json(asdict(sample))) + 1


def peak_mib() -> float:
    """The largest this program has been so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run_program(module: str, *arguments: str) -> None:
    """A python program of this checkout, with one thread; what it prints is ours."""
    search = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
    subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, "PYTHONPATH": search, "OMP_NUM_THREADS": "1"},
        check=True,
    )


if __name__ == "__main__":
    app()
