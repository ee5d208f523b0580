"""Scores by kind of pair: which garments are hard, and which turns (front to back shows what nobody saw)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from mcld.evaluation.intervals import estimate
from mcld.types import ImageRecord

Values = Sequence[float | None]
Value = TypeVar("Value")


def breakdown(
    scores: Mapping[str, Values], *, sources: Sequence[ImageRecord], targets: Sequence[ImageRecord]
) -> dict[str, dict[str, dict[str, object]]]:
    """`category` and `view_pair` to each of their names: how many pairs, and means with intervals.

    `scores` are of one row: metric to a value a pair, in the order of `sources` and `targets`. Intervals are
    drawn over outfits, as everywhere.
    """
    labels = {
        "category": [target.category for target in targets],
        "view_pair": [
            view_pair(source.view, target_view=target.view)
            for source, target in zip(sources, targets, strict=True)
        ],
    }
    outfits = [target.outfit_key for target in targets]
    return {
        kind: {
            name: _group(scores, outfits=outfits, chosen=[found == name for found in names])
            for name in sorted(set(names))
        }
        for kind, names in labels.items()
    }


def view_pair(source_view: str, *, target_view: str) -> str:
    """`front → back`, of `1_front` and `3_back`: the number says which photograph it is."""
    return " → ".join(view.partition("_")[2] or view for view in (source_view, target_view))


def _group(
    scores: Mapping[str, Values], *, outfits: Sequence[str], chosen: Sequence[bool]
) -> dict[str, object]:
    groups = _of(outfits, chosen=chosen)
    metrics: dict[str, dict[str, float | None]] = {}
    for name, values in scores.items():
        found = estimate(_of(values, chosen=chosen), groups=groups)
        metrics[name] = {"mean": found.mean, "low": found.low, "high": found.high}
    return {"num_pairs": sum(chosen), "metrics": metrics}


def _of(values: Sequence[Value], *, chosen: Sequence[bool]) -> list[Value]:
    return [value for value, is_chosen in zip(values, chosen, strict=True) if is_chosen]
