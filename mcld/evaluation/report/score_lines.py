"""The table of metrics as a page shows it: a line a metric, a cell a row of images, and what is not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mcld.evaluation.intervals import Estimate
from mcld.evaluation.metrics import METRICS, Metric
from mcld.evaluation.protocols import ROW_MEANINGS
from mcld.evaluation.report.evaluation import Evaluation, SetFigure, Skipped
from mcld.evaluation.report.pieces import PROTOCOL_MEANINGS

_MEANINGS: Mapping[str, str] = {str(row): meaning for row, meaning in ROW_MEANINGS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class PairLine:
    """A metric that is a mean over pairs; a cell a row of images, None where that row lacks it."""

    metric: Metric
    cells: tuple[Estimate | None, ...]
    skipped: Skipped | None

    @property
    def num_images(self) -> int:
        """How many of the first row's images have a value."""
        return self.cells[0].num_scored if self.cells and self.cells[0] else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLine:
    """A metric of a whole set of images; a cell a row of images, None where that row lacks it."""

    metric: Metric
    cells: tuple[SetFigure | None, ...]

    @property
    def num_images(self) -> int | None:
        """Of how many images the first row's value is."""
        return self.cells[0].num_images if self.cells and self.cells[0] else None


@dataclass(frozen=True, slots=True, kw_only=True)
class AbsentMetric:
    """A metric that was not computed, and what it would need."""

    metric: Metric
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSection:
    """All numbers of an evaluation. `rows` and `protocols` are names with their meanings."""

    num_pairs: int
    size: str
    rows: tuple[tuple[str, str], ...]
    protocols: tuple[tuple[str, str], ...]
    pair_lines: tuple[PairLine, ...]
    set_lines: tuple[SetLine, ...]
    absent: tuple[AbsentMetric, ...]
    notes: tuple[str, ...]


def metrics_section(found: Evaluation) -> MetricsSection:
    """Lay out an evaluation; metrics stand in the registry's order."""
    names = found.row_names
    pair_lines = tuple(
        PairLine(
            metric=metric,
            cells=tuple(found.rows[row].get(metric.name) for row in names),
            skipped=found.skipped.get(metric.name),
        )
        for metric in METRICS
        if any(metric.name in found.rows[row] for row in names)
    )
    set_lines = tuple(
        SetLine(metric=metric, cells=tuple(found.sets.get(row, {}).get(metric.name) for row in names))
        for metric in METRICS
        if any(metric.name in by_metric for by_metric in found.sets.values())
    )
    absent = tuple(
        AbsentMetric(metric=metric, reason=found.absent[metric.name])
        for metric in METRICS
        if metric.name in found.absent
    )
    return MetricsSection(
        num_pairs=found.num_pairs,
        size=f"{found.width_px} × {found.height_px} px",
        rows=tuple((row, _MEANINGS.get(row, "")) for row in names),
        protocols=_protocols(
            [
                *(line.metric for line in pair_lines),
                *(line.metric for line in set_lines),
                *(line.metric for line in absent),
            ]
        ),
        pair_lines=pair_lines,
        set_lines=set_lines,
        absent=absent,
        notes=found.notes,
    )


def _protocols(metrics: Sequence[Metric]) -> tuple[tuple[str, str], ...]:
    shown = {metric.protocol for metric in metrics}
    return tuple((name, meaning) for name, meaning in PROTOCOL_MEANINGS.items() if name in shown)
