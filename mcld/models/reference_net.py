"""ReferenceNet: a stock UNet that reads the texture once and returns what the denoiser will attend to.

Public: `ReferenceNet(config)`, `forward(texture_latent, *, image_token_K1D) -> {block name: n_ref}`,
`dead_parameter_names()`. Features are return values; nothing stays on a module. The walk stops at the last
feature.

Shapes: K rows that have a reference, C latent channels, H W latent size of the texture, N tokens, D embedding
width.
"""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import Tensor, nn

from mcld.models.attention import ReferenceSelfAttention, reference_block
from mcld.models.config import ModelConfig, unet_settings
from mcld.models.unet_walk import (
    Step,
    blocks_of,
    embed_time,
    enter_attention,
    freeze,
    named_blocks,
    parameter_names,
    run,
    unet_steps,
    walk,
)


class ReferenceNet(nn.Module):
    """Texture encoder. `unet` is stock without its output layers; its last up block is frozen."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.gradient_checkpointing = False
        self.unet = UNet2DConditionModel(**unet_settings(config))
        self.unet.conv_norm_out = None
        self.unet.conv_out = nn.Identity()
        for _, block in named_blocks(self.unet):
            block.attn1.set_processor(ReferenceSelfAttention())
        freeze(self.unet, names=self.dead_parameter_names())
        # The authors use the features of the last up block and never update its weights.
        self.unet.up_blocks[-1].requires_grad_(False)

    def forward(self, texture_latent_KCHW: Tensor, *, image_token_K1D: Tensor) -> dict[str, Tensor]:
        """The feature (K, N, C) of every transformer block, by name, at timestep 0."""
        steps, last, _ = self._split_at_last_attention()
        features: dict[str, Tensor] = {}

        def transform(name: str, block: BasicTransformerBlock, token_KNC: Tensor) -> Tensor:
            def call(token_BLC: Tensor) -> tuple[Tensor, Tensor]:
                return reference_block(block, token_BLC=token_BLC, condition_B1D=image_token_K1D)

            features[name], token_KNC = run(call, token_KNC, checkpointing=self.gradient_checkpointing)
            return token_KNC

        timestep_K = torch.zeros(
            len(texture_latent_KCHW), dtype=torch.long, device=texture_latent_KCHW.device
        )
        hidden = walk(
            steps,
            hidden_BCHW=self.unet.conv_in(texture_latent_KCHW),
            time_BE=embed_time(self.unet, timestep_B=timestep_K, dtype=texture_latent_KCHW.dtype),
            transform=transform,
            checkpointing=self.gradient_checkpointing,
        )
        name, block = blocks_of(last)[0]
        features[name] = block.norm1(enter_attention(last.module, hidden_BCHW=hidden))
        return features

    def dead_parameter_names(self) -> tuple[str, ...]:
        """Names in `unet` of weights that influence no feature. Kept in files, not trained, not computed."""
        _, last, after = self._split_at_last_attention()
        prefixes = [f"{step.name}." for step in after]
        for name, _ in named_blocks(self.unet):
            prefixes += [f"{name}.{part}." for part in ("norm2", "attn2.to_q", "attn2.to_k")]
        last_name, _ = blocks_of(last)[0]
        prefixes += [f"{last_name}.{part}." for part in ("attn1", "attn2", "norm3", "ff")]
        prefixes.append(f"{last.name}.proj_out.")
        return parameter_names(self.unet, prefixes=prefixes)

    def _split_at_last_attention(self) -> tuple[tuple[Step, ...], Step, tuple[Step, ...]]:
        """The steps before the last attention, that attention, and what nobody reads after it."""
        steps = unet_steps(self.unet)
        last = max(index for index, step in enumerate(steps) if isinstance(step.module, Transformer2DModel))
        return steps[:last], steps[last], steps[last + 1 :]
