"""Check the loss at full latent size from a raw IUV map and a recorded prediction: `loss_only_64.npz`.

The authors' way to the face mask: the label map with its channels reversed (V, U, I) is resized to the pose
image's size by bicubic interpolation, as if labels were intensities, and each latent cell takes its first
pixel. Recorded beside it is the mask of a resize that keeps labels, which is ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from mcld.diffusion import (
    NoiseSchedule,
    VLoss,
    face_cells,
    face_weighted_v_loss,
    signal_levels,
    signal_to_noise,
    v_target,
)
from mcld.errors import DataError
from mcld.framing import resize_image, resize_labels
from mcld.parity import tolerances
from mcld.parity.arrays import read_npz
from mcld.parity.golden import Golden, GoldenFile, Shape, timesteps_of, without_frames
from mcld.parity.rows import Row, compare, compare_exactly
from mcld.parity.schedules import noise_schedule
from mcld.parity.settings import REMEDY

FILE_NAME = "loss_only_64.npz"


class Resize(Protocol):
    """Resizes (H, W, 3) uint8."""

    def __call__(self, iuv: np.ndarray, /, *, height_px: int, width_px: int) -> np.ndarray:
        """An image of that size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What the file holds: a prediction, and the IUV map before and after the authors' resize."""

    latent: Tensor  # (B, C, h, w)
    noise: Tensor  # (B, C, h, w)
    model_pred: Tensor  # (B, C, h, w)
    timestep: Tensor  # (B,)
    raw_iuv: Tensor  # (B, H0, W0, 3) uint8, channels I U V
    pose: Tensor  # (B, 3, H, W) uint8, channels V U I


def check_loss_only(golden: Golden) -> Iterator[Row]:
    """All that the file records; nothing where there is none. Schedule and weights are those of `loss`."""
    path = golden.directory / FILE_NAME
    if not path.exists():
        return
    file = GoldenFile(path=path, tensors=_read(path), settings=golden.loss.settings)
    schedule = noise_schedule(file.settings.section("scheduler_kwargs"))
    recorded = _recorded(file, num_timesteps=schedule.num_timesteps)
    intensities, labels = (_resize(recorded, resize=resize) for resize in (resize_image, resize_labels))
    latent_hw = (recorded.latent.shape[2], recorded.latent.shape[3])
    face, label_face = (face_cells(iuv, latent_hw=latent_hw) for iuv in (intensities, labels))
    for name, found in (
        ("pose_u8_vui", intensities.flip(1)),
        ("face_mask", face),
        ("mask_if_nearest_resize", label_face),
    ):
        yield compare_exactly(f"loss at full size: {name}", found=found, expected=file.tensor(name))
    loss = _loss(recorded, schedule=schedule, face_B1HW=face, min_snr_gamma=file.settings.number("snr_gamma"))
    for name, value in (("loss", loss.total), ("per_sample", loss.per_row)):
        expected = file.tensor(name, shape=tuple(value.shape))
        yield compare(f"loss at full size: {name}", found=value, expected=expected, tolerance=tolerances.LOSS)


def _recorded(file: GoldenFile, *, num_timesteps: int) -> Recorded:
    latent = file.tensor("latents", shape=(None, None, None, None))
    rows, shape = len(latent), tuple(latent.shape)
    return Recorded(
        latent=latent,
        noise=file.tensor("noise", shape=shape),
        model_pred=file.tensor("model_pred", shape=shape),
        timestep=timesteps_of(file, rows=rows, num_timesteps=num_timesteps, name="timesteps"),
        raw_iuv=_byte_image(file, "iuv_raw_ihw3", shape=(rows, None, None, 3)),
        pose=_byte_image(file, "pose_u8_vui", shape=(rows, 3, None, None)),
    )


def _byte_image(file: GoldenFile, name: str, *, shape: Shape) -> Tensor:
    value = file.tensor(name, shape=shape)
    if value.dtype != torch.uint8:
        raise DataError(f"{file.path}: '{name}' is of {value.dtype}, expected bytes; {REMEDY}")
    return value


def _loss(recorded: Recorded, *, schedule: NoiseSchedule, face_B1HW: Tensor, min_snr_gamma: float) -> VLoss:
    alpha_bar_B = signal_levels(schedule)[recorded.timestep]
    return face_weighted_v_loss(
        recorded.model_pred,
        target_v_BCHW=v_target(recorded.latent, noise_BCHW=recorded.noise, alpha_bar_B=alpha_bar_B),
        signal_to_noise_B=signal_to_noise(alpha_bar_B),
        face_B1HW=face_B1HW,
        min_snr_gamma=min_snr_gamma,
    )


def _resize(recorded: Recorded, *, resize: Resize) -> Tensor:
    """The raw maps at the pose image's size, (B, 3, H, W) uint8."""
    height_px, width_px = recorded.pose.shape[2:]
    images = [resize(raw, height_px=height_px, width_px=width_px) for raw in recorded.raw_iuv.numpy()]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def _read(path: Path) -> dict[str, Tensor]:
    """The arrays, without the authors' frame axis."""
    return {name: without_frames(torch.from_numpy(array)) for name, array in read_npz(path).items()}
