"""Measure the Fréchet distance of 2048-d features against scipy's matrix root, and the kernel distance.

    python -m benchmarks.frechet                        8,570 images, as the test set has

Features are made: correlated, positive, of very different spreads, as Inception's are. Both ways start from
the same means and covariances, on the same threads, and the values must agree. One JSON line a result.
"""

from __future__ import annotations

import os
from typing import Annotated

import numpy as np
import scipy
import torch
import typer

from benchmarks.measure import Timing, machine, measure, show
from mcld.evaluation.frechet import FeatureStatistics, frechet_distance
from mcld.evaluation.kernel_distance import kernel_distance

CPU = torch.device("cpu")
MAX_DIFFERENCE = 1e-6


def main(
    images: Annotated[int, typer.Option(min=2)] = 8570,
    dim: Annotated[int, typer.Option(min=1)] = 2048,
    repeats: Annotated[int, typer.Option(min=1)] = 3,
    scipy_repeats: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    """Print every result; fails where the values differ by more than one part in a million."""
    first, second = features(images, dim=dim, seed=0), features(images, dim=dim, seed=1)
    details: dict[str, object] = {"num_images": images, "dim": dim}
    timing = measure(lambda: FeatureStatistics.of(first), repeats=repeats, warm_ups=0, device=CPU)
    report("frechet, statistics of a set", timing, details=details)
    statistics = [FeatureStatistics.of(values) for values in (first, second)]
    compare(*statistics, repeats=repeats, scipy_repeats=scipy_repeats, details=details)
    timing = measure(lambda: kernel_distance(first, second), repeats=1, warm_ups=0, device=CPU)
    report("kernel distance", timing, details=details)


def compare(
    first: FeatureStatistics,
    second: FeatureStatistics,
    *,
    repeats: int,
    scipy_repeats: int,
    details: dict[str, object],
) -> None:
    """Ours and scipy's, in this order, and how far apart the values are."""
    ours: list[float] = []
    theirs: list[float] = []
    timing = measure(
        lambda: ours.append(frechet_distance(first, second)), repeats=repeats, warm_ups=1, device=CPU
    )
    slow = measure(
        lambda: theirs.append(through_scipy(first, second)), repeats=scipy_repeats, warm_ups=0, device=CPU
    )
    difference = abs(ours[0] - theirs[0]) / theirs[0]
    report("frechet, scipy's sqrtm", slow, details={**details, "value": theirs[0]})
    found: dict[str, object] = {
        "value": ours[0],
        "relative_difference": difference,
        "times_faster": round(slow.median_s / timing.median_s, 1),
        "times_faster_cpu": round(slow.cpu_s / timing.cpu_s, 1),
    }
    report("frechet", timing, details={**details, **found})
    if difference > MAX_DIFFERENCE:
        raise SystemExit(f"the values differ by {difference:.1e}, more than {MAX_DIFFERENCE:.0e}")


def through_scipy(first: FeatureStatistics, second: FeatureStatistics) -> float:
    """As pytorch-fid and clean-fid compute it."""
    root = scipy.linalg.sqrtm(first.covariance @ second.covariance)
    step = first.mean - second.mean
    shared = np.trace(root.real)
    return float(step @ step + np.trace(first.covariance) + np.trace(second.covariance) - 2.0 * shared)


def features(num_images: int, *, dim: int, seed: int) -> np.ndarray:
    """(N, dim) float32, not negative."""
    axes = np.random.default_rng(100).standard_normal((dim, dim), dtype=np.float32) / np.float32(dim**0.5)
    noise = np.random.default_rng(seed).standard_normal((num_images, dim), dtype=np.float32)
    spreads = np.exp(-np.arange(dim, dtype=np.float32) / (dim / 4)) * (1.0 + 0.1 * seed)
    values: np.ndarray = np.abs((noise * spreads) @ axes + np.float32(0.1 * seed)).astype(np.float32)
    return values


def report(name: str, timing: Timing, *, details: dict[str, object]) -> None:
    """One line. NumPy's threads are not PyTorch's."""
    threads = {
        "blas_threads": os.environ.get("OMP_NUM_THREADS") or os.cpu_count(),
        "scipy": scipy.__version__,
    }
    show({"benchmark": name, **details, **timing.rounded(), **machine(CPU), **threads})


if __name__ == "__main__":
    typer.run(main)
