"""A decoded outfit: all its views as arrays at model resolution, from which any pair is a few slices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from mcld.data.codec import decode_iuv, decode_npy
from mcld.data.shards import OutfitSample
from mcld.errors import DataError
from mcld.types import IuvResize, Pair, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedOutfit:
    """Arrays over N views.

    H W model resolution, h w its latent cells, h' w' the texture's, D CLIP width, F face width.
    """

    sample: OutfitSample
    iuv: np.ndarray  # (N, H, W, 3) uint8, channels I U V
    image_moments: np.ndarray  # (N, 2C, h, w) float16
    texture_moments: np.ndarray  # (N, 2C, h', w') float16
    embeddings: np.ndarray  # (N, 2, D) float32: image, texture
    faces: np.ndarray  # (N, F) float32

    @property
    def num_bytes(self) -> int:
        """Memory of all arrays."""
        arrays = (self.iuv, self.image_moments, self.texture_moments, self.embeddings, self.faces)
        return sum(array.nbytes for array in arrays)

    def view_index(self, key: str) -> int:
        """The position of an image key among the views. Raises DataError when it is none of them."""
        view = key.rpartition("/")[2]
        if view not in self.sample.views:
            known = ", ".join(self.sample.views)
            raise DataError(f"{key}: no such view; outfit {self.sample.outfit} has {known}")
        return self.sample.views.index(view)


def decode_outfit(
    members: Mapping[str, bytes],
    *,
    sample: OutfitSample,
    height_px: int,
    width_px: int,
    iuv_resize: IuvResize = "nearest",
) -> DecodedOutfit:
    """Decode a sample's conditions; pictures stay encoded, training does not look at them.

    Raises DataError naming shard, sample and member.
    """
    views = sample.views
    resize = resize_labels if iuv_resize == "nearest" else resize_intensities
    iuvs = [
        resize(_decode_iuv(members, view=view, sample=sample), height_px=height_px, width_px=width_px)
        for view in views
    ]
    return DecodedOutfit(
        sample=sample,
        iuv=np.stack(iuvs),
        image_moments=_stack(members, member="image_moments.npy", sample=sample),
        texture_moments=_stack(members, member="texture_moments.npy", sample=sample),
        embeddings=_stack(members, member="embeddings.npy", sample=sample),
        faces=_stack(members, member="face.npy", sample=sample),
    )


def sample_of(pair: Pair, *, source: DecodedOutfit, target: DecodedOutfit) -> Sample:
    """The model's view of a pair.

    Source and target may be of two outfits: that is how a wrong source is shown.
    """
    source_view, target_view = source.view_index(pair.source), target.view_index(pair.target)
    image_embedding, texture_embedding = source.embeddings[source_view]
    return Sample(
        pair=pair,
        target_moments=target.image_moments[target_view].astype(np.float32),
        target_iuv=target.iuv[target_view],
        texture_moments=source.texture_moments[source_view].astype(np.float32),
        image_embedding=image_embedding,
        texture_embedding=texture_embedding,
        face_embedding=source.faces[source_view],
        face_found=source.sample.face_found[source_view],
    )


def resize_labels(labels: np.ndarray, *, height_px: int, width_px: int) -> np.ndarray:
    """(H, W, …) to (height_px, width_px, …) by the nearest pixel centre: part ids are no intensities."""
    rows = ((np.arange(height_px) + 0.5) * labels.shape[0] / height_px).astype(np.int64)
    columns = ((np.arange(width_px) + 0.5) * labels.shape[1] / width_px).astype(np.int64)
    return np.ascontiguousarray(labels[rows[:, None], columns])


def resize_intensities(iuv: np.ndarray, *, height_px: int, width_px: int) -> np.ndarray:
    """(H, W, 3) uint8 to (height_px, width_px, 3) by Pillow's bicubic, as the authors do.

    Part ids blend at borders: kept for their recipe.
    """
    image = Image.fromarray(np.ascontiguousarray(iuv))
    return np.array(image.resize((width_px, height_px), Image.Resampling.BICUBIC))


def _decode_iuv(members: Mapping[str, bytes], *, view: str, sample: OutfitSample) -> np.ndarray:
    try:
        return decode_iuv(members[f"{view}.iuv.png"])
    except (DataError, KeyError) as error:
        raise DataError(f"{sample.shard}: sample {sample.outfit}: {view}.iuv.png: {error}") from error


def _stack(members: Mapping[str, bytes], *, member: str, sample: OutfitSample) -> np.ndarray:
    arrays: list[np.ndarray] = []
    for view in sample.views:
        try:
            array = decode_npy(members[f"{view}.{member}"], shape=arrays[0].shape if arrays else None)
        except (DataError, KeyError) as error:
            raise DataError(f"{sample.shard}: sample {sample.outfit}: {view}.{member}: {error}") from error
        arrays.append(array)
    return np.stack(arrays)
