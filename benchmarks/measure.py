"""Time a function and say on what: every benchmark prints its results through here, one JSON line each."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import torch

PACKAGES = ("torch", "diffusers", "transformers", "numpy")
CEILING_SIZE = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds of repeated calls, and the processor seconds of all threads in the median call."""

    median_s: float
    best_s: float
    cpu_s: float
    repeats: int

    def rounded(self) -> dict[str, float | int]:
        """For printing: milliseconds are enough."""
        return {
            "median_s": round(self.median_s, 4),
            "best_s": round(self.best_s, 4),
            "cpu_s": round(self.cpu_s, 3),
            "repeats": self.repeats,
        }


def measure(function: Callable[[], object], *, repeats: int, warm_ups: int, device: torch.device) -> Timing:
    """Call `function` in vain a few times, then `repeats` times in earnest, waiting for the device."""
    for _ in range(warm_ups):
        function()
    wait(device)
    walls, processors = [], []
    for _ in range(repeats):
        wall, processor = time.perf_counter(), time.process_time()
        function()
        wait(device)
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
    return Timing(
        median_s=statistics.median(walls),
        best_s=min(walls),
        cpu_s=statistics.median(processors),
        repeats=repeats,
    )


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def machine(device: torch.device) -> dict[str, object]:
    """What a figure was measured on."""
    name = torch.cuda.get_device_name() if device.type == "cuda" else platform.machine()
    return {
        "date": date.today().isoformat(),
        "device": name,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {package: importlib.metadata.version(package) for package in PACKAGES},
    }


def product_ceiling_tflops(device: torch.device, *, dtype: torch.dtype) -> float:
    """The best that a large matrix product reaches here, on random numbers: what shares refer to."""
    size = CEILING_SIZE if device.type == "cuda" else CEILING_SIZE // 4
    first = torch.randn(size, size, device=device).to(dtype)
    second = torch.randn(size, size, device=device).to(dtype)
    timing = measure(lambda: first @ second, repeats=20, warm_ups=3, device=device)
    return 2 * size**3 / timing.best_s / 1e12


def show(result: dict[str, object]) -> None:
    """One JSON line, at once."""
    print(json.dumps(result), flush=True)
