"""An IUV map as a held outfit keeps it: compressed, and opened when a pair needs it.

Shards hold maps twice: at the model's size, which opens in 1 ms, and as they are, 10 ms at 750 x 1101 pixels.
Either is done once, and only where a pair asks. From then on the map is kept at the model's size under LZ4,
which opens in 0.1 ms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mcld.data.codec import decode_iuv, decode_pose
from mcld.errors import DataError
from mcld.framing import Framing
from mcld.types import IuvResize

_CODEC = "lz4_raw"


@dataclass(frozen=True, slots=True, kw_only=True)
class FramedIuv:
    """A map at the model's size, and the size of the image that it is of."""

    pixels: np.ndarray  # (H, W, 3) uint8, channels I U V; read-only
    image_hw: tuple[int, int]


class IuvForm(Protocol):
    """How a shard holds a map."""

    def read(self, data: bytes) -> FramedIuv:
        """The map at the model's size. Raises DataError when the bytes are no such map."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginalIuv:
    """A PNG of the image's own size, to be brought to the model's."""

    framing: Framing
    resize: IuvResize

    def read(self, data: bytes) -> FramedIuv:
        """Decode and resize."""
        iuv = decode_iuv(data)
        pixels = self.framing.iuv(iuv, resize=self.resize)
        return FramedIuv(pixels=pixels, image_hw=(iuv.shape[0], iuv.shape[1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseIuv:
    """A WebP of the model's size, of an image that had another."""

    framing: Framing
    image_hw: tuple[int, int]

    def read(self, data: bytes) -> FramedIuv:
        """Decode."""
        pixels = decode_pose(data, height_px=self.framing.height_px, width_px=self.framing.width_px)
        return FramedIuv(pixels=pixels, image_hw=self.image_hw)


@dataclass(frozen=True, slots=True, kw_only=True)
class _PackedIuv:
    data: bytes  # (3, H, W) uint8 under LZ4: a channel by itself is smoother
    shape: tuple[int, ...]  # (3, H, W)
    image_hw: tuple[int, int]


class IuvMap:
    """One view's map. Opening it changes how it is kept, never what it is."""

    def __init__(self, data: bytes, *, form: IuvForm, place: str) -> None:
        self._kept: bytes | _PackedIuv = data
        self._form, self._place = form, place

    @property
    def num_bytes(self) -> int:
        """Memory of the map as it is kept now."""
        return len(self._kept.data if isinstance(self._kept, _PackedIuv) else self._kept)

    def open(self) -> FramedIuv:
        """The map at the model's size.

        Raises DataError naming shard, sample and member when the bytes are no IUV map.
        """
        kept = self._kept
        if isinstance(kept, _PackedIuv):
            return FramedIuv(pixels=_unpacked(kept), image_hw=kept.image_hw)
        try:
            framed = self._form.read(kept)
        except DataError as error:
            raise DataError(f"{self._place}: {error}") from error
        self._kept = _packed(framed)
        return framed


def _unpacked(packed: _PackedIuv) -> np.ndarray:
    import pyarrow as pa

    num_bytes = math.prod(packed.shape)
    data = pa.Codec(_CODEC).decompress(packed.data, decompressed_size=num_bytes)
    return np.moveaxis(np.frombuffer(data, np.uint8).reshape(packed.shape), 0, -1)


def _packed(framed: FramedIuv) -> _PackedIuv:
    import pyarrow as pa

    planes = np.ascontiguousarray(np.moveaxis(framed.pixels, -1, 0))
    data = pa.Codec(_CODEC).compress(planes, asbytes=True)
    return _PackedIuv(data=data, shape=planes.shape, image_hw=framed.image_hw)
