"""Image and IUV map to UV texture, or one made elsewhere, with the share of texels that the image shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mcld.config import Params, TextureParams
from mcld.data.codec import decode_iuv, encode_png
from mcld.data.columns import Column, write_part
from mcld.data.index import read_index
from mcld.errors import DataError
from mcld.stages.columns import Images, given_dir, images_dir, read_pixels, run_column
from mcld.stages.densepose import IUV_MEMBER
from mcld.stages.mapper import Mapper
from mcld.stages.parts import PartOutput, PartWork
from mcld.storage import canonical_json
from mcld.types import Exclusion, ImageRecord, Report
from mcld.workspace import Workspace

STAGE = "texture"
FORMAT_VERSION = 1
TEXTURE_MEMBER = "texture.png"
FACTS_MEMBER = "facts.json"  # {"visible_fraction": share of the atlas's texels that some pixel falls on}


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonPixels:
    """An image that shows a person: its pixels and its IUV map, both (H, W, 3) uint8."""

    image: ImageRecord
    pixels: np.ndarray
    iuv: np.ndarray


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
        """Write the part; images that turn out to be damaged are excluded."""
        exclusions: list[Exclusion] = []
        num_items = write_part(path, items=self._items(payload, exclusions=exclusions))
        return PartOutput(num_items=num_items, exclusions=tuple(exclusions))

    def _items(
        self, images: Images, *, exclusions: list[Exclusion]
    ) -> Iterator[tuple[str, dict[str, bytes]]]:
        for person in people_in(
            images, densepose=self.densepose, image_dir=self.image_dir, exclusions=exclusions
        ):
            yield person.image.key, self._item(person)

    def _item(self, person: PersonPixels) -> dict[str, bytes]:
        from mcld.conditions.texture import make_texture

        params = self.params
        try:
            texture = make_texture(
                person.pixels,
                iuv=person.iuv,
                layout=params.layout,
                fill=params.fill,
                part_size_px=params.part_size_px,
                fill_margin_px=params.fill_margin_px,
                black_is_missing=params.black_is_missing,
            )
        except DataError as error:
            raise DataError(f"{STAGE}: {person.image.key}: {error}") from error
        return texture_members(texture, iuv=person.iuv, part_size_px=params.part_size_px)


def people_in(
    images: Images, *, densepose: Column, image_dir: Path, exclusions: list[Exclusion]
) -> Iterator[PersonPixels]:
    """The images of a part that have an IUV map; damaged ones go to `exclusions`.

    Those without a map are exclusions of densepose, counted there. Raises DataError on a map of another size.
    """
    maps = densepose.read_part(images[0].part)
    for image in images:
        if image.key not in maps:
            continue
        pixels = read_pixels(image, root_dir=image_dir)
        if isinstance(pixels, str):
            exclusions.append(Exclusion(key=image.key, reason=pixels, stage=STAGE))
            continue
        try:
            iuv = decode_iuv(maps[image.key][IUV_MEMBER], height_px=image.height_px, width_px=image.width_px)
        except DataError as error:
            raise DataError(f"{STAGE}: {image.key}: {error}") from error
        yield PersonPixels(image=image, pixels=pixels, iuv=iuv)


def texture_members(texture: np.ndarray, *, iuv: np.ndarray, part_size_px: int) -> dict[str, bytes]:
    """A column item: the texture, and the share of the atlas's texels that some pixel falls on."""
    from mcld.conditions.texture import visible_fraction

    facts = {"visible_fraction": round(visible_fraction(iuv, part_size_px=part_size_px), 6)}
    return {TEXTURE_MEMBER: encode_png(texture), FACTS_MEMBER: canonical_json(facts).encode()}


def run(params: Params, *, workspace: Workspace, mapper: Mapper) -> Report:
    """Write artifacts/texture: the UV texture of every image that has an IUV map."""
    section = params.texture
    is_made = section.maker == "unwrap"
    return run_column(
        STAGE,
        images=read_index(workspace.stage_dir("dataset")).images,
        work=_unwrap(params, workspace=workspace) if is_made else _read(params, workspace=workspace),
        settings=_settings(section),
        format_version=FORMAT_VERSION,
        max_excluded_fraction=section.max_excluded_fraction,
        workspace=workspace,
        mapper=mapper,
    )


def _settings(section: TextureParams) -> dict[str, object]:
    """What shapes the bytes besides the images: for textures that are read, not how they would be made."""
    if section.maker == "unwrap":
        return section.model_dump(exclude={"max_excluded_fraction", "precomputed_dir", "precomputed_order"})
    return section.model_dump(include={"maker", "precomputed_order", "layout", "part_size_px"})


def _unwrap(params: Params, *, workspace: Workspace) -> PartWork[Images]:
    if params.texture.layout == "smpl512":
        from mcld.conditions.texture_smpl import check_installed

        check_installed()  # before any part is begun
    return TextureWork(
        image_dir=images_dir(params.dataset, workspace=workspace),
        densepose=Column.open(workspace.stage_dir("densepose")),
        params=params.texture,
    )


def _read(params: Params, *, workspace: Workspace) -> PartWork[Images]:
    from mcld.stages.given_textures import GivenTextures

    section = params.texture
    return GivenTextures(
        texture_dir=given_dir(section.precomputed_dir, dataset=params.dataset, workspace=workspace),
        image_dir=images_dir(params.dataset, workspace=workspace),
        densepose=Column.open(workspace.stage_dir("densepose")),
        params=section,
    )
