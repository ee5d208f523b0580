"""One training step of MCLD as a function of (model, batch, randomness).

    draws = draw_step(batch, train=train, diffusion=diffusion, num_timesteps=schedule.num_timesteps)
    prepared = prepare_batch(batch, draws=draws, schedule=schedule, device=device)     # in any thread
    loss = prepared_loss(model, prepared=prepared, ...)

Shapes: B batch, C latent channels, h w latent cells, D CLIP projection width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mcld.conditions.latents import sample_moments
from mcld.config import DiffusionParams, TrainParams
from mcld.devices import on_device
from mcld.diffusion import (
    NoiseSchedule,
    RegionErrors,
    add_noise,
    face_cells,
    face_weighted_v_loss,
    region_errors,
    signal_levels,
    signal_to_noise,
    v_target,
)
from mcld.types import Batch, Conditions

# Beside (seed, epoch, index) of a row: what is drawn for a whole batch. No epoch has this number.
BATCH_STREAM = 0x6D636C64


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDraws:
    """All that is random in a step. A row's draws depend on nothing but its sample id and the seed."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedBatch:
    """A batch and its draws on the device, ready for the model."""

    batch: Batch
    draws: StepDraws
    alpha_bar: Tensor  # (B,) float32, the share of signal at each row's timestep
    without_reference: (
        Tensor  # (B,) bool, on the CPU: the model chooses rows by it and must not wait for a GPU
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLoss:
    """The loss to minimise, what each row gives to it, and how wrong faces and the rest are."""

    total: Tensor  # () float32
    per_row: Tensor  # (B,) float32
    regions: RegionErrors


def draw_step(
    batch: Batch, *, train: TrainParams, diffusion: DiffusionParams, num_timesteps: int
) -> StepDraws:
    """Draw a batch's randomness, on the CPU: the same whatever was run before and whichever rows are beside.

    A row's come from (seed, epoch, index) of its sample id; dropout of whole batches from (seed, step).
    """
    latent_shape = batch.target_moments.chunk(2, dim=1)[0].shape[1:]
    texture_shape = batch.texture_moments.chunk(2, dim=1)[0].shape[1:]
    shapes = [
        latent_shape,
        texture_shape,
        latent_shape,
        (latent_shape[0], 1, 1),
        batch.image_embedding.shape[1:],
    ]
    size = len(batch.sample_ids)
    normal = torch.empty(size, sum(math.prod(shape) for shape in shapes))
    uniform = torch.empty(size, 3)
    timestep = torch.empty(size, dtype=torch.int64)
    generator = torch.Generator()
    for row, (epoch, index) in enumerate(batch.sample_ids):
        generator.manual_seed(draw_seed(train.seed, epoch, index))
        timestep[row] = torch.randint(num_timesteps, (), generator=generator)
        torch.rand(3, generator=generator, out=uniform[row])
        torch.randn(normal.shape[1], generator=generator, out=normal[row])
    if train.dropout_unit == "batch":
        generator.manual_seed(draw_seed(train.seed, BATCH_STREAM, batch.step))
        uniform = torch.rand(3, generator=generator).expand(size, 3)
    parts = normal.split([math.prod(shape) for shape in shapes], dim=1)
    target_noise, texture_noise, noise, offset, image_noise = (
        part.reshape(size, *shape) for part, shape in zip(parts, shapes, strict=True)
    )
    return StepDraws(
        target_noise=target_noise,
        texture_noise=texture_noise,
        noise=noise + diffusion.noise_offset * offset,
        timestep=timestep,
        image_noise=image_noise,
        drop_appearance=uniform[:, 0] < train.null_probability,
        drop_image=uniform[:, 1] < train.image_dropout_probability,
        drop_reference=uniform[:, 2] < train.reference_dropout_probability,
    )


def draw_seed(*numbers: int) -> int:
    """One 63-bit seed for numbers like (seed, epoch, index); neighbours are unrelated."""
    import numpy as np

    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def prepare_batch(
    batch: Batch, *, draws: StepDraws, schedule: NoiseSchedule, device: torch.device
) -> PreparedBatch:
    """Bring a batch and its draws to the device, from pinned memory without waiting for it."""
    return PreparedBatch(
        batch=on_device(batch, device=device),
        draws=on_device(draws, device=device),
        alpha_bar=signal_levels(schedule)[draws.timestep.cpu()].to(device),
        without_reference=(draws.drop_appearance | draws.drop_reference).cpu(),
    )


def training_loss(
    model: nn.Module,
    *,
    batch: Batch,
    draws: StepDraws,
    schedule: NoiseSchedule,
    scaling_factor: float,
    facts: EmbeddingFacts,
    train: TrainParams,
    diffusion: DiffusionParams,
) -> StepLoss:
    """The loss of one batch: noise the target's latent, predict v, weigh face and timestep."""
    device = next(model.parameters()).device
    return prepared_loss(
        model,
        prepared=prepare_batch(batch, draws=draws, schedule=schedule, device=device),
        scaling_factor=scaling_factor,
        facts=on_device(facts, device=device),
        train=train,
        diffusion=diffusion,
    )


def prepared_loss(
    model: nn.Module,
    *,
    prepared: PreparedBatch,
    scaling_factor: float,
    facts: EmbeddingFacts,
    train: TrainParams,
    diffusion: DiffusionParams,
) -> StepLoss:
    """The same of a batch on the device. `model` is an MCLD, or what wraps one for several processes."""
    batch, draws, alpha_bar = prepared.batch, prepared.draws, prepared.alpha_bar
    latent = sample_moments(batch.target_moments, noise=draws.target_noise, scaling_factor=scaling_factor)
    predicted: Tensor = model(
        add_noise(latent, noise_BCHW=draws.noise, alpha_bar_B=alpha_bar),
        timestep_B=draws.timestep,
        conditions=conditions_of(batch, draws=draws, scaling_factor=scaling_factor, facts=facts, train=train),
        drop_reference_B=prepared.without_reference,
    )
    target = v_target(latent, noise_BCHW=draws.noise, alpha_bar_B=alpha_bar)
    height, width = latent.shape[2:]
    face = face_cells(batch.target_iuv, latent_hw=(height, width))
    loss = face_weighted_v_loss(
        predicted,
        target_v_BCHW=target,
        signal_to_noise_B=signal_to_noise(alpha_bar),
        face_B1HW=diffusion.face_loss_weight * face.float(),
        min_snr_gamma=diffusion.snr_gamma,
        normalised=diffusion.normalise_face_mask,
    )
    regions = region_errors(predicted, target_v_BCHW=target, face_B1HW=face)
    return StepLoss(total=loss.total, per_row=loss.per_row, regions=regions)


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
