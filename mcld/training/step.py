"""One training step of MCLD as a function of (model, batch, randomness).

Shapes: B batch, C latent channels, h w latent cells, D CLIP projection width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mcld.conditions.latents import sample_moments
from mcld.config import DiffusionParams, TrainParams
from mcld.devices import on_device
from mcld.diffusion import (
    NoiseSchedule,
    VLoss,
    add_noise,
    draw_noise,
    face_cells,
    face_weighted_v_loss,
    signal_levels,
    signal_to_noise,
    v_target,
)
from mcld.models import MCLD
from mcld.types import Batch, Conditions


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDraws:
    """All that is random in a step, drawn on the CPU from one generator, in this order."""

    target_noise: Tensor  # (B, C, h, w) for sampling the target's latent from its moments
    texture_noise: Tensor  # (B, C, h', w') for the texture's
    noise: Tensor  # (B, C, h, w) the diffusion noise, with offset
    timestep: Tensor  # (B,) int64
    image_noise: Tensor  # (B, D) added to the image embedding
    drop_appearance: Tensor  # (B,) bool: the whole row becomes the null condition
    drop_image: Tensor  # (B,) bool: the image embedding alone is dropped
    drop_reference: Tensor  # (B,) bool: the reference alone is dropped


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingFacts:
    """What training must know of the image encoder's embeddings."""

    image_spread: Tensor  # (D,) float32, standard deviation of each dimension over the data set's images
    blank: Tensor | None  # (D,) float32, of an all-zero input; needed by null_condition "blank-image" alone


def draw_step(
    batch: Batch, *, train: TrainParams, diffusion: DiffusionParams, num_timesteps: int
) -> StepDraws:
    """Draw a step's randomness from (seed, epoch, batch index): the same whatever was run before."""
    generator = torch.Generator().manual_seed(
        step_seed(train.seed, epoch=batch.sample_ids[0][0], index=batch.step)
    )
    size = len(batch.pairs)
    latent_shape = tuple(batch.target_moments.chunk(2, dim=1)[0].shape)
    texture_shape = tuple(batch.texture_moments.chunk(2, dim=1)[0].shape)
    return StepDraws(
        target_noise=torch.randn(latent_shape, generator=generator),
        texture_noise=torch.randn(texture_shape, generator=generator),
        noise=draw_noise(latent_shape, generator=generator, offset_strength=diffusion.noise_offset),
        timestep=torch.randint(num_timesteps, (size,), generator=generator),
        image_noise=torch.randn(batch.image_embedding.shape, generator=generator),
        drop_appearance=_draw_mask(train.null_probability, size=size, train=train, generator=generator),
        drop_image=_draw_mask(train.image_dropout_probability, size=size, train=train, generator=generator),
        drop_reference=_draw_mask(
            train.reference_dropout_probability, size=size, train=train, generator=generator
        ),
    )


def step_seed(seed: int, *, epoch: int, index: int) -> int:
    """One 63-bit seed for (seed, epoch, index); neighbours are unrelated."""
    import numpy as np

    return int(np.random.SeedSequence((seed, epoch, index)).generate_state(1, np.uint64)[0] >> 1)


def training_loss(
    model: MCLD,
    *,
    batch: Batch,
    draws: StepDraws,
    schedule: NoiseSchedule,
    scaling_factor: float,
    facts: EmbeddingFacts,
    train: TrainParams,
    diffusion: DiffusionParams,
) -> VLoss:
    """The loss of one batch: noise the target's latent, predict v, weigh face and timestep."""
    device = next(model.parameters()).device
    alpha_bar = signal_levels(schedule)[draws.timestep].to(device)
    # Stays on the CPU: the model looks at it to choose rows, and must not wait for a GPU to do so.
    without_reference = draws.drop_appearance | draws.drop_reference
    batch, draws = on_device(batch, device=device), on_device(draws, device=device)
    facts = on_device(facts, device=device)
    latent = sample_moments(batch.target_moments, noise=draws.target_noise, scaling_factor=scaling_factor)
    predicted = model(
        add_noise(latent, noise_BCHW=draws.noise, alpha_bar_B=alpha_bar),
        timestep_B=draws.timestep,
        conditions=conditions_of(batch, draws=draws, scaling_factor=scaling_factor, facts=facts, train=train),
        drop_reference_B=without_reference,
    )
    height, width = latent.shape[2:]
    return face_weighted_v_loss(
        predicted,
        target_v_BCHW=v_target(latent, noise_BCHW=draws.noise, alpha_bar_B=alpha_bar),
        signal_to_noise_B=signal_to_noise(alpha_bar),
        face_B1HW=diffusion.face_loss_weight
        * face_cells(batch.target_iuv, latent_hw=(height, width)).float(),
        min_snr_gamma=diffusion.snr_gamma,
        normalised=diffusion.normalise_face_mask,
    )


def conditions_of(
    batch: Batch, *, draws: StepDraws, scaling_factor: float, facts: EmbeddingFacts, train: TrainParams
) -> Conditions:
    """The batch's conditions with the step's noise, and with what dropped rows see instead of theirs.

    The reference of dropped rows is not among these: the model is told which rows have none.
    """
    appearance, image = draws.drop_appearance[:, None], draws.drop_image[:, None]
    noise = train.image_noise * facts.image_spread * draws.image_noise
    if train.null_condition == "zero-vectors":
        image_embedding = (batch.image_embedding + noise).masked_fill(appearance | image, 0.0)
        texture_embedding = batch.texture_embedding.masked_fill(appearance, 0.0)
    else:
        assert facts.blank is not None, "null_condition 'blank-image' needs the embedding of one"
        # The authors blank the encoder's input, so that the noise comes on top.
        image_embedding = torch.where(appearance | image, facts.blank, batch.image_embedding) + noise
        texture_embedding = torch.where(appearance, facts.blank, batch.texture_embedding)
    return Conditions(
        target_iuv=batch.target_iuv,
        texture_latent=sample_moments(
            batch.texture_moments, noise=draws.texture_noise, scaling_factor=scaling_factor
        ),
        image_embedding=image_embedding,
        texture_embedding=texture_embedding,
        face_embedding=batch.face_embedding,
        face_found=batch.face_found & ~draws.drop_appearance if train.null_drops_face else batch.face_found,
    )


def _draw_mask(probability: float, *, size: int, train: TrainParams, generator: torch.Generator) -> Tensor:
    """(size,) bool: a draw for each sample, or one for the whole batch."""
    num_draws = size if train.dropout_unit == "sample" else 1
    return (torch.rand(num_draws, generator=generator) < probability).expand(size)
