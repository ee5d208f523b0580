"""Measure a Ray cluster of two raylets on this machine: overhead, two workers beside one, growth.

    python -m benchmarks.cluster overhead          what a part costs that does nothing
    python -m benchmarks.cluster workers           `texture` on one worker and on two
    python -m benchmarks.cluster growth 300 3000   `dataset`, `densepose` and `texture` by number of images

Every figure by Ray stands beside the same by the pool of processes, taken in turn in one run. `load` is the
machine's load average over a minute, before: two workers need two cores that nobody else uses. One JSON line
a result; the cluster is started here, on loopback, and is gone afterwards.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import typer

from benchmarks.measure import machine, show
from mcld.config import RuntimeParams, load_params
from mcld.stages import run_stage
from mcld.stages.mapper import Item, Mapper, Result, mapper_of
from mcld.types import ImageRecord
from mcld.workspace import Workspace
from tests.ray_cluster import running_cluster

CPU = torch.device("cpu")
MAPPERS: tuple[Literal["local", "ray"], ...] = ("local", "ray")
NUM_PARTS = 400
IMAGES_PER_PART = 288
VIEWS_PER_OUTFIT = 4.5  # about so many images has an embedded outfit
OUTFITS_PER_PART = 64
STAGES = ("dataset", "densepose", "texture")
app = typer.Typer(add_completion=False)


@app.command()
def overhead(repeats: Annotated[int, typer.Option(min=1)] = 3) -> None:
    """Parts that do nothing, small ones and ones that list the images of a real part."""
    _with_cluster("measure-overhead", str(repeats))


@app.command()
def workers(
    images: Annotated[int, typer.Option(min=100)] = 1200, repeats: Annotated[int, typer.Option(min=1)] = 3
) -> None:
    """`texture` of pictures as the demo's, 16 outfits a part."""
    _with_cluster("measure-workers", str(images), str(repeats))


@app.command()
def growth(
    sizes: Annotated[list[int] | None, typer.Argument(help="Numbers of images, about.")] = None,
) -> None:
    """Small pictures, 48 x 32, as in benchmarks.growth: the pipeline around them is what is measured."""
    _with_cluster("measure-growth", *[str(size) for size in sizes or [300, 3000, 30000]])


@app.command(hidden=True)
def measure_overhead(repeats: int) -> None:
    """In a process that the cluster knows."""
    items: dict[str, list[Any]] = {
        "number": list(range(NUM_PARTS)),
        "images": [(index, _images(index)) for index in range(NUM_PARTS)],
    }
    workspace = Workspace(root=Path.cwd())
    for kind, values in items.items():
        for num_workers in (1, 2):
            for name in MAPPERS:
                # One worker of the pool would be this very process.
                if name == "local" and num_workers == 1:
                    continue
                mapper = mapper_of(RuntimeParams(mapper=name, num_workers=num_workers), workspace=workspace)
                taken = [_time_parts(mapper, values) for _ in range(repeats)]
                show(
                    {
                        "benchmark": "cluster overhead",
                        "mapper": name,
                        "workers": num_workers,
                        "part": kind,
                        "parts": len(values),
                        "ms_per_part": round(statistics.median(one.per_part_s for one in taken) * 1e3, 3),
                        "first_part_s": round(statistics.median(one.first_s for one in taken), 2),
                        "load": round(os.getloadavg()[0], 1),
                        **machine(CPU),
                    }
                )


@app.command(hidden=True)
def measure_workers(images: int, repeats: int) -> None:
    """In a process that the cluster knows."""
    _write_params(Path.cwd(), num_images=images, side_px=(256, 176), outfits_per_part=16)
    workspace = Workspace()
    _prepare(workspace, until="texture")
    seconds: dict[tuple[str, int], list[float]] = {}
    for _ in range(repeats):
        for name in MAPPERS:
            for num_workers in (1, 2):
                load = os.getloadavg()[0]
                taken = _time_stage("texture", mapper=name, num_workers=num_workers, workspace=workspace)
                seconds.setdefault((name, num_workers), []).append(taken.work_s)
                show(
                    {
                        "benchmark": "cluster workers",
                        "mapper": name,
                        "workers": num_workers,
                        "images": taken.num_images,
                        "stage_s": round(taken.stage_s, 2),
                        "work_s": round(taken.work_s, 2),
                        "load": round(load, 1),
                    }
                )
    for name in MAPPERS:
        one, two = (min(seconds[name, count]) for count in (1, 2))
        show(
            {
                "benchmark": "cluster workers, two against one",
                "mapper": name,
                "times": round(one / two, 2),
                "images_per_s": round(taken.num_images / two, 1),
                "of": f"best of {repeats}, without starting workers",
                **machine(CPU),
            }
        )


@app.command(hidden=True)
def measure_growth(sizes: list[int]) -> None:
    """In a process that the cluster knows."""
    for size in sizes:
        folder = Path.cwd() / str(size)
        folder.mkdir()
        _write_params(folder, num_images=size, side_px=(48, 32), outfits_per_part=OUTFITS_PER_PART)
        os.chdir(folder)
        for stage in STAGES:
            # Rendering is minutes of the same work twice; the pool's time is in benchmarks.growth.
            for name in ("ray",) if stage == "dataset" else MAPPERS:
                load = os.getloadavg()[0]
                taken = _time_stage(stage, mapper=name, num_workers=2, workspace=Workspace())
                show(
                    {
                        "benchmark": "cluster growth",
                        "stage": stage,
                        "mapper": name,
                        "images": taken.num_images,
                        "parts": taken.num_parts,
                        "stage_s": round(taken.stage_s, 2),
                        "first_part_s": round(taken.stage_s - taken.work_s, 2),
                        "ms_per_image": round(1e3 * taken.work_s / taken.num_images, 3),
                        "load": round(load, 1),
                        **machine(CPU),
                    }
                )
        os.chdir(folder.parent)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartTimes:
    """Until the first part came, and between parts from then on."""

    first_s: float
    per_part_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTimes:
    """Of a whole stage, and from its first part on."""

    stage_s: float
    work_s: float
    num_images: int
    num_parts: int


class Watched:
    """A mapper that notes when the first part came."""

    def __init__(self, mapper: Mapper) -> None:
        self._mapper = mapper
        self.first_s = 0.0
        self.num_parts = 0

    def map(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        *,
        description: str,
        uses_device: bool = False,
    ) -> Iterator[Result]:
        """As the mapper does."""
        self.num_parts = len(items)
        for result in self._mapper.map(function, items, description=description, uses_device=uses_device):
            self.first_s = self.first_s or time.perf_counter()
            yield result


def nothing(item: object) -> int:
    """A part's work without the work."""
    return 0


def _time_parts(mapper: Mapper, items: list[Any]) -> PartTimes:
    started = time.perf_counter()
    results = iter(mapper.map(nothing, items, description="nothing"))
    next(results)
    first = time.perf_counter()
    num_others = sum(1 for _ in results)
    return PartTimes(first_s=first - started, per_part_s=(time.perf_counter() - first) / num_others)


def _time_stage(stage: str, *, mapper: str, num_workers: int, workspace: Workspace) -> StageTimes:
    params = load_params(workspace.root / "params.yaml")
    runtime = params.runtime.model_copy(update={"mapper": mapper, "num_workers": num_workers})
    shutil.rmtree(workspace.stage_dir(stage), ignore_errors=True)
    watched = Watched(mapper_of(runtime, workspace=workspace))
    started = time.perf_counter()
    report = run_stage(stage, params, workspace=workspace, mapper=watched)
    ended = time.perf_counter()
    return StageTimes(
        stage_s=ended - started,
        work_s=ended - watched.first_s,
        num_images=report.num_items + report.num_excluded,
        num_parts=watched.num_parts,
    )


def _prepare(workspace: Workspace, *, until: str) -> None:
    for stage in STAGES[: STAGES.index(until)]:
        _time_stage(stage, mapper="local", num_workers=2, workspace=workspace)


def _images(part: int) -> tuple[ImageRecord, ...]:
    return tuple(
        ImageRecord(
            key=f"WOMEN-Dresses-id_{part:08d}-01/{number}_front",
            outfit_key=f"WOMEN-Dresses-id_{part:08d}-01",
            view=f"{number}_front",
            gender="WOMEN",
            category="Dresses",
            path=f"img_highres/WOMEN/Dresses/id_{part:08d}/01_{number}_front.jpg",
            split="train",
            part=part,
            height_px=1101,
            width_px=750,
            sha256="0" * 64,
            offset=0,
            num_bytes=100_000,
        )
        for number in range(IMAGES_PER_PART)
    )


def _write_params(folder: Path, *, num_images: int, side_px: tuple[int, int], outfits_per_part: int) -> None:
    num_outfits = round(num_images / VIEWS_PER_OUTFIT)
    params = {
        "dataset": {
            "num_outfits": num_outfits,
            "num_test_outfits": max(1, num_outfits // 10),
            "height_px": side_px[0],
            "width_px": side_px[1],
            "outfits_per_part": outfits_per_part,
        },
        "texture": {"part_size_px": side_px[0] // 4, "fill_margin_px": 8},
        "runtime": {"device": "cpu"},
    }
    (folder / "params.yaml").write_text(json.dumps(params))


def _with_cluster(*arguments: str) -> None:
    """Run a command of this module in a folder of its own, by a process that the cluster knows."""
    here = Path(__file__).resolve().parents[1]
    with running_cluster() as cluster, tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.cluster", *arguments],
            cwd=folder,
            env={**os.environ, **cluster.environment, "PYTHONPATH": str(here)},
            check=False,
        )
    raise typer.Exit(done.returncode)


if __name__ == "__main__":
    app()
