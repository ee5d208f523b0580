"""The two models that benchmarks time: one for two processor cores, and MCLD at full size for a GPU."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from mcld.models import MCLD, FaceProjectorConfig, ModelConfig
from mcld.types import Batch, Conditions, Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSize:
    """A model, the latents it works on and how many rows a step has."""

    name: str
    config: ModelConfig
    latent_hw: tuple[int, int]
    batch_size: int


CPU = ModelSize(
    name="cpu",
    config=ModelConfig(
        block_out_channels=(64, 128, 256, 256),
        cross_attention_dim=256,
        face=FaceProjectorConfig(dim=256, depth=4, heads=4),
    ),
    latent_hw=(32, 32),
    batch_size=4,
)
FULL = ModelSize(name="full", config=ModelConfig(), latent_hw=(64, 64), batch_size=64)
SIZES = {size.name: size for size in (CPU, FULL)}


def random_model(size: ModelSize, *, device: torch.device, seed: int = 0) -> MCLD:
    """Random weights, made on the device; what MCLD starts at zero is random too, so that nothing is free."""
    torch.manual_seed(seed)
    with device:
        model = MCLD(size.config)
    torch.nn.init.normal_(model.pose_guider.conv_out.weight, std=0.02)
    return model


def random_batch(size: ModelSize, *, batch_size: int, device: torch.device) -> Batch:
    """A batch of cached conditions."""
    generator = torch.Generator(device).manual_seed(1)
    config, (height, width) = size.config, size.latent_hw

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(batch_size, *shape, generator=generator, device=device)

    return Batch(
        pairs=tuple(Pair(source=f"o{row}/a", target=f"o{row}/b", split="train") for row in range(batch_size)),
        step=0,
        sample_ids=tuple((0, row) for row in range(batch_size)),
        target_moments=normal(2 * config.latent_channels, height, width),
        target_iuv=torch.randint(
            25,
            (batch_size, 3, height * config.pose_factor, width * config.pose_factor),
            dtype=torch.uint8,
            generator=generator,
            device=device,
        ),
        texture_moments=normal(2 * config.latent_channels, height, width),
        image_embedding=normal(config.cross_attention_dim),
        texture_embedding=normal(config.cross_attention_dim),
        face_embedding=normal(config.face.embedding_dim),
        face_found=torch.ones(batch_size, dtype=torch.bool, device=device),
    )


def random_conditions(size: ModelSize, *, batch_size: int, device: torch.device) -> Conditions:
    """The conditions of such a batch."""
    batch = random_batch(size, batch_size=batch_size, device=device)
    return Conditions(
        target_iuv=batch.target_iuv,
        texture_latent=batch.texture_moments.chunk(2, dim=1)[0],
        image_embedding=batch.image_embedding,
        texture_embedding=batch.texture_embedding,
        face_embedding=batch.face_embedding,
        face_found=batch.face_found,
    )


def training_flops(size: ModelSize, *, num_rows: int, num_null: int) -> int:
    """Floating-point operations of one forward and backward pass, counted on shapes alone."""
    device = torch.device("meta")
    model = random_model(size, device=device)
    conditions = meta_conditions(size, num_rows=num_rows)
    latent = torch.empty(num_rows, size.config.latent_channels, *size.latent_hw, device=device)
    with FlopCounterMode(display=False) as counter:
        v = model(
            latent,
            timestep_B=torch.zeros(num_rows, dtype=torch.long, device=device),
            conditions=conditions,
            drop_appearance_B=torch.arange(num_rows) < num_null if num_null else None,
        )
        torch.autograd.backward(v.sum())
    flops: int = counter.get_total_flops()
    return flops


def meta_conditions(size: ModelSize, *, num_rows: int) -> Conditions:
    """Conditions without numbers, to count operations with."""
    config, (height, width) = size.config, size.latent_hw

    def empty(*shape: int) -> torch.Tensor:
        return torch.empty(num_rows, *shape, device="meta")

    iuv_hw = (height * config.pose_factor, width * config.pose_factor)
    return Conditions(
        target_iuv=torch.empty(num_rows, 3, *iuv_hw, dtype=torch.uint8, device="meta"),
        texture_latent=empty(config.latent_channels, height, width),
        image_embedding=empty(config.cross_attention_dim),
        texture_embedding=empty(config.cross_attention_dim),
        face_embedding=empty(config.face.embedding_dim),
        face_found=torch.empty(num_rows, dtype=torch.bool, device="meta"),
    )
