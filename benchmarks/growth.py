"""Measure how the data stages grow: time an image and peak memory of 300, 3,000 and 30,000 embedded people.

    python -m benchmarks.growth                  about 20 minutes on two cores
    python -m benchmarks.growth 300 3000

Each stage runs as a program of its own, as `dvc repro` runs it, on pictures of 48 x 32 pixels: what is
measured is the pipeline around the pictures. One JSON line a stage and size; `peak_mib` is of the largest
process, start-up (`import_mib`) included. PyTorch is not imported here: a started program's peak begins with
what its parent holds.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

STAGES = ("dataset", "weights", "densepose", "face", "texture", "latents", "shards")
VIEWS_PER_OUTFIT = 4.5  # about so many images has an embedded outfit
OUTFITS_PER_PART = 64


def main(
    sizes: Annotated[list[int] | None, typer.Argument(help="Numbers of images, about.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes of a stage.")] = 2,
) -> None:
    """Run the stages at every size and print what each took."""
    with tempfile.TemporaryDirectory() as folder:
        _, start_mib = _run_program(["-c", "import mcld.config"], cwd=Path(folder))
    for size in sizes or [300, 3000, 30000]:
        with tempfile.TemporaryDirectory() as folder:
            _measure(
                Path(folder), num_outfits=round(size / VIEWS_PER_OUTFIT), workers=workers, start_mib=start_mib
            )


def _measure(folder: Path, *, num_outfits: int, workers: int, start_mib: float) -> None:
    (folder / "params.yaml").write_text(json.dumps(_params(num_outfits, workers=workers)))
    num_images = 0
    for stage in STAGES:
        seconds, peak_mib = _run_program(["-m", "mcld", "run", stage], cwd=folder)
        report = json.loads((folder / ".mcld" / "reports" / f"{stage}.json").read_text())
        num_images = num_images or report["num_items"] + report["num_excluded"]
        print(
            json.dumps(
                {
                    "benchmark": "growth",
                    "stage": stage,
                    "num_images": num_images,
                    "seconds": round(seconds, 2),
                    "ms_per_image": round(1000 * report["seconds"] / num_images, 3),
                    "peak_mib": round(peak_mib),
                    "import_mib": round(start_mib),
                    "workers": workers,
                    "date": date.today().isoformat(),
                    "machine": platform.machine(),
                    "cores": os.cpu_count(),
                    "python": platform.python_version(),
                }
            ),
            flush=True,
        )


def _params(num_outfits: int, *, workers: int) -> dict[str, Any]:
    return {
        "dataset": {
            "num_outfits": num_outfits,
            "num_test_outfits": max(1, num_outfits // 10),
            "height_px": 48,
            "width_px": 32,
            "outfits_per_part": OUTFITS_PER_PART,
        },
        "texture": {"part_size_px": 16, "fill_margin_px": 2},
        "latents": {"height_px": 48, "width_px": 32, "texture_height_px": 48, "texture_width_px": 32},
        "shards": {"shard_bytes": 64_000_000},
        "runtime": {"num_workers": workers, "device": "cpu"},
    }


def _run_program(arguments: list[str], *, cwd: Path) -> tuple[float, float]:
    """Seconds, and MiB of the largest of its processes."""
    search = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": search},
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"{' '.join(arguments)}: failed")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


if __name__ == "__main__":
    typer.run(main)
