"""UV textures that were made elsewhere, in the format of the authors' published conditions, into a column.

`{train,test}_texture/<flattened name>.png`. A texture cannot say whether its red and blue were swapped on
the way, as happens between OpenCV and Pillow; the person it was unwrapped from can: over a part of images
the mean colour of textures must be nearer to that of the people's pixels as it is than swapped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mcld.conditions.texture_layouts import ATLAS_COLUMNS, ATLAS_ROWS
from mcld.conditions.texture_smpl import SMPL_SIZE_PX
from mcld.config import TextureParams
from mcld.data.codec import decode_image
from mcld.data.columns import Column, write_part
from mcld.data.deepfashion import parse_name
from mcld.errors import DataError
from mcld.stages.columns import Images
from mcld.stages.parts import PartOutput, PartWork
from mcld.stages.texture import STAGE, people_in, texture_members
from mcld.storage import sha256_of_file
from mcld.types import Exclusion, ImageRecord

NO_FILE = "no UV texture given"
MIN_GAIN_LEVELS = 2.0  # of 255: swapped must be nearer by so much, on average, to be called swapped


@dataclass(frozen=True, slots=True, kw_only=True)
class _Colours:
    """Mean colours (3,) float64 RGB of one person: their pixels, and the texture's texels."""

    person: np.ndarray
    texture: np.ndarray

    @property
    def error(self) -> float:
        """How far apart they are, in levels."""
        return float(np.abs(self.person - self.texture).mean())

    @property
    def error_swapped(self) -> float:
        """The same with the texture's red and blue swapped."""
        return float(np.abs(self.person - self.texture[::-1]).mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenTextures(PartWork[Images]):
    """Copies given textures into a part after checking them."""

    texture_dir: Path  # holds train_texture/ and test_texture/
    image_dir: Path
    densepose: Column
    params: TextureParams

    def inputs(self, payload: Images) -> object:
        """Every image's hash and that of the texture given for it, and the part of IUV maps beside them."""
        given = [[image.key, image.sha256, self._hash(image)] for image in payload]
        return [self.densepose.record(payload[0].part).sha256, given]

    def build(self, payload: Images, *, path: Path) -> PartOutput:
        """Write the part. Raises DataError when its textures' red and blue are swapped."""
        exclusions: list[Exclusion] = []
        colours: list[_Colours] = []
        num_items = write_part(path, items=self._items(payload, exclusions=exclusions, colours=colours))
        if _are_swapped(colours):
            path.unlink()
            raise DataError(
                f"{self.texture_dir}: red and blue are swapped in the textures of {payload[0].key} and its "
                f"neighbours; set texture.precomputed_order (now {self.params.precomputed_order}) to the "
                "other order"
            )
        return PartOutput(num_items=num_items, exclusions=tuple(exclusions))

    def _items(
        self, images: Images, *, exclusions: list[Exclusion], colours: list[_Colours]
    ) -> Iterator[tuple[str, dict[str, bytes]]]:
        for person in people_in(
            images, densepose=self.densepose, image_dir=self.image_dir, exclusions=exclusions
        ):
            key, texture = person.image.key, self._texture(person.image)
            if texture is None:
                exclusions.append(Exclusion(key=key, reason=NO_FILE, stage=STAGE))
                continue
            if texture.any():
                colours.append(_colours(person.pixels, iuv=person.iuv, texture=texture))
            yield key, texture_members(texture, iuv=person.iuv, part_size_px=self.params.part_size_px)

    def _texture(self, image: ImageRecord) -> np.ndarray | None:
        """(H, W, 3) uint8 RGB; None where none is given."""
        path = self._path(image)
        try:
            texture = decode_image(path.read_bytes())
        except FileNotFoundError:
            return None
        except DataError as error:
            raise DataError(f"{path}: {error}; repair it or remove it") from error
        expected = _size(self.params)
        if texture.shape != (*expected, 3):
            raise DataError(
                f"{path}: texture has shape {texture.shape}; expected {(*expected, 3)} by texture.layout "
                f"{self.params.layout} and texture.part_size_px {self.params.part_size_px}"
            )
        return texture if self.params.precomputed_order == "rgb" else np.ascontiguousarray(texture[..., ::-1])

    def _hash(self, image: ImageRecord) -> str:
        path = self._path(image)
        return sha256_of_file(path) if path.is_file() else "missing"

    def _path(self, image: ImageRecord) -> Path:
        return self.texture_dir / f"{image.split}_texture" / f"{parse_name(image.key).flat}.png"


def _size(params: TextureParams) -> tuple[int, int]:
    if params.layout == "smpl512":
        return SMPL_SIZE_PX, SMPL_SIZE_PX
    return ATLAS_ROWS * params.part_size_px, ATLAS_COLUMNS * params.part_size_px


def _colours(pixels: np.ndarray, *, iuv: np.ndarray, texture: np.ndarray) -> _Colours:
    person, texels = pixels[iuv[..., 0] > 0], texture[texture.any(axis=-1)]
    return _Colours(person=person.mean(axis=0), texture=texels.mean(axis=0))


def _are_swapped(colours: list[_Colours]) -> bool:
    """Whether, over all these people, swapped textures fit clearly better: half as far off, and by levels."""
    error = sum(person.error for person in colours)
    error_swapped = sum(person.error_swapped for person in colours)
    return error - error_swapped > MIN_GAIN_LEVELS * len(colours) and error_swapped < error / 2
