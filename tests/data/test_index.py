"""The index survives a round trip, in equal bytes, and refuses tables that are not its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mcld.data.index import DatasetIndex, all_view_pairs, group_outfits, read_index, write_index
from mcld.data.manifest import write_manifest
from mcld.errors import DataError
from mcld.storage import sha256_of_file
from mcld.types import Exclusion, ImageRecord, Manifest, Pair


def image(view: str, *, outfit: str = "WOMEN-Dresses-id_00000001-01") -> ImageRecord:
    return ImageRecord(
        key=f"{outfit}/{view}",
        outfit_key=outfit,
        view=view,
        gender="WOMEN",
        category="Dresses",
        split="train",
        path=f"img_highres/{view}.jpg",
        sha256="0" * 64,
        num_bytes=2**40,
        height_px=1101,
        width_px=750,
        part=3,
    )


IMAGES = (image("1_front"), image("2_side"), image("1_front", outfit="MEN-Denim-id_00000002-01"))
INDEX = DatasetIndex(
    images=IMAGES,
    pairs=all_view_pairs(group_outfits(IMAGES)),
    exclusions=(Exclusion(key="a/6_flat", reason="blank image: très blanc", stage="dataset"),),
)


def finish(directory: Path, *, index: DatasetIndex = INDEX) -> None:
    files = write_index(directory, index=index)
    manifest = Manifest(stage="dataset", format_version=1, settings={}, parts=(), files=files)
    write_manifest(directory, manifest=manifest)


def test_index_survives_a_round_trip(tmp_path: Path) -> None:
    finish(tmp_path)
    assert read_index(tmp_path) == INDEX
    empty = DatasetIndex(images=(), pairs=(), exclusions=())
    finish(tmp_path, index=empty)
    assert read_index(tmp_path) == empty


def test_equal_indexes_give_equal_bytes(tmp_path: Path) -> None:
    assert write_index(tmp_path / "a", index=INDEX) == write_index(tmp_path / "b", index=replace(INDEX))


def test_pairs_join_the_views_of_one_outfit_in_both_directions() -> None:
    outfit = "WOMEN-Dresses-id_00000001-01"
    front, side = f"{outfit}/1_front", f"{outfit}/2_side"
    assert INDEX.pairs == (
        Pair(source=front, target=side, split="train"),
        Pair(source=side, target=front, split="train"),
    )


def test_altered_or_missing_table_is_an_error_naming_it(tmp_path: Path) -> None:
    finish(tmp_path)
    path = tmp_path / "pairs.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"pairs\.parquet: damaged"):
        read_index(tmp_path)
    path.unlink()
    with pytest.raises(DataError, match=r"pairs\.parquet: missing, though the manifest names it"):
        read_index(tmp_path)


def test_table_of_another_version_says_what_to_do(tmp_path: Path) -> None:
    finish(tmp_path)
    (tmp_path / "images.parquet").write_bytes((tmp_path / "exclusions.parquet").read_bytes())
    names = ("images.parquet", "pairs.parquet", "exclusions.parquet")
    manifest = Manifest(
        stage="dataset",
        format_version=1,
        settings={},
        parts=(),
        files={name: sha256_of_file(tmp_path / name) for name in names},
    )
    write_manifest(tmp_path, manifest=manifest)
    with pytest.raises(DataError, match=r"images\.parquet: not a table of this version"):
        read_index(tmp_path)
