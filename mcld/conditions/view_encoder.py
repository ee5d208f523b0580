"""A view's picture and UV texture to what the frozen encoders make of them, be it kept or used at once.

In two steps: `prepare` needs no model, so that threads can do it ahead; `encode` runs the models on batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from diffusers import AutoencoderKL
from transformers import CLIPVisionModelWithProjection

from mcld.conditions.encoders import input_size_px
from mcld.conditions.latents import clip_batch, embed_blank, embed_images, encode_moments, image_batch
from mcld.framing import Framing, resize_image
from mcld.types import Latents


@dataclass(frozen=True, slots=True, kw_only=True)
class SizedPicture:
    """A picture at the sizes that the two encoders take, uint8 RGB."""

    framed: np.ndarray  # (H, W, 3), the model's size
    square: np.ndarray  # (S, S, 3), CLIP's, made from `framed`


@dataclass(frozen=True, slots=True, kw_only=True)
class SizedView:
    """What is encoded of a view."""

    image: SizedPicture
    texture: SizedPicture


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewEncoder:
    """The frozen models, how pictures are laid out for them, and how many views they take at once."""

    vae: AutoencoderKL
    image_encoder: CLIPVisionModelWithProjection
    framing: Framing
    texture_framing: Framing
    batch_size: int

    def prepare(self, image: np.ndarray, *, texture: np.ndarray) -> SizedView:
        """Bring a view's picture and UV texture, each (h, w, 3) uint8 RGB, to the encoders' sizes."""
        return SizedView(
            image=self._sized(self.framing.picture(image)),
            texture=self._sized(self.texture_framing.picture(texture)),
        )

    def encode(self, views: Sequence[SizedView]) -> Latents:
        """The latents of any number of views, computed `batch_size` at a time.

        Values that float16 cannot hold become infinite or NaN: ask `why_unusable`.
        """
        starts = range(0, len(views), self.batch_size)
        batches = [self._encode_batch(views[start : start + self.batch_size]) for start in starts]
        if len(batches) == 1:
            return batches[0]
        return Latents(
            image_moments=np.concatenate([batch.image_moments for batch in batches]),
            texture_moments=np.concatenate([batch.texture_moments for batch in batches]),
            embeddings=np.concatenate([batch.embeddings for batch in batches]),
        )

    def embed_blank(self) -> np.ndarray:
        """(D,) float32, what CLIP says of the blank image."""
        blank: np.ndarray = embed_blank(self.image_encoder).numpy()
        return blank

    def _sized(self, framed: np.ndarray) -> SizedPicture:
        side_px = input_size_px(self.image_encoder)
        return SizedPicture(framed=framed, square=resize_image(framed, height_px=side_px, width_px=side_px))

    def _encode_batch(self, views: Sequence[SizedView]) -> Latents:
        images, textures = [view.image for view in views], [view.texture for view in views]
        return Latents(
            image_moments=self._moments(images),
            texture_moments=self._moments(textures),
            embeddings=np.stack([self._embeddings(images), self._embeddings(textures)], axis=1),
        )

    def _moments(self, pictures: Sequence[SizedPicture]) -> np.ndarray:
        """(B, 2C, h, w) float16: half the bytes, and far below the noise that sampling adds."""
        images = image_batch([picture.framed for picture in pictures], device=self.vae.device)
        moments = encode_moments(self.vae, images=images).numpy()
        with np.errstate(over="ignore"):  # looked for by `why_unusable`
            halved: np.ndarray = moments.astype(np.float16)
        # Channels first in memory too, as a file has it: kernels add in an order that depends on it.
        return np.ascontiguousarray(halved)

    def _embeddings(self, pictures: Sequence[SizedPicture]) -> np.ndarray:
        """(B, D) float32."""
        encoder = self.image_encoder
        pixels = clip_batch(
            [picture.square for picture in pictures],
            clip_size_px=input_size_px(encoder),
            device=encoder.device,
        )
        embeddings: np.ndarray = embed_images(encoder, pixels=pixels).numpy()
        return embeddings


def why_unusable(latents: Latents) -> list[str | None]:
    """For each view the reason why its latents cannot be used, as of an exclusion; None where they can."""
    num_views = len(latents.embeddings)
    return [next(_problems(latents, view=view), None) for view in range(num_views)]


def _problems(latents: Latents, *, view: int) -> Iterator[str]:
    named = {
        "VAE moments of the image": latents.image_moments[view],
        "VAE moments of the texture": latents.texture_moments[view],
        "CLIP embedding of the image": latents.embeddings[view, 0],
        "CLIP embedding of the texture": latents.embeddings[view, 1],
    }
    for name, values in named.items():
        if np.isnan(values).any():
            yield f"{name}: not a number"
        elif np.isinf(values).any():
            yield f"{name}: too large for {values.dtype}"
