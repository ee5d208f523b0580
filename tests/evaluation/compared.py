"""Evaluations of few pairs with known scores, for tests of what compares them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mcld.evaluation.comparison import ComparedRun, PairPictures
from mcld.evaluation.run_scores import PairKey, RunScores, read_run_scores
from mcld.evaluation.strips import COLUMNS

NUM_OUTFITS = 8


def keys(num_outfits: int = NUM_OUTFITS) -> list[PairKey]:
    """One pair an outfit."""
    return [(f"outfit-{number}/1_front", f"outfit-{number}/3_back") for number in range(num_outfits)]


def parquet(scores: Mapping[str, Sequence[float | None]], *, of: Sequence[PairKey]) -> bytes:
    """per_pair.parquet with a second row of images, which is none of the generated."""
    columns: dict[str, Sequence[object]] = {
        "row": ["generated"] * len(of) + ["wrong_pose"] * len(of),
        "id": [f"{number:06d}" for number in range(len(of))] * 2,
        "source": [source for source, _ in of] * 2,
        "target": [target for _, target in of] * 2,
        "category": ["Dresses"] * 2 * len(of),
    }
    table = {name: pa.array([*values, *([0.0] * len(of))], pa.float64()) for name, values in scores.items()}
    stream = io.BytesIO()
    pq.write_table(pa.table({**columns, **table}), stream)
    return stream.getvalue()


def rows_json(scores: Mapping[str, Sequence[float | None]], *, num_pairs: int) -> dict[str, object]:
    def cell(values: Sequence[float | None]) -> dict[str, float | None]:
        known = [value for value in values if value is not None]
        mean = sum(known) / len(known)
        return {
            "mean": mean,
            "low": mean - 0.01,
            "high": mean + 0.01,
            "num_scored": len(known),
            "num_skipped": len(values) - len(known),
        }

    generated = {name: cell(values) for name, values in scores.items()}
    return {"num_pairs": num_pairs, "height_px": 64, "width_px": 48, "rows": {"generated": generated}}


def run_scores(
    scores: Mapping[str, Sequence[float | None]], *, of: Sequence[PairKey] | None = None
) -> RunScores:
    pairs = keys() if of is None else of
    rows = rows_json(scores, num_pairs=len(pairs))
    return read_run_scores(rows, per_pair=parquet(scores, of=pairs), place="here")


def compared_run(name: str, *, scores: RunScores | None = None, **params: str) -> ComparedRun:
    """A run with one picture, whose grey says whose it is."""
    cells = tuple(np.full((8, 6, 3), 10 * number, np.uint8) for number in range(len(COLUMNS)))
    pictures = {keys()[0]: PairPictures(label="a pair", cells=cells)}
    return ComparedRun(
        name=name,
        place=f"run {name}",
        params=params,
        scores=scores,
        pictures=pictures,
        curves={"train.loss": ((1, 1.0), (2, 0.1))},
    )
