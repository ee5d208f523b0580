"""per_pair.parquet comes back as it was written."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mcld.errors import DataError
from mcld.evaluation.pair_table import read_pair_table
from mcld.evaluation.protocols import ROWS, GeneratedPair
from mcld.evaluation.table import write_per_pair
from mcld.types import ImageRecord

VIEWS = ("1_front", "3_back")


def record(view: str) -> ImageRecord:
    return ImageRecord(
        key=f"a/{view}",
        outfit_key="a",
        view=view,
        gender="WOMEN",
        category="Dresses",
        split="test",
        path="x.jpg",
        sha256="0",
        height_px=1,
        width_px=1,
        num_bytes=1,
        part=0,
    )


def write(path: Path) -> None:
    images = {image.key: image for image in map(record, VIEWS)}
    front, back = images
    pairs = [
        GeneratedPair(id=f"{number:06d}", source=source, target=target, wrong_source="w", wrong_pose="p")
        for number, (source, target) in enumerate([(front, back), (back, front)])
    ]
    scores = {row: {"ssim": [0.1 * number, None]} for number, row in enumerate(ROWS)}
    write_per_pair(path, pairs=pairs, images=images, scores=scores)


def test_pairs_and_scores_come_back_by_row(tmp_path: Path) -> None:
    write(tmp_path / "per_pair.parquet")
    found = read_pair_table((tmp_path / "per_pair.parquet").read_bytes(), place="here")
    assert [pair.view_pair for pair in found.pairs] == ["front → back", "back → front"]
    assert {pair.outfit for pair in found.pairs} == {"a"}
    assert {row: scores["ssim"] for row, scores in found.scores.items()} == {
        row: (0.1 * number, None) for number, row in enumerate(ROWS)
    }


def test_damage_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="here: not the scores of an evaluation"):
        read_pair_table(b"no parquet", place="here")
    write(tmp_path / "per_pair.parquet")
    table = pq.read_table(tmp_path / "per_pair.parquet")
    for broken, words in ((table.drop_columns(["category"]), "not the scores"), (table[:-1], "same pairs")):
        stream = io.BytesIO()
        pq.write_table(broken, stream)
        with pytest.raises(DataError, match=f"here: .*{words}"):
            read_pair_table(stream.getvalue(), place="here")
