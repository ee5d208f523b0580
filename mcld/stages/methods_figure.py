"""Figures 3 and 4 of the paper: the same pairs as several methods, or several models of ours, make them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mcld.config import Params
from mcld.data.codec import decode_image, decode_iuv
from mcld.data.columns import Column
from mcld.data.index import DatasetIndex
from mcld.errors import DataError
from mcld.evaluation import protocols
from mcld.evaluation.figures import FigureCell, draw_figure
from mcld.evaluation.foreign_image import read_foreign_image
from mcld.evaluation.pictures import colour_iuv, fit
from mcld.stages.columns import images_dir, read_image_bytes
from mcld.stages.densepose import IUV_MEMBER
from mcld.stages.figure_columns import PairKey, PictureColumn
from mcld.types import ImageRecord
from mcld.workspace import Workspace

MIN_CELL_HEIGHT_PX = 256  # of what is printed; images smaller than this are enlarged
SOURCE, POSE, TARGET = "source", "target pose", "target"


@dataclass(frozen=True, slots=True, kw_only=True)
class PairPictures:
    """What is known of a pair before anything is generated: (H, W, 3) uint8 RGB at evaluation size."""

    images: Mapping[str, ImageRecord]
    image_dir: Path
    densepose: Column
    height_px: int
    width_px: int

    @classmethod
    def open(cls, params: Params, *, index: DatasetIndex, workspace: Workspace) -> PairPictures:
        """Raises DataError when the stage `densepose` has not finished."""
        return cls(
            images={image.key: image for image in index.images},
            image_dir=images_dir(params.dataset, workspace=workspace),
            densepose=Column.open(workspace.stage_dir("densepose")),
            height_px=params.generate.height_px,
            width_px=params.generate.width_px,
        )

    def image(self, key: str) -> np.ndarray:
        """A picture of the data set."""
        pixels = decode_image(read_image_bytes(self.images[key], root_dir=self.image_dir))
        return protocols.resize(pixels, height_px=self.height_px, width_px=self.width_px)

    def pose(self, key: str) -> np.ndarray:
        """The IUV map of a picture, in colour."""
        item = self.densepose.read_item(key, part_index=self.images[key].part)
        iuv = decode_iuv(item[IUV_MEMBER])
        return colour_iuv(protocols.resize_iuv(iuv, height_px=self.height_px, width_px=self.width_px))

    def generated(self, column: PictureColumn, *, pair: PairKey) -> np.ndarray:
        """What a column shows of a pair, brought to this size. Raises DataError naming a file that is bad."""
        path = column.files[pair]
        try:
            found = read_foreign_image(
                path.read_bytes(), height_px=self.height_px, width_px=self.width_px, resizes=True
            )
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}); complete the folder") from error
        except DataError as error:
            raise DataError(f"{path}: {error}; replace the file, or leave the column out") from error
        return found.pixels


def methods_figure(
    pictures: PairPictures, *, columns: Sequence[PictureColumn], pairs: Sequence[PairKey]
) -> np.ndarray:
    """Return a row a pair, uint8 RGB: source, target pose and target, then what each method made of it."""
    rows = [
        [
            pictures.image(source),
            pictures.pose(target),
            pictures.image(target),
            *(pictures.generated(column, pair=(source, target)) for column in columns),
        ]
        for source, target in pairs
    ]
    headings = (SOURCE, POSE, TARGET, *(column.name for column in columns))
    return draw_figure(_cells(rows), headings=headings, rules_before=(3,))


def ablation_figure(
    pictures: PairPictures, *, columns: Sequence[PictureColumn], pairs: Sequence[PairKey]
) -> np.ndarray:
    """Return a row a pair, uint8 RGB: source and target pose, what each model made of them, the target."""
    rows = [
        [
            pictures.image(source),
            pictures.pose(target),
            *(pictures.generated(column, pair=(source, target)) for column in columns),
            pictures.image(target),
        ]
        for source, target in pairs
    ]
    headings = (SOURCE, POSE, *(column.name for column in columns), TARGET)
    return draw_figure(_cells(rows), headings=headings, rules_before=(2, 2 + len(columns)))


def _cells(rows: Sequence[Sequence[np.ndarray]]) -> list[list[FigureCell]]:
    return [[FigureCell(picture=printed(picture)) for picture in row] for row in rows]


def printed(picture: np.ndarray) -> np.ndarray:
    """A cell's picture, enlarged where it is too small to be looked at beside text."""
    high, wide = picture.shape[:2]
    if high >= MIN_CELL_HEIGHT_PX:
        return picture
    width_px = round(wide * MIN_CELL_HEIGHT_PX / high)
    return fit(picture, height_px=MIN_CELL_HEIGHT_PX, width_px=width_px)
