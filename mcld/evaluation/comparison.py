"""Runs side by side: which settings differ, whether their numbers do, and what each made of the same pairs.

The first run is the one that all others are compared with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mcld.evaluation.curves import Curve, curves_svg
from mcld.evaluation.intervals import Difference
from mcld.evaluation.metrics import Metric
from mcld.evaluation.run_scores import PairKey, RunScores, Score, difference_to, listed_metrics
from mcld.evaluation.strips import COLUMNS, GENERATED

ABSENT = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class PairPictures:
    """One pair of a run: its cells by `strips.COLUMNS`, each (H, W, 3) uint8 RGB."""

    label: str
    cells: tuple[np.ndarray, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedRun:
    """All that a comparison knows of a run. `place` says where it is from; `curves` are by metric."""

    name: str
    place: str
    params: Mapping[str, str]
    scores: RunScores | None
    pictures: Mapping[PairKey, PairPictures]
    curves: Mapping[str, tuple[tuple[int, float], ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricLine:
    """A metric of all runs; `differences` are to the first one, whose own is None."""

    metric: Metric
    scores: tuple[Score | None, ...]
    differences: tuple[Difference | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureRow:
    """A pair in words, and its pictures: source, target pose, what each run made (None: unknown), target."""

    label: str
    given: tuple[np.ndarray, ...]
    generated: tuple[np.ndarray | None, ...]
    target: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What a page shows; `notes` say what keeps runs from being compared."""

    runs: tuple[ComparedRun, ...]
    params: tuple[tuple[str, tuple[str, ...]], ...]
    metrics: tuple[MetricLine, ...]
    pictures: tuple[PictureRow, ...]
    charts: tuple[tuple[str, str], ...]  # title, SVG
    notes: tuple[str, ...]


def compare(runs: Sequence[ComparedRun]) -> Comparison:
    """Lay runs side by side."""
    return Comparison(
        runs=tuple(runs),
        params=differing_params(runs),
        metrics=_metric_lines(runs),
        pictures=_picture_rows(runs),
        charts=_charts(runs),
        notes=_notes(runs),
    )


def differing_params(runs: Sequence[ComparedRun]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Names and values of the settings that are not the same in all runs; one that a run lacks is a dash."""
    names = sorted({name for run in runs for name in run.params})
    lines = [(name, tuple(run.params.get(name, ABSENT) for run in runs)) for name in names]
    return tuple(line for line in lines if len(set(line[1])) > 1)


def _metric_lines(runs: Sequence[ComparedRun]) -> tuple[MetricLine, ...]:
    scored = [run.scores for run in runs if run.scores is not None]
    return tuple(_metric_line(metric, runs=runs) for metric in listed_metrics(scored))


def _metric_line(metric: Metric, *, runs: Sequence[ComparedRun]) -> MetricLine:
    first = runs[0].scores
    differences = [
        None
        if number == 0 or first is None or run.scores is None
        else difference_to(first, run.scores, name=metric.name)
        for number, run in enumerate(runs)
    ]
    return MetricLine(
        metric=metric,
        scores=tuple(None if run.scores is None else run.scores.scores.get(metric.name) for run in runs),
        differences=tuple(differences),
    )


def _picture_rows(runs: Sequence[ComparedRun]) -> tuple[PictureRow, ...]:
    """The pairs that at least two runs show, in the order of the first run that has them."""
    keys = list(dict.fromkeys(key for run in runs for key in run.pictures))
    needed = min(2, len(runs))
    shared = [key for key in keys if sum(key in run.pictures for run in runs) >= needed]
    return tuple(_picture_row(key, runs=runs) for key in shared)


def _picture_row(key: PairKey, *, runs: Sequence[ComparedRun]) -> PictureRow:
    known = next(run.pictures[key] for run in runs if key in run.pictures)
    return PictureRow(
        label=known.label,
        given=known.cells[:GENERATED],
        generated=tuple(run.pictures[key].cells[GENERATED] if key in run.pictures else None for run in runs),
        target=known.cells[COLUMNS.index("target")],
    )


def _charts(runs: Sequence[ComparedRun]) -> tuple[tuple[str, str], ...]:
    names = list(dict.fromkeys(name for run in runs for name in run.curves))
    charts = [
        (name, curves_svg(name, curves=[Curve(run=r.name, points=r.curves.get(name, ())) for r in runs]))
        for name in names
    ]
    return tuple(chart for chart in charts if chart[1])


def _notes(runs: Sequence[ComparedRun]) -> tuple[str, ...]:
    first = runs[0]
    notes = [f"{run.name}: has no evaluation." for run in runs if run.scores is None]
    for run in runs[1:]:
        if first.scores is not None and run.scores is not None:
            notes += _obstacles(first.scores, run.scores, names=(first.name, run.name))
    return tuple(notes)


def _obstacles(first: RunScores, run: RunScores, *, names: tuple[str, str]) -> list[str]:
    if first.size_px != run.size_px:
        return [f"{names[1]}: scored at another image size than {names[0]}; no differences are shown."]
    if first.pairs is None or run.pairs is None:
        return [f"{names[1]}: no scores by pair to compare with {names[0]}."]
    shared = set(first.pairs.keys) & set(run.pairs.keys)
    if len(shared) == len(first.pairs.keys) == len(run.pairs.keys):
        return []
    return [
        f"{names[1]}: {len(shared)} of its {len(run.pairs.keys)} pairs are also among the "
        f"{len(first.pairs.keys)} of {names[0]}; differences are of those alone."
    ]
