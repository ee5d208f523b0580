"""An IUV map as a held outfit keeps it: compressed, and opened when a pair needs it.

Decoding a map of 1101 x 750 pixels takes 10 ms, so that it is done once, and only where a pair asks. From
then on the map is kept at the model's size under LZ4, which opens in 0.1 ms and takes the memory of the PNG.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcld.data.codec import decode_iuv
from mcld.errors import DataError
from mcld.framing import Framing
from mcld.types import IuvResize

_CODEC = "lz4_raw"
_NUM_CHANNELS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class FramedIuv:
    """A map at the model's size, and the size of the image that it is of."""

    pixels: np.ndarray  # (H, W, 3) uint8, channels I U V; read-only
    image_hw: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _PackedIuv:
    data: bytes  # (3, H, W) uint8 under LZ4: a channel by itself is smoother
    image_hw: tuple[int, int]


class IuvMap:
    """One view's map. Opening it changes how it is kept, never what it is."""

    def __init__(self, png: bytes, *, framing: Framing, resize: IuvResize, place: str) -> None:
        self._kept: bytes | _PackedIuv = png
        self._framing, self._resize, self._place = framing, resize, place

    @property
    def num_bytes(self) -> int:
        """Memory of the map as it is kept now."""
        return len(self._kept.data if isinstance(self._kept, _PackedIuv) else self._kept)

    def open(self) -> FramedIuv:
        """The map at the model's size.

        Raises DataError naming shard, sample and member when the PNG is no IUV map.
        """
        kept = self._kept
        if isinstance(kept, _PackedIuv):
            return FramedIuv(pixels=self._unpacked(kept), image_hw=kept.image_hw)
        try:
            iuv = decode_iuv(kept)
        except DataError as error:
            raise DataError(f"{self._place}: {error}") from error
        framed = FramedIuv(
            pixels=self._framing.iuv(iuv, resize=self._resize), image_hw=(iuv.shape[0], iuv.shape[1])
        )
        self._kept = _packed(framed)
        return framed

    def _unpacked(self, packed: _PackedIuv) -> np.ndarray:
        import pyarrow as pa

        shape = (_NUM_CHANNELS, self._framing.height_px, self._framing.width_px)
        num_bytes = int(np.prod(shape))
        data = pa.Codec(_CODEC).decompress(packed.data, decompressed_size=num_bytes)
        return np.moveaxis(np.frombuffer(data, np.uint8).reshape(shape), 0, -1)


def _packed(framed: FramedIuv) -> _PackedIuv:
    import pyarrow as pa

    planes = np.ascontiguousarray(np.moveaxis(framed.pixels, -1, 0))
    return _PackedIuv(data=pa.Codec(_CODEC).compress(planes, asbytes=True), image_hw=framed.image_hw)
