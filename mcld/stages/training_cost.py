"""What a training cost, from what it told its journal while it ran: only what was measured is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from mcld.tracking import Point, RunHistory

POWER = "_power_usage_watts"
# What `read_history` must be asked for.
METRICS = (
    "train.images_per_s", "train.data_wait_share", "train.memory_gib", "train.tflops_per_s",
    "train.share_of_peak", "train.skipped_steps", POWER,
)  # fmt: skip
LONGEST_GAP_S = 60.0  # between two samples of a GPU's power; across a longer one nobody watched
JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """What the GPUs of the first machine drew while somebody watched."""

    kwh: float
    num_gpus: int
    watched_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingCost:
    """What the steps of a training took. Shares and rates are means over its time, memory is the highest.

    `energy` is None where no GPU told its power, the other values where nobody logged them.
    """

    seconds: float
    num_rows: int
    num_processes: int
    device: str
    data_wait_share: float | None
    memory_gib: float | None
    tflops_per_s: float | None
    share_of_peak: float | None
    num_skipped_steps: int | None
    energy: Energy | None

    @property
    def images_per_s(self) -> float:
        """Over all processes."""
        return self.num_rows / self.seconds

    @property
    def gpu_hours(self) -> float:
        """Processes times hours; zero on processors."""
        return self.num_processes * self.seconds / 3600 if self.device == "cuda" else 0.0


def training_cost(history: RunHistory, *, batch_size: int) -> TrainingCost | None:
    """Sum up the windows of steps that the training logged; None where it logged none.

    Steps that were repeated after a kill count once: the journal has no second time of them.
    """
    rates = [point for point in history.points.get("train.images_per_s", ()) if point.value > 0]
    if not rates:
        return None
    starts = [0, *(point.step for point in rates)]
    rows = [(rate.step - start) * batch_size for start, rate in zip(starts, rates, strict=False)]
    seconds = [count / rate.value for count, rate in zip(rows, rates, strict=True)]
    skipped = history.points.get("train.skipped_steps", ())
    memory = history.points.get("train.memory_gib", ())
    return TrainingCost(
        seconds=sum(seconds),
        num_rows=sum(rows),
        num_processes=int(history.tags.get("mcld.num_processes", "1")),
        device=history.tags.get("mcld.device", "unknown"),
        data_wait_share=_mean(history, "train.data_wait_share", rates=rates, seconds=seconds),
        memory_gib=max((point.value for point in memory), default=None),
        tflops_per_s=_mean(history, "train.tflops_per_s", rates=rates, seconds=seconds),
        share_of_peak=_mean(history, "train.share_of_peak", rates=rates, seconds=seconds),
        num_skipped_steps=int(skipped[-1].value) if skipped else None,
        energy=energy_of(history),
    )


def energy_of(history: RunHistory) -> Energy | None:
    """Integrate the power of all GPUs over the time between samples; None without two samples of one."""
    gpus = [points for name, points in history.points.items() if name.endswith(POWER)]
    parts = [_integral(points) for points in gpus]
    watched = [part for part in parts if part[1] > 0]
    if not watched:
        return None
    return Energy(
        kwh=sum(joules for joules, _ in watched) / JOULES_PER_KWH,
        num_gpus=len(watched),
        watched_s=max(seconds for _, seconds in watched),
    )


def _integral(points: Sequence[Point]) -> tuple[float, float]:
    """Joules and the seconds that they were drawn in, by the trapezoidal rule."""
    joules, seconds = 0.0, 0.0
    for first, second in pairwise(points):
        gap_s = (second.time_ms - first.time_ms) / 1000
        if 0 < gap_s <= LONGEST_GAP_S:
            joules += gap_s * (first.value + second.value) / 2
            seconds += gap_s
    return joules, seconds


def _mean(
    history: RunHistory, name: str, *, rates: Sequence[Point], seconds: Sequence[float]
) -> float | None:
    """The mean of a metric over the windows that have it, by their time."""
    by_step = {point.step: point.value for point in history.points.get(name, ())}
    known = [
        (by_step[rate.step], time_s)
        for rate, time_s in zip(rates, seconds, strict=True)
        if rate.step in by_step
    ]
    total_s = sum(time_s for _, time_s in known)
    return sum(value * time_s for value, time_s in known) / total_s if total_s else None
