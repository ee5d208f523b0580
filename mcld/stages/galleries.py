"""Galleries of the report: which pictures stand side by side, and where each comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mcld.config import DatasetParams, GenerateParams
from mcld.data.codec import decode_image, decode_iuv
from mcld.data.columns import Column
from mcld.data.index import DatasetIndex
from mcld.errors import DataError
from mcld.evaluation import protocols
from mcld.evaluation.metrics import Metric
from mcld.evaluation.pictures import colour_iuv, fit
from mcld.evaluation.protocols import GeneratedPair, Row
from mcld.evaluation.report import Gallery, Picture, RankedPair, digits
from mcld.stages.columns import images_dir, read_image_bytes
from mcld.stages.densepose import IUV_MEMBER
from mcld.stages.texture import TEXTURE_MEMBER
from mcld.types import ImageRecord
from mcld.workspace import Workspace

UNSEEN_RGB = (0, 0, 0)  # texels that no pixel of the source shows


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """Finds the pictures of one pair. All come out (H, W, 3) uint8 RGB at evaluation size."""

    images: Mapping[str, ImageRecord]
    image_dir: Path
    densepose: Column
    texture: Column
    generate_dir: Path
    height_px: int
    width_px: int

    def image(self, key: str) -> np.ndarray:
        """A picture of the data set."""
        pixels = decode_image(read_image_bytes(self._record(key), root_dir=self.image_dir))
        return protocols.resize(pixels, height_px=self.height_px, width_px=self.width_px)

    def pose(self, key: str) -> np.ndarray:
        """The IUV map of a picture, in colour."""
        item = self.densepose.read_item(key, part_index=self._record(key).part)
        iuv = protocols.resize_iuv(
            decode_iuv(item[IUV_MEMBER]), height_px=self.height_px, width_px=self.width_px
        )
        return colour_iuv(iuv)

    def uv_texture(self, key: str) -> np.ndarray:
        """The UV texture unwrapped from a picture, whole."""
        item = self.texture.read_item(key, part_index=self._record(key).part)
        atlas = decode_image(item[TEXTURE_MEMBER])
        return fit(atlas, height_px=self.height_px, width_px=self.width_px, margin_rgb=UNSEEN_RGB)

    def generated(self, pair_id: str, *, row: Row) -> np.ndarray:
        """What the model made of a pair."""
        path = protocols.generated_path(self.generate_dir, row=row, pair_id=pair_id)
        return protocols.read_generated(path, height_px=self.height_px, width_px=self.width_px)

    def label(self, source_key: str, *, target_key: str) -> str:
        """A pair in words."""
        source, target = self._record(source_key), self._record(target_key)
        views = " → ".join(image.view.partition("_")[2] or image.view for image in (source, target))
        return f"{target.outfit_key}, {views}"

    def _record(self, key: str) -> ImageRecord:
        if key not in self.images:
            raise DataError(
                f"{self.generate_dir / 'pairs.json'}: names {key}, which the index lacks; run `mcld run "
                "generate`"
            )
        return self.images[key]


def open_shelf(
    dataset: DatasetParams, *, generate: GenerateParams, workspace: Workspace, index: DatasetIndex
) -> Shelf:
    """The shelf of a workspace. Raises DataError where a stage has not finished."""
    return Shelf(
        images={image.key: image for image in index.images},
        image_dir=images_dir(dataset, workspace=workspace),
        densepose=Column.open(workspace.stage_dir("densepose")),
        texture=Column.open(workspace.stage_dir("texture")),
        generate_dir=workspace.stage_dir("generate"),
        height_px=generate.height_px,
        width_px=generate.width_px,
    )


def result_gallery(shelf: Shelf, *, pairs: Sequence[GeneratedPair]) -> Gallery:
    """Source, its UV texture, target pose, generated, target."""
    rows = tuple(
        (
            shelf.label(pair.source, target_key=pair.target),
            (
                Picture(caption="source", image=shelf.image(pair.source)),
                Picture(caption="its UV texture", image=shelf.uv_texture(pair.source)),
                Picture(caption="target pose", image=shelf.pose(pair.target)),
                Picture(caption="generated", image=shelf.generated(pair.id, row="generated")),
                Picture(caption="target", image=shelf.image(pair.target)),
            ),
        )
        for pair in pairs
    )
    note = (
        "Test people the model has never seen. From the source's appearance and the target's pose it "
        "generates the fourth column; the fifth is what it should look like. Pairs are spread evenly over "
        "the test set, not chosen."
    )
    return Gallery(title="What it makes", note=note, rows=rows)


def wrong_source_gallery(shelf: Shelf, *, pairs: Sequence[GeneratedPair]) -> Gallery:
    """What another person's appearance makes of the same pose and noise."""
    rows = tuple(
        (
            shelf.label(pair.source, target_key=pair.target),
            (
                Picture(caption="wrong source", image=shelf.image(pair.wrong_source)),
                Picture(caption="from it", image=shelf.generated(pair.id, row="wrong_source")),
                Picture(caption="from the true source", image=shelf.generated(pair.id, row="generated")),
                Picture(caption="target", image=shelf.image(pair.target)),
            ),
        )
        for pair in pairs
    )
    note = (
        "The same pose and the same noise, dressed from another person: clothes, skin and hair should follow "
        "the source."
    )
    return Gallery(title="Does it listen to the source?", note=note, rows=rows)


def wrong_pose_gallery(shelf: Shelf, *, pairs: Sequence[GeneratedPair]) -> Gallery:
    """What another pose makes of the same source."""
    rows = tuple(
        (
            shelf.label(pair.source, target_key=pair.target),
            (
                Picture(caption="source", image=shelf.image(pair.source)),
                Picture(caption="wrong pose", image=shelf.pose(pair.wrong_pose)),
                Picture(caption="generated in it", image=shelf.generated(pair.id, row="wrong_pose")),
                Picture(caption="target", image=shelf.image(pair.target)),
            ),
        )
        for pair in pairs
    )
    note = "The same source in another pose: the person should stand as asked, not as in the target."
    return Gallery(title="Does it listen to the pose?", note=note, rows=rows)


def ranked_gallery(shelf: Shelf, *, ranked: Sequence[RankedPair], metric: Metric, title: str) -> Gallery:
    """Pairs from one end of the ranking, each with its score."""
    rows = tuple(
        (
            f"{metric.name} {digits(one.score)} · {shelf.label(one.pair.source, target_key=one.pair.target)}",
            (
                Picture(caption="source", image=shelf.image(one.pair.source)),
                Picture(caption="target pose", image=shelf.pose(one.pair.target)),
                Picture(caption="generated", image=shelf.generated(one.pair.id, row="generated")),
                Picture(caption="target", image=shelf.image(one.pair.target)),
            ),
        )
        for one in ranked
    )
    note = f"{metric.meaning}; {metric.direction} is better. Chosen by that number alone, not by eye."
    return Gallery(title=title, note=f"{note[0].upper()}{note[1:]}", rows=rows)
