"""Whether the model listens to its inputs: what a wrong source and a wrong pose cost it, metric by metric."""

from __future__ import annotations

from dataclasses import dataclass

from mcld.evaluation.intervals import Difference
from mcld.evaluation.metrics import METRICS, Metric
from mcld.evaluation.report.differences import GENERATED, DifferencesSection
from mcld.evaluation.report.evaluation import Evaluation
from mcld.evaluation.report.pieces import Gallery
from mcld.evaluation.summary import LISTENING


@dataclass(frozen=True, slots=True, kw_only=True)
class ListeningLine:
    """A metric with the true input and with the wrong one, and their difference pair by pair."""

    metric: Metric
    true: float | None
    wrong: float | None
    difference: Difference


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongInput:
    """What a wrong input makes of the same pairs, in pictures and in numbers."""

    gallery: Gallery
    lines: tuple[ListeningLine, ...]


def listening_lines(
    found: Evaluation, *, differences: DifferencesSection, row: str
) -> tuple[ListeningLine, ...]:
    """The metrics that must suffer where the input of `row` is wrong."""
    by_name = {metric.name: metric for metric in METRICS}
    lines = []
    for name, listens_to in LISTENING:
        difference = differences.between(name, row=row)
        if listens_to == row and difference is not None:
            lines.append(
                ListeningLine(
                    metric=by_name[name],
                    true=found.rows[GENERATED][name].mean,
                    wrong=found.rows[row][name].mean,
                    difference=difference,
                )
            )
    return tuple(lines)
