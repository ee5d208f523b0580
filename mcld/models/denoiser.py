"""The denoiser: a stock UNet whose every input is an argument, and whose contexts change by stage.

Public: `Denoiser(config)`, `forward(noisy_latent, *, timestep, pose_feature, focal, reference) -> v`,
`project(focal, *, reference) -> contexts` and `denoise(noisy_latent, *, timestep, pose_feature, contexts) ->
v`, which are the same computation split so that sampling does the first half once, `walk(…, transform)`,
whose caller runs the transformer blocks, and `dead_parameter_names()`.

Shapes: B rows, K <= B rows that have a reference (they come first), C latent channels, H W latent size,
P width of conv_in, T condition tokens, F face tokens, D embedding width, N reference tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from torch import Tensor, nn

from mcld.models.attention import (
    BlockContext,
    FocalCrossAttention,
    ReferenceSelfAttention,
    denoiser_block,
    project_block,
)
from mcld.models.config import ModelConfig, unet_settings
from mcld.models.focal import FocalConditions, num_condition_tokens
from mcld.models.unet_walk import (
    Transform,
    embed_time,
    freeze,
    named_blocks,
    parameter_names,
    run,
    stage_of,
    unet_steps,
    walk,
)

ContextOf = Callable[[str], BlockContext]


class Denoiser(nn.Module):
    """Predicts v. `unet` is stock, with our attention processors."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.gradient_checkpointing = False
        self.unet = UNet2DConditionModel(**unet_settings(config))
        for _, block in named_blocks(self.unet):
            block.attn1.set_processor(ReferenceSelfAttention())
            block.attn2.set_processor(_focal_processor(config, width=block.attn2.inner_dim))
        freeze(self.unet, names=self.dead_parameter_names())

    def forward(
        self,
        noisy_latent_BCHW: Tensor,
        *,
        timestep_B: Tensor,
        pose_feature_BPHW: Tensor,
        focal: FocalConditions,
        reference: Mapping[str, Tensor] | None,
    ) -> Tensor:
        """v (B, C, H, W). `reference`: features of the first K rows by block name; None if no row has one."""

        def context_of(name: str) -> BlockContext:
            return self._project_block(name, focal=focal, reference=reference)

        return self._run(noisy_latent_BCHW, timestep_B, pose_feature_BPHW, context_of)

    def project(
        self, focal: FocalConditions, *, reference: Mapping[str, Tensor] | None
    ) -> dict[str, BlockContext]:
        """Keys and values of all that stays constant while one image is sampled, by block name."""
        return {
            name: self._project_block(name, focal=focal, reference=reference)
            for name, _ in named_blocks(self.unet)
        }

    def denoise(
        self,
        noisy_latent_BCHW: Tensor,
        *,
        timestep_B: Tensor,
        pose_feature_BPHW: Tensor,
        contexts: Mapping[str, BlockContext],
    ) -> Tensor:
        """v (B, C, H, W) from what `project` prepared."""
        return self._run(noisy_latent_BCHW, timestep_B, pose_feature_BPHW, lambda name: contexts[name])

    def dead_parameter_names(self) -> tuple[str, ...]:
        """Names in `unet` of weights that cannot influence v. Kept in files, not trained, not computed."""
        prefixes: list[str] = []
        for name, _ in named_blocks(self.unet):
            if num_condition_tokens(self.config, stage=stage_of(name)) == 1:
                prefixes.append(f"{name}.attn2.to_k.")
                if not self.config.has_face_attention:
                    prefixes += [f"{name}.norm2.", f"{name}.attn2.to_q."]
        return parameter_names(self.unet, prefixes=prefixes)

    def _run(
        self, noisy_latent_BCHW: Tensor, timestep_B: Tensor, pose_feature_BPHW: Tensor, context_of: ContextOf
    ) -> Tensor:
        def transform(name: str, block: BasicTransformerBlock, token_BLC: Tensor) -> Tensor:
            # The projections run inside, so that checkpointing forgets and recomputes them too.
            def call(token_BLC: Tensor) -> Tensor:
                return denoiser_block(block, token_BLC=token_BLC, context=context_of(name))

            return run(call, token_BLC, checkpointing=self.gradient_checkpointing)

        return self.walk(
            noisy_latent_BCHW,
            timestep_B=timestep_B,
            pose_feature_BPHW=pose_feature_BPHW,
            transform=transform,
        )

    def walk(
        self,
        noisy_latent_BCHW: Tensor,
        *,
        timestep_B: Tensor,
        pose_feature_BPHW: Tensor,
        transform: Transform,
    ) -> Tensor:
        """v (B, C, H, W), with `transform` running every transformer block: to run it, or to look inside."""
        hidden = walk(
            unet_steps(self.unet),
            # Once, before the first skip is stored: the pose reaches both ends of the UNet.
            hidden_BCHW=self.unet.conv_in(noisy_latent_BCHW) + pose_feature_BPHW,
            time_BE=embed_time(self.unet, timestep_B=timestep_B, dtype=noisy_latent_BCHW.dtype),
            transform=transform,
            checkpointing=self.gradient_checkpointing,
        )
        v_BCHW: Tensor = self.unet.conv_out(self.unet.conv_act(self.unet.conv_norm_out(hidden)))
        return v_BCHW

    def _project_block(
        self, name: str, *, focal: FocalConditions, reference: Mapping[str, Tensor] | None
    ) -> BlockContext:
        return project_block(
            self.unet.get_submodule(name),
            reference_KNC=reference[name] if reference is not None else None,
            condition_BTD=focal.condition_of(stage_of(name)),
            face_BFD=focal.face_BFD,
        )


def _focal_processor(config: ModelConfig, *, width: int) -> FocalCrossAttention:
    return FocalCrossAttention(
        width=width,
        condition_dim=config.cross_attention_dim,
        face_scale=config.face_scale,
        with_face=config.has_face_attention,
    )
