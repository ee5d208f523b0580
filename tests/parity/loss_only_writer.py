"""Record the loss of a given prediction, with the face mask of a label map that was resized as an image."""

from __future__ import annotations

import numpy as np
from diffusers import DDIMScheduler
from PIL import Image

from tests.parity.recording import LATENT_CHANNELS, Recording

NUM_ROWS = 2
POSE_FACTOR = 8


def record_loss_only(recording: Recording, *, latent_hw: tuple[int, int]) -> dict[str, np.ndarray]:
    """The arrays of `loss_only_64.npz`, for a random prediction and a random label map."""
    random = np.random.default_rng(5)
    blocks = random.integers(0, 25, (NUM_ROWS, 9, 7, 3), dtype=np.uint8)
    raw = blocks.repeat(13, axis=1).repeat(9, axis=2)
    shape = (NUM_ROWS, LATENT_CHANNELS, 1, *latent_hw)
    latent, noise, predicted = (random.standard_normal(shape).astype(np.float16) for _ in range(3))
    timestep = np.array([999, 40])
    size = (latent_hw[1] * POSE_FACTOR, latent_hw[0] * POSE_FACTOR)
    bicubic, nearest = (
        np.stack([_resize(image, size=size, resample=resample) for image in raw])
        for resample in (Image.Resampling.BICUBIC, Image.Resampling.NEAREST)
    )
    face, nearest_face = (
        np.isin(pose[:, 2:, ::POSE_FACTOR, ::POSE_FACTOR], (23, 24)) for pose in (bicubic, nearest)
    )
    alpha = DDIMScheduler(**recording.training).alphas_cumprod.double().numpy()[timestep]
    target = _v_target(latent[:, :, 0], noise=noise[:, :, 0], alpha=alpha)
    error = (1.0 + face) * (predicted[:, :, 0] - target) ** 2
    # SNR + 1 = 1 / (1 - alpha).
    per_sample = np.minimum(1 / (1 - alpha), recording.snr_gamma) * (1 - alpha) * error.mean(axis=(1, 2, 3))
    return {
        "iuv_raw_ihw3": raw,
        "pose_u8_vui": bicubic,
        "latents": latent,
        "noise": noise,
        "model_pred": predicted,
        "timesteps": timestep,
        "face_mask": face,
        "mask_if_nearest_resize": nearest_face,
        "loss": per_sample.mean(),
        "per_sample": per_sample,
    }


def _v_target(latent: np.ndarray, *, noise: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """sqrt(a) eps - sqrt(1 - a) z."""
    signal, spread = (np.sqrt(value)[:, None, None, None] for value in (alpha, 1 - alpha))
    target: np.ndarray = signal * noise - spread * latent
    return target


def _resize(image: np.ndarray, *, size: tuple[int, int], resample: Image.Resampling) -> np.ndarray:
    """A label map (H, W, 3) with channels I, U, V as (3, H', W') with channels V, U, I."""
    reversed_image = Image.fromarray(np.ascontiguousarray(image[..., ::-1]))
    return np.asarray(reversed_image.resize(size, resample)).transpose(2, 0, 1)
