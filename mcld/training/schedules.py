"""Learning rate as a function of the step alone."""

from __future__ import annotations

import math
from typing import Literal


def learning_rate_factor(
    step: int,
    *,
    schedule: Literal["cosine", "linear", "constant"],
    num_steps: int,
    warmup_steps: int,
    final_fraction: float,
) -> float:
    """Factor on the peak learning rate at `step` (from 0): linear warm-up, then the schedule.

    Cosine and linear end at `final_fraction`; constant stays at the peak.
    """
    if schedule == "cosine":
        return warmup_cosine(
            step, num_steps=num_steps, warmup_steps=warmup_steps, final_fraction=final_fraction
        )
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if schedule == "constant":
        return 1.0
    progress = (step - warmup_steps) / max(1, num_steps - warmup_steps)
    return 1.0 + (final_fraction - 1.0) * min(1.0, progress)


def warmup_cosine(step: int, *, num_steps: int, warmup_steps: int, final_fraction: float) -> float:
    """Factor on the peak learning rate at `step` (from 0): linear, then half a cosine to `final_fraction`."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, num_steps - warmup_steps)
    return final_fraction + (1.0 - final_fraction) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
