"""How the generated row differs from the other rows of the same pairs, and whether that means anything."""

from __future__ import annotations

from dataclasses import dataclass

from mcld.evaluation.intervals import Difference, paired_difference
from mcld.evaluation.metrics import METRICS, Metric
from mcld.evaluation.pair_table import PairTable
from mcld.evaluation.protocols import ROWS, Row

GENERATED: Row = "generated"


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceLine:
    """A metric of the generated row minus that of every other row; None where no pair has both."""

    metric: Metric
    differences: tuple[Difference | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferencesSection:
    """The generated row beside the other `rows`, pair by pair; verdicts are the generated row's."""

    rows: tuple[str, ...]
    num_outfits: int
    lines: tuple[DifferenceLine, ...]

    def between(self, name: str, *, row: str) -> Difference | None:
        """The difference to one row in one metric; None where there is none."""
        if row not in self.rows:
            return None
        found = next((line for line in self.lines if line.metric.name == name), None)
        return found.differences[self.rows.index(row)] if found else None


def differences_section(pairs: PairTable) -> DifferencesSection:
    """Compare pair by pair, outfits drawn with all their pairs. Metrics stand in the registry's order."""
    others = tuple(row for row in ROWS if row != GENERATED and row in pairs.scores)
    mine = pairs.scores.get(GENERATED, {})
    lines = tuple(
        DifferenceLine(
            metric=metric,
            differences=tuple(_difference(pairs, metric=metric, row=row) for row in others),
        )
        for metric in METRICS
        if metric.name in mine
    )
    return DifferencesSection(rows=others, num_outfits=len(set(pairs.outfits)), lines=lines)


def _difference(pairs: PairTable, *, metric: Metric, row: str) -> Difference | None:
    theirs = pairs.scores[row].get(metric.name)
    if theirs is None:
        return None
    found = paired_difference(
        pairs.scores[GENERATED][metric.name],
        theirs,
        groups=pairs.outfits,
        direction=metric.direction,
    )
    return found if found.num_pairs else None
