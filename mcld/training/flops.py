"""Count the operations of a training step on shapes alone: no memory, no device, seconds.

A multiply-add is two operations. Attention is counted as its products of queries, keys and values; weights
that are not trained cost no products for gradients of their own. What gradient checkpointing computes again
counts only where it is asked for: a rate in TFLOP/s is of the work that a step needs, not of work done twice.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from mcld.models import MCLD, ModelConfig
from mcld.types import Conditions

META = torch.device("meta")


def flops_per_row(
    config: ModelConfig,
    *,
    latent_hw: tuple[int, int],
    texture_hw: tuple[int, int],
    null_share: float = 0.0,
    recomputes: bool = False,
) -> float:
    """Operations of one row's forward and backward pass; seconds at first, then remembered.

    `latent_hw` and `texture_hw` are latent cells of the image and the texture, `null_share` is how many of
    the rows see no reference, on average: ReferenceNet does not run for them. `recomputes` adds what
    gradient checkpointing computes twice.
    """
    whole = _count(config, latent_hw, texture_hw, False, recomputes)
    if not null_share or not config.use_reference:
        return whole
    return whole + null_share * (_count(config, latent_hw, texture_hw, True, recomputes) - whole)


def null_share(*, null_probability: float, reference_dropout_probability: float) -> float:
    """How many of the rows have no reference, on average: either draw takes it away."""
    return 1.0 - (1.0 - null_probability) * (1.0 - reference_dropout_probability)


def meta_model(config: ModelConfig) -> MCLD:
    """The model without memory for its weights."""
    with META:
        return MCLD(config)


def meta_inputs(
    config: ModelConfig, *, num_rows: int, latent_hw: tuple[int, int], texture_hw: tuple[int, int]
) -> tuple[Tensor, Tensor, Conditions]:
    """Noisy latent (B, C, h, w), timesteps (B,) and conditions of a step, without memory."""

    def empty(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.empty(num_rows, *shape, dtype=dtype, device=META)

    height, width = (side * config.pose_factor for side in latent_hw)
    conditions = Conditions(
        target_iuv=empty(3, height, width, dtype=torch.uint8),
        texture_latent=empty(config.latent_channels, *texture_hw),
        image_embedding=empty(config.cross_attention_dim),
        texture_embedding=empty(config.cross_attention_dim),
        face_embedding=empty(config.face.embedding_dim),
        face_found=empty(dtype=torch.bool),
    )
    return empty(config.latent_channels, *latent_hw), empty(dtype=torch.long), conditions


@lru_cache(maxsize=64)
def _count(
    config: ModelConfig,
    latent_hw: tuple[int, int],
    texture_hw: tuple[int, int],
    is_null: bool,
    recomputes: bool,
) -> float:
    """Operations of a step of one row. `is_null`: the row has no reference."""
    from torch.utils.flop_counter import FlopCounterMode

    model = meta_model(config)
    model.set_gradient_checkpointing(recomputes)
    latent, timestep, conditions = meta_inputs(config, num_rows=1, latent_hw=latent_hw, texture_hw=texture_hw)
    with FlopCounterMode(display=False) as counter:
        v = model(
            latent,
            timestep_B=timestep,
            conditions=conditions,
            drop_reference_B=torch.tensor([True]) if is_null else None,
        )
        torch.autograd.backward(v.sum())
    return float(counter.get_total_flops())
