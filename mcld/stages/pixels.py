"""From pixels to latents within a stage: this process's frozen encoders, and what stands in for a cache."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from transformers import CLIPVisionModelWithProjection

from mcld.conditions.encoders import load_image_encoder, load_vae
from mcld.conditions.view_encoder import SizedView, ViewEncoder, why_unusable
from mcld.config import LatentsParams, RuntimeParams, num_workers
from mcld.data.codec import decode_image
from mcld.data.manifest import MANIFEST_NAME, read_manifest
from mcld.data.shards import latents_of
from mcld.devices import dtype_of, pick_device
from mcld.errors import DataError
from mcld.framing import Framing
from mcld.storage import sha256_of_file
from mcld.types import Latents, Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSource:
    """Where the frozen encoders come from and where they compute: plain values, which travel to workers."""

    weights_dir: Path
    weights_sha256: str  # of the manifest there: other weights are loaded anew
    device: str  # as torch.device spells it; in a worker with one GPU to itself, "cuda" is that one


def encoder_source(runtime: RuntimeParams, *, weights_dir: Path) -> EncoderSource:
    """What the stage `weights` made, on the device that is to be used.

    Raises DataError when that stage has not finished, ConfigError when there is no such device.
    """
    read_manifest(weights_dir)
    return EncoderSource(
        weights_dir=weights_dir,
        weights_sha256=sha256_of_file(weights_dir / MANIFEST_NAME),
        device=str(pick_device(runtime.device)),
    )


def view_encoder(source: EncoderSource, *, params: LatentsParams) -> ViewEncoder:
    """This process's encoders, loaded once and kept until `release_encoders`. Raises WeightsError."""
    return ViewEncoder(
        vae=_vae(source, params.precision),
        image_encoder=image_encoder(source, precision=params.precision),
        framing=Framing(height_px=params.height_px, width_px=params.width_px, fit=params.fit),
        texture_framing=Framing(height_px=params.texture_height_px, width_px=params.texture_width_px),
        batch_size=params.batch_size,
    )


@lru_cache(maxsize=1)
def image_encoder(source: EncoderSource, *, precision: Precision) -> CLIPVisionModelWithProjection:
    """This process's CLIP image encoder alone, kept likewise. Raises WeightsError."""
    encoder = load_image_encoder(source.weights_dir / "image_encoder", dtype=dtype_of(precision))
    encoder.to(source.device)  # type: ignore[arg-type]  # transformers' wrapper hides that it is a method
    return encoder


def release_encoders() -> None:
    """Let go of them."""
    _vae.cache_clear()
    image_encoder.cache_clear()


@lru_cache(maxsize=1)
def _vae(source: EncoderSource, precision: Precision) -> AutoencoderKL:
    vae = load_vae(source.weights_dir / "vae", dtype=dtype_of(precision)).to(source.device)
    if source.device != "cpu":  # where convolutions want their kernels so
        vae.to(memory_format=torch.channels_last)
    return vae


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelEncoder:
    """An `OutfitEncoder`: the latents of an outfit as the stage `latents` would have kept them.

    Threads decode and resize. Batches are an outfit's views, not a part's, so that sums may round otherwise.
    """

    encoder: ViewEncoder
    num_threads: int

    def encode(self, images: Mapping[str, bytes], *, textures: Mapping[str, bytes]) -> Latents:
        """By view, encoded pictures. Raises DataError naming the view whose picture cannot be used."""
        with ThreadPoolExecutor(self.num_threads) as pool:
            views = list(pool.map(self._sized, images, images.values(), textures.values()))
        latents = self.encoder.encode(views)
        for view, reason in zip(images, why_unusable(latents), strict=True):
            if reason is not None:
                raise DataError(f"{view}: {reason}; with latents.cache: true it is left out, and counted")
        return latents

    def embed_blank(self) -> np.ndarray:
        """(D,) float32, what CLIP says of the blank image."""
        return self.encoder.embed_blank()

    def _sized(self, view: str, image: bytes, texture: bytes) -> SizedView:
        try:
            return self.encoder.prepare(decode_image(image), texture=decode_image(texture))
        except DataError as error:
            raise DataError(
                f"{view}: {error}; with latents.cache: true it is left out, and counted"
            ) from error


def encoder_of_shards(shards_dir: Path, *, runtime: RuntimeParams, weights_dir: Path) -> PixelEncoder | None:
    """What makes the latents of shards that hold none; None for those that hold them.

    Raises DataError when `shards` or `weights` has not finished, WeightsError when these cannot be loaded.
    """
    params = latents_of(read_manifest(shards_dir), place=str(shards_dir))
    if params.cache:
        return None
    source = encoder_source(runtime, weights_dir=weights_dir)
    encoder = view_encoder(source, params=params)
    release_encoders()  # this one's owner keeps them, and nobody after
    return PixelEncoder(encoder=encoder, num_threads=num_workers(runtime))
