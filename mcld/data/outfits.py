"""A decoded outfit: all its views as arrays at model resolution, from which any pair is a few slices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mcld.data.codec import decode_npy
from mcld.data.iuv_maps import IuvForm, IuvMap, OriginalIuv, PoseIuv
from mcld.data.shards import POSE_RESIZE, REMEDY, OutfitSample, ShardSet
from mcld.errors import DataError
from mcld.framing import Framing
from mcld.types import IuvResize, Latents, Pair, Sample


class OutfitEncoder(Protocol):
    """Makes from pixels what shards without latents lack."""

    def encode(self, images: Mapping[str, bytes], *, textures: Mapping[str, bytes]) -> Latents:
        """The latents of an outfit's views, in their order, from encoded pictures by view.

        Raises DataError naming view and reason when a picture cannot be used.
        """

    def embed_blank(self) -> np.ndarray:
        """(D,) float32, what CLIP says of the blank image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedOutfit:
    """Arrays over N views, F face width; IUV maps are opened when a pair needs them."""

    sample: OutfitSample
    iuv: tuple[IuvMap, ...]
    latents: Latents
    faces: np.ndarray  # (N, F) float32

    @property
    def num_bytes(self) -> int:
        """Memory of all arrays and maps, as they are kept now."""
        latents = self.latents
        arrays = (latents.image_moments, latents.texture_moments, latents.embeddings, self.faces)
        return sum(array.nbytes for array in arrays) + sum(iuv.num_bytes for iuv in self.iuv)

    def view_index(self, key: str) -> int:
        """The position of an image key among the views. Raises DataError when it is none of them."""
        view = key.rpartition("/")[2]
        if view not in self.sample.views:
            known = ", ".join(self.sample.views)
            raise DataError(f"{key}: no such view; outfit {self.sample.outfit} has {known}")
        return self.sample.views.index(view)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutfitDecoder:
    """How a sample's bytes become arrays at model size."""

    framing: Framing
    iuv_resize: IuvResize
    encoder: OutfitEncoder | None  # None: the shards hold the latents

    @classmethod
    def of(cls, shards: ShardSet, *, iuv_resize: IuvResize, encoder: OutfitEncoder | None) -> OutfitDecoder:
        """The size is that of the shards' latents; `encoder` makes those of shards that hold none.

        Raises DataError when they hold none and there is no encoder.
        """
        params = shards.latents
        if not params.cache and encoder is None:
            raise DataError(
                f"{shards.place}: holds no latents (latents.cache: false) and no encoder is given; "
                "pass one (mcld.stages.pixels), or set latents.cache: true and run 'latents' and 'shards'"
            )
        return cls(
            framing=Framing(height_px=params.height_px, width_px=params.width_px, fit=params.fit),
            iuv_resize=iuv_resize,
            encoder=None if params.cache else encoder,
        )

    def decode(self, members: Mapping[str, bytes], *, sample: OutfitSample) -> DecodedOutfit:
        """Decode a sample's conditions; latents are made from pictures where the shards hold none.

        Raises DataError naming shard, sample and member.
        """
        return DecodedOutfit(
            sample=sample,
            iuv=tuple(
                self._iuv(members, view=view, image_hw=image_hw, sample=sample)
                for view, image_hw in zip(sample.views, sample.image_hw, strict=True)
            ),
            latents=self._latents(members, sample=sample),
            faces=_stack(members, member="face.npy", sample=sample),
        )

    @property
    def needs_originals(self) -> bool:
        """Whether `decode` wants the originals among the members."""
        return self.encoder is not None or not self._poses_serve

    @property
    def _poses_serve(self) -> bool:
        """Whether maps are wanted as the shards hold them at the model's size."""
        return self.iuv_resize == POSE_RESIZE

    def _iuv(
        self, members: Mapping[str, bytes], *, view: str, image_hw: tuple[int, int], sample: OutfitSample
    ) -> IuvMap:
        member = f"{view}.{'pose.webp' if self._poses_serve else 'iuv.png'}"
        place = f"{sample.shard}: sample {sample.outfit}: {member}"
        if member not in members:
            raise DataError(f"{place}: missing; {REMEDY}")
        form: IuvForm = OriginalIuv(framing=self.framing, resize=self.iuv_resize)
        if self._poses_serve:
            form = PoseIuv(framing=self.framing, image_hw=image_hw)
        return IuvMap(members[member], form=form, place=place)

    def _latents(self, members: Mapping[str, bytes], *, sample: OutfitSample) -> Latents:
        if self.encoder is None:
            return Latents(
                image_moments=_stack(members, member="image_moments.npy", sample=sample),
                texture_moments=_stack(members, member="texture_moments.npy", sample=sample),
                embeddings=_stack(members, member="embeddings.npy", sample=sample),
            )
        images, textures = (
            {view: members[f"{view}.{member}"] for view in sample.views}
            for member in ("image.jpg", "texture.png")
        )
        try:
            return self.encoder.encode(images, textures=textures)
        except DataError as error:
            raise DataError(f"{sample.shard}: sample {sample.outfit}: {error}") from error


def sample_of(pair: Pair, *, source: DecodedOutfit, target: DecodedOutfit) -> Sample:
    """The model's view of a pair.

    Source and target may be of two outfits: that is how a wrong source is shown.
    """
    source_view, target_view = source.view_index(pair.source), target.view_index(pair.target)
    iuv = target.iuv[target_view].open()
    image_embedding, texture_embedding = source.latents.embeddings[source_view]
    return Sample(
        pair=pair,
        target_moments=target.latents.image_moments[target_view].astype(np.float32),
        target_iuv=iuv.pixels,
        texture_moments=source.latents.texture_moments[source_view].astype(np.float32),
        image_embedding=image_embedding,
        texture_embedding=texture_embedding,
        face_embedding=source.faces[source_view],
        face_found=source.sample.face_found[source_view],
        target_hw=iuv.image_hw,
    )


def _stack(members: Mapping[str, bytes], *, member: str, sample: OutfitSample) -> np.ndarray:
    arrays: list[np.ndarray] = []
    for view in sample.views:
        try:
            array = decode_npy(members[f"{view}.{member}"], shape=arrays[0].shape if arrays else None)
        except (DataError, KeyError) as error:
            raise DataError(f"{sample.shard}: sample {sample.outfit}: {view}.{member}: {error}") from error
        arrays.append(array)
    return np.stack(arrays)
