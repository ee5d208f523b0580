"""Several runs' curves of one metric in one chart, as inline SVG: no script, no library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from mcld.evaluation.charts import BOTTOM, HEIGHT, LEFT, MAX_POINTS, RIGHT, TOP, WIDTH

SMOOTHING = 0.95  # weight of the past in curves of many points
MANY_POINTS = 50
NUM_COLOURS = 8  # of the page's classes c0 to c7
NUM_TICKS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A run's (step, value) points, by step."""

    run: str
    points: tuple[tuple[int, float], ...]


def curves_svg(title: str, *, curves: Sequence[Curve]) -> str:
    """Return the curves over one axis, logarithmic where all values are above zero and far apart.

    Curves of many points are shown as their running mean. Empty where no curve has two points.
    """
    drawn = [
        (number, _smoothed([(step, value) for step, value in curve.points if math.isfinite(value)]))
        for number, curve in enumerate(curves)
    ]
    points = [point for _, smooth in drawn for point in smooth]
    if not points or max(len(smooth) for _, smooth in drawn) < 2:
        return ""
    values = [value for _, value in points]
    axis = _Axis.of(values)
    first, last = min(step for step, _ in points), max(step for step, _ in points)

    def place(step: int, value: float) -> str:
        x = LEFT + (WIDTH - LEFT - RIGHT) * (step - first) / max(last - first, 1)
        return f"{x:.1f},{axis.y(value):.1f}"

    lines = "".join(
        f'<polyline class="c{number % NUM_COLOURS}" points="'
        f'{" ".join(place(step, value) for step, value in _thinned(smooth))}">'
        f"<title>{escape(curves[number].run)}</title></polyline>"
        for number, smooth in drawn
    )
    ticks = "".join(_tick(value, y=axis.y(value)) for value in axis.ticks())
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)} by step">'
        f'{ticks}{lines}<text x="{LEFT}" y="{HEIGHT - 10}">step {first}</text>'
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 10}" text-anchor="end">step {last}</text></svg>'
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Axis:
    """The vertical axis: `low` and `high` are its ends, logarithms where `is_log`."""

    low: float
    high: float
    is_log: bool

    @classmethod
    def of(cls, values: Sequence[float]) -> _Axis:
        low, high = min(values), max(values)
        if low > 0 and high / low > 5:
            return cls(low=math.log10(low), high=math.log10(high), is_log=True)
        margin = 0.05 * (high - low) or 0.05 * abs(high) or 0.05
        return cls(low=low - margin, high=high + margin, is_log=False)

    def y(self, value: float) -> float:
        placed = math.log10(value) if self.is_log else value
        return TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - (placed - self.low) / (self.high - self.low))

    def ticks(self) -> list[float]:
        steps = [self.low + (self.high - self.low) * (n + 0.5) / NUM_TICKS for n in range(NUM_TICKS)]
        return [10**step for step in steps] if self.is_log else steps


def _smoothed(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return the exponential running mean, corrected for its start (as in Adam), of many points."""
    if len(points) < MANY_POINTS:
        return points
    total, weight, smooth = 0.0, 0.0, []
    for step, value in points:
        total = SMOOTHING * total + (1.0 - SMOOTHING) * value
        weight = SMOOTHING * weight + (1.0 - SMOOTHING)
        smooth.append((step, total / weight))
    return smooth


def _thinned(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    stride = max(1, len(points) // MAX_POINTS)
    return [*points[:-1:stride], points[-1]] if points else []


def _tick(value: float, *, y: float) -> str:
    return (
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>'
    )
