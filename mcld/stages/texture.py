"""Image and IUV map to UV texture, with the share of texels that the image shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mcld.config import Params, TextureParams
from mcld.data.codec import decode_image, decode_iuv, encode_png
from mcld.data.columns import Column, write_part
from mcld.data.index import read_index
from mcld.errors import DataError
from mcld.stages.columns import Images, images_dir, read_image_bytes, run_column
from mcld.stages.densepose import IUV_MEMBER
from mcld.stages.mapper import Mapper
from mcld.stages.parts import PartOutput, PartWork
from mcld.storage import canonical_json
from mcld.types import ImageRecord, Report
from mcld.workspace import Workspace

STAGE = "texture"
FORMAT_VERSION = 1
TEXTURE_MEMBER = "texture.png"
FACTS_MEMBER = "facts.json"  # {"visible_fraction": share of the atlas's texels that some pixel falls on}


@dataclass(frozen=True, slots=True, kw_only=True)
class TextureWork(PartWork[Images]):
    """Unwraps a part's images."""

    image_dir: Path
    densepose: Column
    params: TextureParams

    def inputs(self, payload: Images) -> object:
        """Every image's hash, and the part of IUV maps they are unwrapped by."""
        return [
            self.densepose.record(payload[0].part).sha256,
            [[image.key, image.sha256] for image in payload],
        ]

    def build(self, payload: Images, *, path: Path) -> PartOutput:
        """Write the part."""
        return PartOutput(num_items=write_part(path, items=self._items(payload)))

    def _items(self, images: Images) -> Iterator[tuple[str, dict[str, bytes]]]:
        iuvs = self.densepose.read_part(images[0].part)
        for image in images:
            if image.key in iuvs:  # the others are exclusions of densepose, counted there
                yield image.key, self._item(image, iuv_png=iuvs[image.key][IUV_MEMBER])

    def _item(self, image: ImageRecord, *, iuv_png: bytes) -> dict[str, bytes]:
        from mcld.conditions.texture import make_texture, visible_fraction

        params = self.params
        try:
            pixels = decode_image(read_image_bytes(image, root_dir=self.image_dir))
            iuv = decode_iuv(iuv_png, height_px=image.height_px, width_px=image.width_px)
            texture = make_texture(
                pixels,
                iuv=iuv,
                layout=params.layout,
                fill=params.fill,
                part_size_px=params.part_size_px,
                fill_margin_px=params.fill_margin_px,
                black_is_missing=params.black_is_missing,
            )
        except DataError as error:
            raise DataError(f"{STAGE}: {image.key}: {error}") from error
        facts = {"visible_fraction": round(visible_fraction(iuv, part_size_px=params.part_size_px), 6)}
        return {TEXTURE_MEMBER: encode_png(texture), FACTS_MEMBER: canonical_json(facts).encode()}


def run(params: Params, *, workspace: Workspace, mapper: Mapper) -> Report:
    """Write artifacts/texture: the UV texture of every image that has an IUV map."""
    section = params.texture
    if section.layout == "smpl512":
        from mcld.conditions.texture_smpl import check_installed

        check_installed()  # before any part is begun
    work = TextureWork(
        image_dir=images_dir(params.dataset, workspace=workspace),
        densepose=Column.open(workspace.stage_dir("densepose")),
        params=section,
    )
    return run_column(
        STAGE,
        images=read_index(workspace.stage_dir("dataset")).images,
        work=work,
        settings=section.model_dump(exclude={"max_excluded_fraction"}),
        format_version=FORMAT_VERSION,
        max_excluded_fraction=section.max_excluded_fraction,
        workspace=workspace,
        mapper=mapper,
    )
