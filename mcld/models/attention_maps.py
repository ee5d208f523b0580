"""Where each block of the denoiser looks, and how strongly each focal condition speaks: maps for figures.

    maps = attention_maps(model, noisy_latent, timestep_B=t, prepared=prepared)   # one pass, beside sampling
    maps.blocks[0].reference_share, maps.blocks[0].strength["face"]               # per block
    focal_maps(maps)["texture"]                                                  # per condition, latent size

A pure function: it walks the denoiser once, keeps nothing on the model, and gives the same v as
`model.denoise`.

Shapes: B rows, C channels, H W latent size, h w size at a block's level, L = h*w its tokens, N texture
tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers.models.attention import BasicTransformerBlock
from torch import Tensor
from torch.nn import functional as F

from mcld.models.block_maps import BlockMaps, Size, map_block
from mcld.models.config import ModelConfig
from mcld.models.mcld import MCLD, PreparedConditions
from mcld.models.unet_walk import Stage, stage_of

REFERENCE = "reference"
CONDITIONS = ("image", "texture", "face")


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionMaps:
    """One pass of the denoiser: its prediction, and the maps of its blocks in order of use."""

    v: Tensor  # (B, C, H, W)
    blocks: tuple[BlockMaps, ...]


@torch.no_grad()
def attention_maps(
    model: MCLD,
    noisy_latent_BCHW: Tensor,
    *,
    timestep_B: Tensor,
    prepared: PreparedConditions,
    texture_hw: Size | None = None,
) -> AttentionMaps:
    """The maps of every block for the rows of `prepared`.

    `texture_hw`, the size of the texture's latent, asks for `reference_where` as well: L x N numbers a row
    and block, 64 MiB at the top level of a 64 x 64 latent.
    """
    config = model.config
    latent_hw: Size = (noisy_latent_BCHW.shape[2], noisy_latent_BCHW.shape[3])
    blocks: list[BlockMaps] = []

    def transform(name: str, block: BasicTransformerBlock, token_BLC: Tensor) -> Tensor:
        level = _level_of(name, config=config)
        maps, token_BLC = map_block(
            block,
            token_BLC=token_BLC,
            context=prepared.contexts[name],
            groups=_condition_groups(config, stage=stage_of(name)),
            name=name,
            hw=_size_at(level, hw=latent_hw),
            texture_hw=None if texture_hw is None else _size_at(level, hw=texture_hw),
        )
        blocks.append(maps)
        return token_BLC

    denoised = model.denoiser.walk(
        noisy_latent_BCHW.to(model.dtype),
        timestep_B=timestep_B,
        pose_feature_BPHW=prepared.pose_feature,
        transform=transform,
    )
    return AttentionMaps(v=denoised.v.to(noisy_latent_BCHW.dtype), blocks=tuple(blocks))


def focal_maps(maps: AttentionMaps) -> dict[str, Tensor]:
    """One map (B, H, W) a focal condition, at the latent's size: the mean over the blocks that see it.

    "reference" is a share of attention, 0 to 1; "image", "texture" and "face" are strengths.
    """
    latent_hw: Size = (maps.v.shape[2], maps.v.shape[3])
    found = {REFERENCE: [block.reference_share for block in maps.blocks]}
    for name in CONDITIONS:
        of_blocks = [block.strength[name] for block in maps.blocks if name in block.strength]
        if of_blocks:
            found[name] = of_blocks
    return {
        name: torch.stack([_resize(map_Bhw, hw=latent_hw) for map_Bhw in of_blocks]).mean(0)
        for name, of_blocks in found.items()
    }


def _condition_groups(config: ModelConfig, *, stage: Stage) -> dict[str, slice]:
    """Which condition tokens of a stage are image, texture and, in the ablation "concat", face."""
    concat = config.aggregation == "concat"
    has_texture = config.use_texture and (concat or stage != "down")
    has_image = concat or stage != "up" or not config.use_texture
    names = ["image"] * has_image + ["texture"] * has_texture
    groups = {name: slice(index, index + 1) for index, name in enumerate(names)}
    return groups | {"face": slice(len(names), None)} if concat and config.use_face else groups


def _level_of(name: str, *, config: ModelConfig) -> int:
    """The UNet level of a block, 0 the finest."""
    deepest = len(config.block_out_channels) - 1
    stage = stage_of(name)
    if stage == "mid":
        return deepest
    index = int(name.split(".")[1])
    return index if stage == "down" else deepest - index


def _size_at(level: int, *, hw: Size) -> Size:
    """The size at a level: every level halves, upwards where it is odd, as convolutions of stride 2 do."""
    return (-(-hw[0] // 2**level), -(-hw[1] // 2**level))


def _resize(map_Bhw: Tensor, *, hw: Size) -> Tensor:
    return F.interpolate(map_Bhw[:, None], size=hw, mode="bilinear", align_corners=False)[:, 0]
