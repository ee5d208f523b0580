"""Pixels to latents and embeddings: ranges, and moments as diffusers samples from them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from transformers import CLIPImageProcessor

from mcld.conditions.latents import clip_batch, encode_moments, image_batch, sample_moments
from tests.tiny_models import tiny_vae


@pytest.fixture(scope="module")
def vae() -> AutoencoderKL:
    torch.set_num_threads(1)
    return tiny_vae()


def _image(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, size=(height, width, 3)).astype(np.uint8)


def test_bytes_are_scaled_to_minus_one_to_one() -> None:
    black, white = np.zeros((32, 24, 3), np.uint8), np.full((32, 24, 3), 255, np.uint8)
    batch = image_batch([black, white])
    assert batch.shape == (2, 3, 32, 24)
    assert batch[0].unique().tolist() == [-1.0]
    assert batch[1].unique().tolist() == [1.0]


def test_latents_from_cached_moments_are_those_from_pixels(vae: AutoencoderKL) -> None:
    pixels = image_batch([_image(64, 48)])
    with torch.no_grad():
        posterior = vae.encode(pixels).latent_dist
    noise = torch.randn(posterior.mean.shape, generator=torch.Generator().manual_seed(1))
    uncached = 0.5 * (posterior.mean + posterior.std * noise)
    cached = sample_moments(encode_moments(vae, images=pixels), noise=noise, scaling_factor=0.5)
    torch.testing.assert_close(cached, uncached)


def test_clip_pixels_are_those_of_the_published_processor() -> None:
    image = _image(64, 64)
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    published = processor(images=[image], return_tensors="pt")["pixel_values"]
    ours = clip_batch([image], clip_size_px=32)
    torch.testing.assert_close(ours, published, atol=2e-2, rtol=0.0)
