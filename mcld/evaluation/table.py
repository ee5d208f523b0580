"""Every score of every pair as a Parquet table, for breakdowns, worst cases and comparisons of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mcld.evaluation.protocols import ROWS, GeneratedPair
from mcld.evaluation.summary import Scores
from mcld.storage import atomic_path
from mcld.types import ImageRecord


def write_per_pair(
    path: Path, *, pairs: Sequence[GeneratedPair], images: Mapping[str, ImageRecord], scores: Scores
) -> None:
    """Write one line a row and pair: who it was, category and views (for breakdowns), and every score."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table: dict[str, Sequence[str] | Sequence[float | None]] = {
        "row": [row for row in ROWS for _ in pairs],
        "id": [pair.id for pair in pairs] * len(ROWS),
        "source": [pair.source for pair in pairs] * len(ROWS),
        "target": [pair.target for pair in pairs] * len(ROWS),
        "category": [images[pair.target].category for pair in pairs] * len(ROWS),
        "source_view": [images[pair.source].view for pair in pairs] * len(ROWS),
        "target_view": [images[pair.target].view for pair in pairs] * len(ROWS),
    }
    metric_names = list(scores["generated"])
    table |= {name: [value for row in ROWS for value in scores[row][name]] for name in metric_names}
    schema = pa.schema([(name, "float64" if name in metric_names else "string") for name in table])
    with atomic_path(path) as temporary:
        pq.write_table(pa.table(table, schema=schema), temporary, compression="zstd")
