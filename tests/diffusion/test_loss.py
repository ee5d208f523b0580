"""The loss weighs faces and timesteps as the paper does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mcld.diffusion import (
    NoiseSchedule,
    add_noise,
    face_cells,
    face_weighted_v_loss,
    min_snr_weight,
    signal_levels,
    signal_to_noise,
    v_target,
)
from mcld.errors import DataError
from tests.golden import golden_dir, read_golden_json, relative_error


def test_loss_at_full_latent_size_equals_the_authors() -> None:
    arrays = np.load(golden_dir("model") / "loss_only_64.npz")
    expected = read_golden_json(golden_dir("model") / "loss_only_64.json")
    latent, noise, predicted = (
        torch.from_numpy(arrays[name][:, :, 0]).float() for name in ("latents", "noise", "model_pred")
    )
    iuv = torch.from_numpy(arrays["pose_u8_vui"]).flip(1)
    face = face_cells(iuv, latent_hw=(64, 64))
    alpha_bar = signal_levels(NoiseSchedule())[torch.from_numpy(arrays["timesteps"])]
    loss = face_weighted_v_loss(
        predicted,
        target_v_BCHW=v_target(latent, noise_BCHW=noise, alpha_bar_B=alpha_bar),
        signal_to_noise_B=signal_to_noise(alpha_bar),
        face_B1HW=face,
    )
    assert face.sum(dim=(1, 2, 3)).tolist() == expected["face_mask_pixels"]
    assert torch.equal(face, torch.from_numpy(arrays["face_mask"]))
    assert float(loss.total) == pytest.approx(expected["loss"], rel=1e-5)
    assert relative_error(loss.per_row, expected=torch.tensor(expected["per_sample"])) < 1e-5


def test_face_cells_read_the_first_pixel_of_each_cell_and_head_parts_only() -> None:
    iuv = torch.zeros(1, 3, 16, 8, dtype=torch.uint8)
    iuv[0, 0, 0, 0] = 23
    iuv[0, 0, 9, 1] = 24  # inside the second cell, but not its first pixel
    iuv[0, 1] = 24  # U is not a label
    assert face_cells(iuv, latent_hw=(2, 1)).flatten().tolist() == [True, False]
    iuv[0, 0, 8, 0] = 24
    assert face_cells(iuv, latent_hw=(2, 1)).flatten().tolist() == [True, True]
    with pytest.raises(DataError, match=r"size \(16, 8\) is not a whole multiple of the latent's \(3, 1\)"):
        face_cells(iuv, latent_hw=(3, 1))


def test_easy_timesteps_are_capped_and_pure_noise_keeps_weight_one() -> None:
    weight = min_snr_weight(torch.tensor([0.0, 4.0, 9.0, 99.0]), gamma=5.0)
    torch.testing.assert_close(weight, torch.tensor([1.0, 1.0, 0.5, 0.05]))


def test_normalised_faces_count_double_without_raising_the_row() -> None:
    predicted, target = torch.ones(2, 4, 8, 8), torch.zeros(2, 4, 8, 8)
    face = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    face[0, :, :4] = True
    snr = torch.zeros(2)
    plain = face_weighted_v_loss(predicted, target_v_BCHW=target, signal_to_noise_B=snr, face_B1HW=face)
    normalised = face_weighted_v_loss(
        predicted, target_v_BCHW=target, signal_to_noise_B=snr, face_B1HW=face, normalised=True
    )
    torch.testing.assert_close(plain.per_row, torch.tensor([1.5, 1.0]))
    torch.testing.assert_close(normalised.per_row, torch.tensor([1.0, 1.0]))


def test_perfect_prediction_costs_nothing_and_loss_is_float32_in_low_precision() -> None:
    latent, noise = torch.randn(2, 4, 4, 4), torch.randn(2, 4, 4, 4)
    alpha_bar = signal_levels(NoiseSchedule())[torch.tensor([5, 999])]
    target = v_target(latent, noise_BCHW=noise, alpha_bar_B=alpha_bar)
    assert add_noise(latent, noise_BCHW=noise, alpha_bar_B=alpha_bar)[1].equal(noise[1])
    face = torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    snr = signal_to_noise(alpha_bar)
    loss = face_weighted_v_loss(target, target_v_BCHW=target, signal_to_noise_B=snr, face_B1HW=face)
    assert float(loss.total) == 0.0
    low = face_weighted_v_loss(target.bfloat16(), target_v_BCHW=target, signal_to_noise_B=snr, face_B1HW=face)
    assert low.total.dtype == torch.float32
