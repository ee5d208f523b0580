"""rows.json of the stage `evaluate`, read back: each row's metrics, what is absent, what must be said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from mcld.errors import DataError
from mcld.evaluation.intervals import Estimate
from mcld.evaluation.protocols import ROWS


@dataclass(frozen=True, slots=True, kw_only=True)
class SetFigure:
    """A metric of a whole set of images, such as FID; `std` over subsets, where it was taken over subsets."""

    value: float
    num_images: int | None = None
    std: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """How many pairs have no value of a metric, and why."""

    count: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupScores:
    """The generated row over the pairs of one group: means with their intervals, by metric."""

    num_pairs: int
    metrics: Mapping[str, Estimate]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One evaluation. `rows` and `sets` are by row and metric, `groups` by kind and name of the group."""

    num_pairs: int
    height_px: int
    width_px: int
    rows: Mapping[str, Mapping[str, Estimate]]
    sets: Mapping[str, Mapping[str, SetFigure]] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)
    skipped: Mapping[str, Skipped] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    groups: Mapping[str, Mapping[str, GroupScores]] = field(default_factory=dict)

    @property
    def row_names(self) -> tuple[str, ...]:
        """The rows of images that were scored: the known ones in their order, then others."""
        known = [row for row in ROWS if row in self.rows]
        return (*known, *(row for row in self.rows if row not in known))


def read_evaluation(value: object, *, place: str) -> Evaluation:
    """Read rows.json (as plain data); what an earlier version did not write is empty.

    Raises DataError, naming `place`, when it is not that.
    """
    try:
        found = cast("dict[str, Any]", value)
        return Evaluation(
            num_pairs=int(found["num_pairs"]),
            height_px=int(found["height_px"]),
            width_px=int(found["width_px"]),
            rows={row: _estimates(by_metric) for row, by_metric in found["rows"].items()},
            sets={
                row: {name: _set_figure(cell) for name, cell in by_metric.items()}
                for row, by_metric in found.get("sets", {}).items()
            },
            absent=dict(found.get("absent", {})),
            skipped={name: Skipped(**cell) for name, cell in found.get("skipped", {}).items()},
            notes=tuple(found.get("notes", ())),
            groups={
                kind: {name: _group(cell) for name, cell in by_name.items()}
                for kind, by_name in found.get("groups", {}).items()
            },
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(f"{place}: not what the stage 'evaluate' writes ({error!r}); run it again") from error


def _estimates(by_metric: Mapping[str, Mapping[str, Any]]) -> dict[str, Estimate]:
    return {
        name: Estimate(
            mean=cell["mean"],
            low=cell["low"],
            high=cell["high"],
            num_scored=cell.get("num_scored", 0),
            num_skipped=cell.get("num_skipped", 0),
        )
        for name, cell in by_metric.items()
    }


def _set_figure(cell: Mapping[str, Any]) -> SetFigure:
    return SetFigure(value=float(cell["value"]), num_images=cell.get("num_images"), std=cell.get("std"))


def _group(cell: Mapping[str, Any]) -> GroupScores:
    return GroupScores(num_pairs=int(cell["num_pairs"]), metrics=_estimates(cell["metrics"]))
