"""From the scores of an image folder to its row: means with intervals, and labels for what is odd."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from mcld.evaluation.intervals import estimate
from mcld.stages.folder_part import JPEG, RESIZED, WITHOUT_IUV, FolderPair
from mcld.storage import atomic_path
from mcld.types import ImageRecord, Manifest

Scores = Mapping[str, Sequence[float | None]]  # metric to one score a pair, in pair order
NEEDS_IUV = "needs IUV maps of the targets; run `mcld run densepose`"


def labels(manifest: Manifest, *, num_expected: int) -> list[str]:
    """What a reader of the row must know; empty when there is nothing to say."""
    num_scored, counts = manifest.num_items, manifest.counts
    said = []
    if num_scored < num_expected:
        said.append(f"{num_scored} of {num_expected} test pairs")
    if jpeg := counts.get(JPEG, 0):
        said.append(f"{jpeg} of {num_scored} images are JPEG where the protocols want PNG: JPEG moves FID")
    if resized := counts.get(RESIZED, 0):
        said.append(f"{resized} of {num_scored} images resized")
    return said


def estimates(
    scores: Scores, *, groups: Sequence[str], manifest: Manifest
) -> tuple[dict[str, object], dict[str, str]]:
    """Metric to its estimate, as in rows.json, and why others have none.

    `groups` names every pair's outfit.
    """
    found: dict[str, object] = {}
    absent: dict[str, str] = {}
    has_no_iuv = manifest.counts.get(WITHOUT_IUV, 0) == manifest.num_items
    for name, values in scores.items():
        if has_no_iuv and all(value is None for value in values):
            absent[name] = NEEDS_IUV
        else:
            found[name] = asdict(estimate(values, groups=groups))
    return found, absent


def write_pairs(
    path: Path,
    *,
    name: str,
    pairs: Sequence[FolderPair],
    images: Mapping[str, ImageRecord],
    scores: Scores,
) -> None:
    """Write one line a pair, with the columns of the stage's own table; `name` is the row."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table: dict[str, Sequence[str] | Sequence[float | None]] = {
        "row": [name] * len(pairs),
        "id": [pair.id for pair in pairs],
        "source": [pair.source for pair in pairs],
        "target": [pair.target for pair in pairs],
        "category": [images[pair.target].category for pair in pairs],
        "source_view": [images[pair.source].view for pair in pairs],
        "target_view": [images[pair.target].view for pair in pairs],
        **scores,
    }
    schema = pa.schema([(column, "float64" if column in scores else "string") for column in table])
    with atomic_path(path) as temporary:
        pq.write_table(pa.table(table, schema=schema), temporary, compression="zstd")
