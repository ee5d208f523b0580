"""Through the VAE and back: exact without a deviation, repeatable with one, and worse the larger it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from mcld.conditions.latents import decode_latents, encode_moments, image_batch
from mcld.diffusion import initial_noise
from mcld.inference.vae_probe import probe_picture
from tests.tiny_models import tiny_vae

PICTURE = np.random.default_rng(0).integers(0, 256, (32, 24, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def vae() -> AutoencoderKL:
    torch.set_num_threads(1)
    return tiny_vae()


def test_without_deviation_both_pictures_are_the_reconstruction(vae: AutoencoderKL) -> None:
    probed = probe_picture(PICTURE, vae=vae, deviation=0.0, seed=3)
    np.testing.assert_array_equal(probed.deviated, probed.reconstruction)
    assert probed.reconstruction.shape == PICTURE.shape
    mean, _ = encode_moments(vae, images=image_batch([PICTURE])).chunk(2, dim=1)
    decoded = decode_latents(vae, latents=mean, scaling_factor=1.0)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(probed.reconstruction, decoded, atol=1e-6)


def test_the_deviation_is_in_units_of_the_scaled_latent(vae: AutoencoderKL) -> None:
    probed = probe_picture(PICTURE, vae=vae, deviation=0.2, seed=3)
    mean, _ = encode_moments(vae, images=image_batch([PICTURE])).chunk(2, dim=1)
    scale = vae.config.scaling_factor
    latent = mean * scale
    assert probed.latent_std == pytest.approx(float(latent.std()))
    off = latent + 0.2 * initial_noise([3], shape_CHW=(4, 4, 3))
    decoded = decode_latents(vae, latents=off, scaling_factor=scale)[0].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(probed.deviated, decoded)


def test_noise_is_a_function_of_the_seed(vae: AutoencoderKL) -> None:
    first, again, other = (
        probe_picture(PICTURE, vae=vae, deviation=0.2, seed=seed).deviated for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0


def test_a_larger_deviation_leads_further_away(vae: AutoencoderKL) -> None:
    distances = []
    for deviation in (0.1, 0.4, 1.6):
        probed = probe_picture(PICTURE, vae=vae, deviation=deviation, seed=0)
        distances.append(float(np.abs(probed.deviated - probed.reconstruction).mean()))
    assert 0 < distances[0] < distances[1] < distances[2]
