"""Check the training loss: noising, target, face mask, timestep weights, and the loss of three variants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from mcld.diffusion import (
    VLoss,
    add_noise,
    face_cells,
    face_weighted_v_loss,
    min_snr_weight,
    signal_levels,
    signal_to_noise,
    v_target,
)
from mcld.models import MCLD
from mcld.parity import tolerances
from mcld.parity.golden import Golden, conditions_of, timesteps_of
from mcld.parity.rows import Row, compare, compare_exactly
from mcld.parity.schedules import noise_schedule
from mcld.types import Conditions


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingBatch:
    """One recorded training batch, noised and with its target."""

    conditions: Conditions
    noisy_latent: Tensor  # (B, C, h, w)
    target: Tensor  # (B, C, h, w)
    timestep: Tensor  # (B,) long
    signal_to_noise: Tensor  # (B,)
    face: Tensor  # (B, 1, h, w) bool
    min_snr_gamma: float


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantTolerances:
    """How far off the numbers of one variant may be."""

    forward: float
    loss: float
    gradient: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One of the recorded ways to compute the loss."""

    name: str
    model: MCLD
    with_reference: bool
    tolerances: VariantTolerances


def variants(*, model: MCLD, half_model: MCLD) -> tuple[Variant, ...]:
    """With reference, with a reference rounded to float16, and without."""
    exact = VariantTolerances(forward=tolerances.FORWARD, loss=tolerances.LOSS, gradient=tolerances.GRADIENT)
    half = VariantTolerances(
        forward=tolerances.HALF_REFERENCE,
        loss=tolerances.HALF_REFERENCE,
        gradient=tolerances.HALF_REFERENCE,
    )
    return (
        Variant(name="cond", model=model, with_reference=True, tolerances=exact),
        Variant(name="cond_fp16bank", model=half_model, with_reference=True, tolerances=half),
        Variant(name="uncond", model=model, with_reference=False, tolerances=exact),
    )


def training_batch(golden: Golden) -> TrainingBatch:
    """The batch of `loss`. Raises DataError when something of it is missing."""
    file = golden.loss
    schedule = noise_schedule(file.settings.section("scheduler_kwargs"))
    latent = file.tensor("in.latents", shape=golden.latent_shape(rows=None))
    rows, channels = latent.shape[:2]
    timestep = timesteps_of(file, rows=rows, num_timesteps=schedule.num_timesteps)
    offset = file.tensor("in.noise_offset_noise", shape=(rows, channels, 1, 1))
    noise = file.tensor("in.noise", shape=tuple(latent.shape))
    noise = noise + file.settings.number("noise_offset") * offset
    alpha_bar = signal_levels(schedule)[timestep]
    conditions = conditions_of(file, golden=golden, rows=rows)
    return TrainingBatch(
        conditions=conditions,
        noisy_latent=add_noise(latent, noise_BCHW=noise, alpha_bar_B=alpha_bar),
        target=v_target(latent, noise_BCHW=noise, alpha_bar_B=alpha_bar),
        timestep=timestep,
        signal_to_noise=signal_to_noise(alpha_bar),
        face=face_cells(conditions.target_iuv, latent_hw=golden.latent_hw),
        min_snr_gamma=file.settings.number("snr_gamma"),
    )


def predict(model: MCLD, *, batch: TrainingBatch, with_reference: bool) -> Tensor:
    """v (B, C, h, w); without reference, tokens and pose stay."""
    v: Tensor = model(
        batch.noisy_latent,
        timestep_B=batch.timestep,
        conditions=batch.conditions,
        drop_reference_B=torch.full((len(batch.timestep),), not with_reference),
    )
    return v


def loss_of(v_BCHW: Tensor, *, batch: TrainingBatch) -> VLoss:
    """The training loss of a prediction."""
    return face_weighted_v_loss(
        v_BCHW,
        target_v_BCHW=batch.target,
        signal_to_noise_B=batch.signal_to_noise,
        face_B1HW=batch.face,
        min_snr_gamma=batch.min_snr_gamma,
    )


def check_batch(golden: Golden, *, batch: TrainingBatch) -> Iterator[Row]:
    """All that does not depend on the model."""
    weight = min_snr_weight(batch.signal_to_noise, gamma=batch.min_snr_gamma)
    for name, found in (
        ("noisy_latents", batch.noisy_latent),
        ("target", batch.target),
        ("mse_loss_weights", weight),
    ):
        expected = golden.loss.tensor(f"out.{name}")
        yield compare(f"loss: {name}", found=found, expected=expected, tolerance=tolerances.LOSS)
    expected = golden.loss.tensor("out.face_mask").bool()
    yield compare_exactly("loss: face_mask", found=batch.face, expected=expected)


def check_loss(golden: Golden, *, variant: Variant, v: Tensor, loss: VLoss) -> Iterator[Row]:
    """Prediction, loss and what each row gives to it."""
    for name, found, tolerance in (
        ("model_pred", v, variant.tolerances.forward),
        ("loss", loss.total, variant.tolerances.loss),
        ("per_sample", loss.per_row, variant.tolerances.loss),
    ):
        yield compare(
            f"loss {variant.name}: {name}",
            found=found,
            expected=golden.loss.tensor(f"out.{variant.name}.{name}"),
            tolerance=tolerance,
        )
