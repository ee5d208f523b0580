"""Figures of training by step, from what the loop reports: rates, shares, losses by region and timestep."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mcld.config import TrainParams
from mcld.training.distributed import Ranks
from mcld.training.gpus import gpu_of_device
from mcld.training.plan import peak_tflops
from mcld.training.reports import NUM_BINS, StepReport

STEPS_PER_POINT = 10


def window_metrics(
    reports: Sequence[StepReport], *, flops_per_row: float | None, peak_tflops: float | None
) -> dict[str, float]:
    """Metrics of consecutive steps by name; what cannot be told (all skipped, no known peak) is absent.

    Rates are over all processes; memory and data wait are of the first one.
    """
    last, done = reports[-1], [report for report in reports if not report.skipped]
    seconds = sum(report.seconds for report in reports)
    images_per_s = sum(report.rows for report in reports) / seconds
    metrics = {
        "train.images_per_s": images_per_s,
        "train.data_wait_share": sum(report.data_wait_s for report in reports) / seconds,
        "train.learning_rate": last.learning_rate,
        "train.memory_gib": last.memory_bytes / 2**30,
        **_losses(done),
    }
    if flops_per_row is not None:
        metrics["train.tflops_per_s"] = images_per_s * flops_per_row / 1e12
        if peak_tflops is not None:
            metrics["train.share_of_peak"] = metrics["train.tflops_per_s"] / peak_tflops
    return metrics


def peak_of(ranks: Ranks, *, train: TrainParams) -> float | None:
    """TFLOP/s that the GPUs of all ranks have by their maker; None for others than known GPUs."""
    if ranks.device.type != "cuda":
        return None
    gpu = gpu_of_device(torch.cuda.get_device_name(ranks.device))
    return None if gpu is None else ranks.num_ranks * peak_tflops(gpu, train=train)


def _losses(reports: Sequence[StepReport]) -> dict[str, float]:
    """Means by region and by tenth of the timesteps, and of the gradient's norm."""
    if not reports:
        return {}
    metrics = {"train.gradient_norm": sum(report.gradient_norm for report in reports) / len(reports)}
    for name in ("face", "rest"):
        values = [report.terms[name] for report in reports if name in report.terms]
        if values:
            metrics[f"train.loss_{name}"] = sum(values) / len(values)
    for number in range(NUM_BINS):
        count = sum(report.bin_counts[number] for report in reports)
        if count:
            total = sum(report.bin_sums[number] for report in reports)
            metrics[f"train.loss_by_timestep.{number}"] = total / count
    return metrics
