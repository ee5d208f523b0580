"""The training loss: squared error of v, heavier on the face, lighter on easy timesteps.

    loss = mean_B[ w(SNR) * mean_{c,h,w}( (1 + m) (v_hat - v)^2 ) ]          arXiv 2503.15686

Shapes: B rows, C latent channels, H W latent size; the IUV map is a whole multiple larger.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mcld.errors import DataError

FACE_PARTS = (23, 24)  # DensePose parts of the head, right and left


@dataclass(frozen=True, slots=True, kw_only=True)
class VLoss:
    """The loss to minimise and what each row gives to it."""

    total: Tensor  # () float32, or float64 if the prediction is
    per_row: Tensor  # (B,)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionErrors:
    """Squared error of v, weighted by nothing, in the face region and elsewhere: sums, to be added up."""

    face_sum: Tensor  # () over cells, of the mean over channels
    face_cells: Tensor  # () how many
    rest_sum: Tensor  # ()
    rest_cells: Tensor  # ()


def region_errors(predicted_v_BCHW: Tensor, *, target_v_BCHW: Tensor, face_B1HW: Tensor) -> RegionErrors:
    """How wrong the prediction is on faces (`face_B1HW` bool) and elsewhere; without a gradient."""
    error_B1HW = _squared_error(predicted_v_BCHW.detach(), target_v_BCHW).mean(dim=1, keepdim=True)
    nothing = torch.zeros_like(error_B1HW)
    return RegionErrors(
        face_sum=torch.where(face_B1HW, error_B1HW, nothing).sum(),
        face_cells=face_B1HW.sum(),
        rest_sum=torch.where(face_B1HW, nothing, error_B1HW).sum(),
        rest_cells=(~face_B1HW).sum(),
    )


def face_weighted_v_loss(
    predicted_v_BCHW: Tensor,
    *,
    target_v_BCHW: Tensor,
    signal_to_noise_B: Tensor,
    face_B1HW: Tensor,
    min_snr_gamma: float = 5.0,
    normalised: bool = False,
) -> VLoss:
    """The loss above. `normalised` divides by the mean of (1 + m), so that large faces weigh no more."""
    error_BCHW = _squared_error(predicted_v_BCHW, target_v_BCHW)
    weight_B1HW = 1.0 + face_B1HW.float()
    if normalised:
        weight_B1HW = weight_B1HW / weight_B1HW.mean(dim=(1, 2, 3), keepdim=True)
    row_error_B = (weight_B1HW * error_BCHW).mean(dim=(1, 2, 3))
    per_row_B = min_snr_weight(_at_least_single(signal_to_noise_B), gamma=min_snr_gamma) * row_error_B
    return VLoss(total=per_row_B.mean(), per_row=per_row_B)


def _squared_error(predicted_BCHW: Tensor, target_BCHW: Tensor) -> Tensor:
    difference: Tensor = _at_least_single(predicted_BCHW) - _at_least_single(target_BCHW)
    return difference**2


def _at_least_single(value: Tensor) -> Tensor:
    return value.to(torch.promote_types(value.dtype, torch.float32))


def min_snr_weight(signal_to_noise_B: Tensor, *, gamma: float) -> Tensor:
    """Min-SNR (Hang et al. 2023) for v-prediction: cap the weight of easy, nearly noiseless steps."""
    # +1: v-prediction already weighs the error of z_0 by SNR + 1, and SNR = 0 must not divide by zero.
    return (signal_to_noise_B + 1.0).clamp(max=gamma) / (signal_to_noise_B + 1.0)


def face_cells(iuv_B3HW: Tensor, *, latent_hw: tuple[int, int]) -> Tensor:
    """Mask (B, 1, h, w) bool of latent cells whose first IUV pixel belongs to the head."""
    height, width = iuv_B3HW.shape[2:]
    factor = height // latent_hw[0]
    if (latent_hw[0] * factor, latent_hw[1] * factor) != (height, width):
        raise DataError(
            f"target_iuv: size {(height, width)} is not a whole multiple of the latent's {latent_hw}"
        )
    # Cell i takes pixel i * factor, as nearest-neighbour resizing does: part ids are labels, not intensities.
    part_B1HW = iuv_B3HW[:, :1, ::factor, ::factor]
    return torch.isin(part_B1HW, part_B1HW.new_tensor(FACE_PARTS))
