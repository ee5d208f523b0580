"""A line chart as inline SVG: no script, no library, readable on light and dark paper."""

from __future__ import annotations

import math
from collections.abc import Sequence

WIDTH, HEIGHT = 720, 240
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 14, 34
SMOOTHING = 0.95  # weight of the past in the heavy line
MAX_POINTS = 600  # more would only make the page larger


def loss_curve_svg(steps: Sequence[int], *, losses: Sequence[float]) -> str:
    """Return loss by step on a logarithmic axis: every value faint, their running mean heavy.

    Empty without values.
    """
    if not losses or min(losses) <= 0.0:
        return ""
    smooth = _running_mean(losses)
    # Single steps may be far off; the axis follows all but the most extreme hundredth.
    ordered = sorted(losses)
    low, high = ordered[len(ordered) // 100], ordered[-1 - len(ordered) // 100]
    low, high = math.log10(min(low, *smooth)) - 0.05, math.log10(max(high, *smooth)) + 0.05
    first, last = steps[0], max(steps[-1], steps[0] + 1)

    def place(step: int, loss: float) -> str:
        x = LEFT + (WIDTH - LEFT - RIGHT) * (step - first) / (last - first)
        share = min(max((math.log10(loss) - low) / (high - low), 0.0), 1.0)
        return f"{x:.1f},{TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - share):.1f}"

    stride = max(1, len(steps) // MAX_POINTS)
    faint = " ".join(place(step, loss) for step, loss in zip(steps[::stride], losses[::stride], strict=True))
    heavy = " ".join(place(step, loss) for step, loss in zip(steps[::stride], smooth[::stride], strict=True))
    grid = "".join(_grid_line(tick, low=low, high=high) for tick in _ticks(low, high))
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Loss by step">{grid}'
        f'<polyline class="faint" points="{faint}"/><polyline class="heavy" points="{heavy}"/>'
        f'<text x="{LEFT}" y="{HEIGHT - 10}">step {first}</text>'
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 10}" text-anchor="end">step {steps[-1]}</text></svg>'
    )


def _running_mean(values: Sequence[float]) -> list[float]:
    """Return the exponential running mean, corrected for its start (as in Adam, Kingma and Ba 2015)."""
    total, weight, means = 0.0, 0.0, []
    for value in values:
        total = SMOOTHING * total + (1.0 - SMOOTHING) * value
        weight = SMOOTHING * weight + (1.0 - SMOOTHING)
        means.append(total / weight)
    return means


def _ticks(low: float, high: float) -> list[float]:
    """Return round values (1, 2 or 5 times a power of ten) whose logarithms lie within the axis."""
    powers = range(math.floor(low), math.ceil(high) + 1)
    values = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    return [value for value in values if low <= math.log10(value) <= high]


def _grid_line(value: float, *, low: float, high: float) -> str:
    y = TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - (math.log10(value) - low) / (high - low))
    return (
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
    )
