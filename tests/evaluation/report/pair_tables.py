"""Scores of few pairs, known, for tests of what is told of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mcld.evaluation.pair_table import PairEntry, PairTable

Scores = Mapping[str, Mapping[str, Sequence[float | None]]]


def pair_table(scores: Scores, *, categories: Sequence[str] = (), views: Sequence[str] = ()) -> PairTable:
    """One pair an outfit; `views` are those of the targets, all sources are seen from the front."""
    num_pairs = len(next(iter(next(iter(scores.values())).values())))
    pairs = tuple(
        PairEntry(
            id=f"{number:06d}",
            source=f"outfit-{number}/1_front",
            target=f"outfit-{number}/{views[number] if views else '3_back'}",
            category=categories[number] if categories else "Dresses",
            source_view="1_front",
            target_view=views[number] if views else "3_back",
        )
        for number in range(num_pairs)
    )
    return PairTable(
        pairs=pairs,
        scores={
            row: {name: tuple(values) for name, values in by_metric.items()}
            for row, by_metric in scores.items()
        },
    )
