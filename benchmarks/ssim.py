"""Measure ssim_51 against scikit-image: the same pictures in turn, on one core, in one run.

    python -m benchmarks.ssim                           8,570 pictures of 512 x 352, as the test set has
    python -m benchmarks.ssim --images 200              the same, sooner

Fails where a value differs by more than one in a million. Seconds are the processor's: a neighbour's load
does not count. One JSON line a result.
"""

from __future__ import annotations

import importlib.metadata
import statistics
import time
from collections.abc import Callable
from typing import Annotated

import cv2
import numpy as np
import torch
import typer
from skimage.metrics import structural_similarity

from benchmarks.measure import machine, show
from mcld.evaluation import similarity

MAX_DIFFERENCE = 1e-6
NUM_KINDS = 16  # of pictures, which come round again
Score = Callable[[np.ndarray, np.ndarray], float]


def main(
    images: Annotated[int, typer.Option(min=1)] = 8570,
    height_px: Annotated[int, typer.Option(min=51)] = 512,
    width_px: Annotated[int, typer.Option(min=51)] = 352,
) -> None:
    """Print both results."""
    cv2.setNumThreads(1)
    pairs = [pair(seed, height_px=height_px, width_px=width_px) for seed in range(NUM_KINDS)]
    ours, theirs = [], []
    worst = 0.0
    for index in range(-2, images):  # the first two only warm up
        image, target = pairs[index % NUM_KINDS]
        fast, fast_s = timed(of_mcld, image, target)
        slow, slow_s = timed(of_scikit_image, image, target)
        worst = max(worst, abs(fast - slow))
        if index >= 0:
            ours.append(fast_s)
            theirs.append(slow_s)
    size: dict[str, object] = {"num_images": images, "height_px": height_px, "width_px": width_px}
    facts = machine(torch.device("cpu")) | {
        "threads": 1,
        "scikit-image": importlib.metadata.version("scikit-image"),
    }
    show({"benchmark": "ssim_51, scikit-image", **size, **summary(theirs), **facts})
    found = {
        "largest_difference": worst,
        "times_faster": round(sum(theirs) / sum(ours), 1),
        "times_faster_median": round(statistics.median(theirs) / statistics.median(ours), 1),
    }
    show({"benchmark": "ssim_51", **size, **summary(ours), **found, **facts})
    if worst > MAX_DIFFERENCE:
        raise SystemExit(f"the values differ by {worst:.1e}, more than {MAX_DIFFERENCE:.0e}")


def of_mcld(image: np.ndarray, target: np.ndarray) -> float:
    """Ours."""
    return similarity.ssim_51(image, target=target)


def of_scikit_image(image: np.ndarray, target: np.ndarray) -> float:
    """As the pose-transfer papers' code calls it: on [0, 1], the window's size alone given."""
    return float(
        structural_similarity(target / 255.0, image / 255.0, channel_axis=2, win_size=51, data_range=1.0)
    )


def timed(score: Score, image: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """The score, and the processor's seconds."""
    started = time.process_time()
    value = score(image, target)
    return value, time.process_time() - started


def pair(seed: int, *, height_px: int, width_px: int) -> tuple[np.ndarray, np.ndarray]:
    """A smooth picture and a disturbed copy, (H, W, 3) uint8 each."""
    generator = np.random.default_rng(seed)
    noise = generator.integers(0, 256, (height_px, width_px, 3)).astype(np.uint8)
    target = np.asarray(cv2.GaussianBlur(noise, (0, 0), 2 + seed % 5))
    disturbed = target + generator.integers(-25, 26, target.shape)
    return np.clip(disturbed, 0, 255).astype(np.uint8), target


def summary(seconds: list[float]) -> dict[str, float]:
    """All, and of one picture."""
    return {"cpu_s": round(sum(seconds), 3), "median_ms": round(statistics.median(seconds) * 1e3, 3)}


if __name__ == "__main__":
    typer.run(main)
