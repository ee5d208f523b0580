"""The denoiser: a stock UNet whose every input is an argument, and whose contexts change by stage.

Public: `Denoiser(config)`, `forward(noisy_latent, *, timestep, pose_feature, focal, reference) -> v`,
`project(focal, *, reference) -> contexts` and `denoise(noisy_latent, *, timestep, pose_feature, contexts,
deep) -> Denoised`, which are the same computation split so that sampling does the first half once,
`walk(…, transform)`, whose caller runs the transformer blocks, `compile_denoising()` and
`dead_parameter_names()`.

What the deep layers say changes little from one sampling step to the next (Ma et al. 2024, "DeepCache"):
`denoise` gives their feature away, and given one runs the shallow layers alone.

Shapes: B rows, K <= B rows that have a reference (they come first), C latent channels, H W latent size,
P width of conv_in, T condition tokens, F face tokens, D embedding width, N reference tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from torch import Tensor, nn

from mcld.models.acceleration import compile_options
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
    Step,
    Trail,
    Transform,
    embed_time,
    follow,
    freeze,
    named_blocks,
    parameter_names,
    run,
    stage_of,
    steps_by_depth,
)

ContextOf = Callable[[str], BlockContext]
# Skip connections past the deep layers: those of conv_in and of the first residual block.
NUM_SHALLOW_SKIPS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Denoised:
    """A prediction, and what came out of the deep layers on the way to it."""

    v: Tensor  # (B, C, H, W)
    deep: Tensor  # (B, width, H, W) at the latent's size


class Denoiser(nn.Module):
    """Predicts v. `unet` is stock, with our attention processors."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.gradient_checkpointing = False
        self._compiled: Callable[..., Denoised] | None = None
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

        return self._run(noisy_latent_BCHW, timestep_B, pose_feature_BPHW, context_of).v

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
        deep_BCHW: Tensor | None = None,
    ) -> Denoised:
        """From what `project` prepared; with the `deep` of another step, by the shallow layers alone."""
        inputs = noisy_latent_BCHW, timestep_B, pose_feature_BPHW, contexts, deep_BCHW
        if self._compiled is None:
            return self._denoise(*inputs)
        found = self._compiled(self, *inputs)
        # A CUDA graph writes its output where the last one stood, and both are kept for longer.
        return Denoised(v=found.v.clone(), deep=found.deep.clone())

    def compile_denoising(self, *, cuda_graphs: bool) -> None:
        """Let torch.compile have `denoise`, as `compile` does `forward`. The first call takes minutes."""
        # Not a bound method: a copy of this module computes with its own weights.
        self._compiled = torch.compile(
            Denoiser._denoise, options={**compile_options(cuda_graphs=cuda_graphs)}
        )

    def dead_parameter_names(self) -> tuple[str, ...]:
        """Names in `unet` of weights that cannot influence v. Kept in files, not trained, not computed."""
        prefixes: list[str] = []
        for name, _ in named_blocks(self.unet):
            if num_condition_tokens(self.config, stage=stage_of(name)) == 1:
                prefixes.append(f"{name}.attn2.to_k.")
                if not self.config.has_face_attention:
                    prefixes += [f"{name}.norm2.", f"{name}.attn2.to_q."]
        return parameter_names(self.unet, prefixes=prefixes)

    def _denoise(
        self,
        noisy_latent_BCHW: Tensor,
        timestep_B: Tensor,
        pose_feature_BPHW: Tensor,
        contexts: Mapping[str, BlockContext],
        deep_BCHW: Tensor | None,
    ) -> Denoised:
        def context_of(name: str) -> BlockContext:
            return contexts[name]

        return self._run(noisy_latent_BCHW, timestep_B, pose_feature_BPHW, context_of, deep_BCHW)

    def _run(
        self,
        noisy_latent_BCHW: Tensor,
        timestep_B: Tensor,
        pose_feature_BPHW: Tensor,
        context_of: ContextOf,
        deep_BCHW: Tensor | None = None,
    ) -> Denoised:
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
            deep_BCHW=deep_BCHW,
        )

    def walk(
        self,
        noisy_latent_BCHW: Tensor,
        *,
        timestep_B: Tensor,
        pose_feature_BPHW: Tensor,
        transform: Transform,
        deep_BCHW: Tensor | None = None,
    ) -> Denoised:
        """A prediction, with `transform` running the transformer blocks: to run them, or to look inside."""
        time_BE = embed_time(self.unet, timestep_B=timestep_B, dtype=noisy_latent_BCHW.dtype)

        def onward(steps: Iterable[Step], trail: Trail) -> Trail:
            return follow(
                steps,
                trail=trail,
                time_BE=time_BE,
                transform=transform,
                checkpointing=self.gradient_checkpointing,
            )

        pieces = steps_by_depth(self.unet, num_skips=NUM_SHALLOW_SKIPS)
        # Once, before the first skip is stored: the pose reaches both ends of the UNet.
        hidden_BPHW = self.unet.conv_in(noisy_latent_BCHW) + pose_feature_BPHW
        trail = onward(pieces.entry, Trail(hidden=hidden_BPHW, skips=(hidden_BPHW,)))
        if deep_BCHW is None:
            trail = onward(pieces.deep, trail)
        else:
            trail = Trail(hidden=deep_BCHW, skips=trail.skips)
        hidden_BPHW = onward(pieces.exit, trail).hidden
        v_BCHW: Tensor = self.unet.conv_out(self.unet.conv_act(self.unet.conv_norm_out(hidden_BPHW)))
        return Denoised(v=v_BCHW, deep=trail.hidden)

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
