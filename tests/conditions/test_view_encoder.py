"""Views to latents: sizes, the same whatever else is in the batch, and a reason for what cannot be used."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from transformers import CLIPVisionModelWithProjection

from mcld.conditions.encoders import input_size_px
from mcld.conditions.latents import clip_batch, embed_blank, embed_images, encode_moments, image_batch
from mcld.conditions.view_encoder import SizedView, ViewEncoder, why_unusable
from mcld.framing import Framing
from mcld.training.tiny_base.image_encoder import build_image_encoder
from mcld.types import Latents
from tests.tiny_models import tiny_vae

EMBEDDING_DIM = 8


@pytest.fixture(scope="module")
def image_encoder() -> CLIPVisionModelWithProjection:
    torch.set_num_threads(1)
    return build_image_encoder(seed=0, projection_dim=EMBEDDING_DIM)


def encoder_of(
    image_encoder: CLIPVisionModelWithProjection, *, vae: AutoencoderKL | None = None, batch_size: int = 2
) -> ViewEncoder:
    return ViewEncoder(
        vae=vae or tiny_vae(),
        image_encoder=image_encoder,
        framing=Framing(height_px=32, width_px=24, fit="pad"),
        texture_framing=Framing(height_px=24, width_px=16),
        batch_size=batch_size,
    )


def noise(seed: int, *, height: int = 50, width: int = 30) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def views_of(encoder: ViewEncoder, num_views: int) -> list[SizedView]:
    return [
        encoder.prepare(noise(index), texture=noise(index + 100, height=48, width=40))
        for index in range(num_views)
    ]


def test_latents_are_those_of_the_framed_picture_and_the_squashed_texture(
    image_encoder: CLIPVisionModelWithProjection,
) -> None:
    encoder = encoder_of(image_encoder)
    latents = encoder.encode(views_of(encoder, 1))
    framed = encoder.framing.picture(noise(0))
    texture = Framing(height_px=24, width_px=16).picture(noise(100, height=48, width=40))
    moments = [encode_moments(encoder.vae, images=image_batch([image])) for image in (framed, texture)]
    size_px = input_size_px(image_encoder)
    embeddings = [
        embed_images(image_encoder, pixels=clip_batch([image], clip_size_px=size_px))
        for image in (framed, texture)
    ]
    assert np.array_equal(latents.image_moments, moments[0].numpy().astype(np.float16))
    assert np.array_equal(latents.texture_moments, moments[1].numpy().astype(np.float16))
    assert np.array_equal(latents.embeddings, torch.stack(embeddings, dim=1).numpy())
    assert np.array_equal(encoder.embed_blank(), embed_blank(image_encoder).numpy())


def test_more_views_than_a_batch_holds_come_in_their_order(
    image_encoder: CLIPVisionModelWithProjection,
) -> None:
    encoder = encoder_of(image_encoder, batch_size=2)
    views = views_of(encoder, 5)
    together, alone = encoder.encode(views), [encoder.encode([view]) for view in views]
    assert together.embeddings.shape == (5, 2, EMBEDDING_DIM)
    for name in ("image_moments", "texture_moments", "embeddings"):
        single = np.concatenate([getattr(latents, name) for latents in alone])
        # Batches of another size add in another order: one step of float16, at most.
        np.testing.assert_allclose(getattr(together, name), single, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_near_single_precision(
    image_encoder: CLIPVisionModelWithProjection, dtype: torch.dtype
) -> None:
    exact = encoder_of(image_encoder)
    half_clip = build_image_encoder(seed=0, projection_dim=EMBEDDING_DIM)
    half_clip.to(dtype)  # type: ignore[arg-type]  # transformers' wrapper hides that it is a method
    half = encoder_of(half_clip, vae=tiny_vae().to(dtype))
    wanted, found = (encoder.encode(views_of(encoder, 2)) for encoder in (exact, half))
    assert [found.image_moments.dtype.name, found.embeddings.dtype.name] == ["float16", "float32"]
    for name in ("image_moments", "texture_moments", "embeddings"):
        one, other = getattr(wanted, name).astype(float), getattr(found, name).astype(float)
        assert 0 < np.linalg.norm(one - other) < 0.03 * np.linalg.norm(one)


@pytest.mark.parametrize(
    ("bias", "reason"),
    [
        (7e4, "VAE moments of the image: too large for float16"),
        (-7e4, "VAE moments of the image: too large for float16"),
        (float("nan"), "VAE moments of the image: not a number"),
        (6e4, None),
    ],
)
def test_moments_that_float16_cannot_hold_are_told(
    image_encoder: CLIPVisionModelWithProjection, bias: float, reason: str | None
) -> None:
    vae = tiny_vae()
    torch.nn.init.constant_(vae.quant_conv.bias, bias)
    encoder = encoder_of(image_encoder, vae=vae)
    assert why_unusable(encoder.encode(views_of(encoder, 2))) == [reason, reason]


@pytest.mark.parametrize(
    ("field", "place", "value", "reason"),
    [
        ("texture_moments", (1, 0, 0, 0), np.inf, "VAE moments of the texture: too large for float16"),
        ("image_moments", (1, 7, 0, 0), np.nan, "VAE moments of the image: not a number"),
        ("embeddings", (1, 0, 3), np.nan, "CLIP embedding of the image: not a number"),
        ("embeddings", (1, 1, 3), -np.inf, "CLIP embedding of the texture: too large for float32"),
    ],
)
def test_one_bad_value_spoils_its_own_view_alone(
    field: str, place: tuple[int, ...], value: float, reason: str
) -> None:
    arrays: dict[str, Any] = {
        "image_moments": np.ones((3, 8, 4, 3), np.float16),
        "texture_moments": np.ones((3, 8, 3, 2), np.float16),
        "embeddings": np.ones((3, 2, EMBEDDING_DIM), np.float32),
    }
    good = Latents(**arrays)
    spoilt = arrays[field].copy()
    spoilt[place] = value
    assert why_unusable(good) == [None, None, None]
    assert why_unusable(dataclasses.replace(good, **{field: spoilt})) == [None, reason, None]
