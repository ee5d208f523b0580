"""The index: every image, every pair and every exclusion of a data set, as three Parquet files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

from mcld.data.manifest import MANIFEST_NAME, check_file, read_manifest
from mcld.errors import DataError
from mcld.storage import atomic_path, sha256_of_file
from mcld.types import Exclusion, ImageRecord, Outfit, Pair

IMAGES_NAME, PAIRS_NAME, EXCLUSIONS_NAME = "images.parquet", "pairs.parquet", "exclusions.parquet"
INDEX_NAMES = (IMAGES_NAME, PAIRS_NAME, EXCLUSIONS_NAME)
ROWS_AT_ONCE = 4096  # what lies in memory beside the rows themselves does not grow with their number
_COLUMN_OF_TYPE = {"str": "string", "int": "int64"}

Row = TypeVar("Row", ImageRecord, Pair, Exclusion)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetIndex:
    """All that later stages know of the raw data. Images are ordered by part, then by key."""

    images: tuple[ImageRecord, ...]
    pairs: tuple[Pair, ...]
    exclusions: tuple[Exclusion, ...]

    def outfits(self) -> tuple[Outfit, ...]:
        """Images grouped by outfit, in the order of their first image."""
        return group_outfits(self.images)


def group_outfits(images: Iterable[ImageRecord]) -> tuple[Outfit, ...]:
    """Group images by outfit; outfits in the order of their first image."""
    groups: dict[str, list[ImageRecord]] = {}
    for image in images:
        groups.setdefault(image.outfit_key, []).append(image)
    return tuple(Outfit(key=key, split=group[0].split, images=tuple(group)) for key, group in groups.items())


def all_view_pairs(outfits: Iterable[Outfit]) -> tuple[Pair, ...]:
    """Every ordered pair of two views of one outfit."""
    return tuple(
        Pair(source=source.key, target=target.key, split=outfit.split)
        for outfit in outfits
        for source in outfit.images
        for target in outfit.images
        if source is not target
    )


def write_index(directory: Path, *, index: DatasetIndex) -> dict[str, str]:
    """Atomically write the three tables; returns their sha256 by name. Equal indexes give equal bytes."""
    _write_table(directory / IMAGES_NAME, rows=index.images, row_type=ImageRecord)
    _write_table(directory / PAIRS_NAME, rows=index.pairs, row_type=Pair)
    _write_table(directory / EXCLUSIONS_NAME, rows=index.exclusions, row_type=Exclusion)
    return {name: sha256_of_file(directory / name) for name in INDEX_NAMES}


def read_index(directory: Path) -> DatasetIndex:
    """Read the index that the dataset stage finished in `directory`.

    Raises DataError when the stage has not finished there, or a table is not the one its manifest names.
    """
    manifest = read_manifest(directory)
    for name in INDEX_NAMES:
        if name not in manifest.files:
            raise DataError(
                f"{directory / MANIFEST_NAME}: does not name {name}; run the stage 'dataset' again"
            )
        check_file(directory / name, sha256=manifest.files[name])
    known: dict[object, object] = {}
    return DatasetIndex(
        images=_read_table(directory / IMAGES_NAME, row_type=ImageRecord, known=known),
        pairs=_read_table(directory / PAIRS_NAME, row_type=Pair, known=known),
        exclusions=_read_table(directory / EXCLUSIONS_NAME, row_type=Exclusion, known=known),
    )


def _write_table(path: Path, *, rows: Sequence[Row], row_type: type[Row]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(column.name, _COLUMN_OF_TYPE[str(column.type)]) for column in fields(row_type)])
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for start in range(0, max(len(rows), 1), ROWS_AT_ONCE):
            chunk = rows[start : start + ROWS_AT_ONCE]
            columns = {name: [getattr(row, name) for row in chunk] for name in schema.names}
            writer.write_table(pa.table(columns, schema=schema))


def _read_table(path: Path, *, row_type: type[Row], known: dict[object, object]) -> tuple[Row, ...]:
    """The rows. Equal values are one object, in `known`: names of outfits and images come many times over."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [column.name for column in fields(row_type)]
    rows: list[Row] = []
    try:
        # Not pq.read_table: that loads the whole dataset module, half a second, to read one file.
        for batch in pq.ParquetFile(path).iter_batches(batch_size=ROWS_AT_ONCE, columns=names):
            table = batch.to_pydict()
            columns = [map(known.setdefault, table[name], table[name]) for name in names]
            rows += (row_type(**dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True))
    except (pa.ArrowException, OSError, KeyError) as error:
        raise DataError(
            f"{path}: not a table of this version ({error}); run the stage 'dataset' again"
        ) from error
    return tuple(rows)
