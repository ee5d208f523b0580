"""A stock diffusers UNet as a flat list of steps, walked by one loop that both of our networks share.

The stock forward cannot return features from the middle, change its context by stage or stop early. Its
layers can: `unet_steps` lists them in order of use, and `walk` runs a list, handing every transformer block
to the caller. A walk can stop and go on elsewhere: where it stands is a value, `Trail`.

Shapes: B rows, C channels of a step, H W its size, L = H*W tokens, E width of the time embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

Stage = Literal["down", "mid", "up"]
Transform = Callable[[str, BasicTransformerBlock, Tensor], Tensor]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One layer of the UNet in order of use, and what it does with the skip connections."""

    name: str  # the module's name in the UNet, e.g. "down_blocks.0.attentions.1"
    module: nn.Module
    takes_skip: bool = False
    leaves_skip: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """Where a walk stands: what the last step gave, and the skips that later steps will take."""

    hidden: Tensor  # (B, C, H, W)
    skips: tuple[Tensor, ...]  # the last one is taken first


@dataclass(frozen=True, slots=True, kw_only=True)
class StepsByDepth:
    """A UNet's steps in three pieces: into its first level, everything deeper, and the way out."""

    entry: tuple[Step, ...]
    deep: tuple[Step, ...]
    exit: tuple[Step, ...]


def unet_steps(unet: UNet2DConditionModel) -> tuple[Step, ...]:
    """Every layer between conv_in and conv_norm_out, in order of use."""
    return (*_down_steps(unet), *_mid_steps(unet), *_up_steps(unet))


def steps_by_depth(unet: UNet2DConditionModel, *, num_skips: int) -> StepsByDepth:
    """Cut so that `num_skips` skip connections, that of conv_in counted, go past the deep piece."""
    steps = unet_steps(unet)
    leaving = [index for index, step in enumerate(steps) if step.leaves_skip]
    taking = [index for index, step in enumerate(steps) if step.takes_skip]
    first_deep, first_out = leaving[num_skips - 2] + 1, taking[-num_skips]
    return StepsByDepth(entry=steps[:first_deep], deep=steps[first_deep:first_out], exit=steps[first_out:])


def named_blocks(unet: UNet2DConditionModel) -> tuple[tuple[str, BasicTransformerBlock], ...]:
    """All transformer blocks in order of use, with their names: the keys of reference features."""
    attentions = [step for step in unet_steps(unet) if isinstance(step.module, Transformer2DModel)]
    return tuple(named_block for step in attentions for named_block in blocks_of(step))


def stage_of(name: str) -> Stage:
    """The stage of a block, read from its name."""
    return "down" if name.startswith("down") else "mid" if name.startswith("mid") else "up"


def blocks_of(step: Step) -> tuple[tuple[str, BasicTransformerBlock], ...]:
    """The transformer blocks of an attention step, with their names."""
    assert isinstance(step.module, Transformer2DModel)
    return tuple(
        (f"{step.name}.transformer_blocks.{index}", block)
        for index, block in enumerate(step.module.transformer_blocks)
    )


def parameter_names(unet: UNet2DConditionModel, *, prefixes: Iterable[str]) -> tuple[str, ...]:
    """Names of the parameters under any of the prefixes."""
    starts = tuple(prefixes)
    return tuple(name for name, _ in unet.named_parameters() if name.startswith(starts))


def freeze(unet: UNet2DConditionModel, *, names: Iterable[str]) -> None:
    """Exclude parameters from training, and so from weight decay."""
    for name in names:
        unet.get_parameter(name).requires_grad_(False)


def embed_time(unet: UNet2DConditionModel, *, timestep_B: Tensor, dtype: torch.dtype) -> Tensor:
    """The time embedding (B, E) that every resnet receives."""
    time_BE: Tensor = unet.time_embedding(unet.time_proj(timestep_B).to(dtype))
    return time_BE


def walk(
    steps: Iterable[Step],
    *,
    hidden_BCHW: Tensor,
    time_BE: Tensor,
    transform: Transform,
    checkpointing: bool,
) -> Tensor:
    """Run the steps from the output of conv_in; `transform` runs each transformer block."""
    start = Trail(hidden=hidden_BCHW, skips=(hidden_BCHW,))
    end = follow(steps, trail=start, time_BE=time_BE, transform=transform, checkpointing=checkpointing)
    return end.hidden


def follow(
    steps: Iterable[Step], *, trail: Trail, time_BE: Tensor, transform: Transform, checkpointing: bool
) -> Trail:
    """Run the steps from where the trail stands, and say where it stands then."""
    hidden_BCHW, skips = trail.hidden, list(trail.skips)
    for step in steps:
        if step.takes_skip:
            hidden_BCHW = torch.cat([hidden_BCHW, skips.pop()], dim=1)
        if isinstance(step.module, ResnetBlock2D):
            hidden_BCHW = run(step.module, hidden_BCHW, time_BE, checkpointing=checkpointing)
        elif isinstance(step.module, Transformer2DModel):
            hidden_BCHW = _walk_attention(step, hidden_BCHW=hidden_BCHW, transform=transform)
        elif isinstance(step.module, Upsample2D):
            # The size of the skip to come, not twice our own: latents need not divide by 2 at every level.
            hidden_BCHW = step.module.conv(_repeat_pixels(hidden_BCHW, size=skips[-1].shape[2:]))
        else:
            hidden_BCHW = step.module(hidden_BCHW)
        if step.leaves_skip:
            skips.append(hidden_BCHW)
    return Trail(hidden=hidden_BCHW, skips=tuple(skips))


def run(function: Callable[..., Result], *inputs: object, checkpointing: bool) -> Result:
    """Call `function`; with `checkpointing`, its activations are recomputed in the backward pass."""
    if checkpointing and torch.is_grad_enabled():
        result: Result = checkpoint(function, *inputs, use_reentrant=False)
        return result
    return function(*inputs)


def enter_attention(attention: Transformer2DModel, *, hidden_BCHW: Tensor) -> Tensor:
    """Pixels to tokens (B, L, C): GroupNorm and the 1x1 convolution in front of the transformer blocks."""
    token_BCL: Tensor = attention.proj_in(attention.norm(hidden_BCHW)).flatten(2)
    return token_BCL.transpose(1, 2)


def _walk_attention(step: Step, *, hidden_BCHW: Tensor, transform: Transform) -> Tensor:
    assert isinstance(step.module, Transformer2DModel)
    token_BLC = enter_attention(step.module, hidden_BCHW=hidden_BCHW)
    for name, block in blocks_of(step):
        token_BLC = transform(name, block, token_BLC)
    pixel_BCHW = token_BLC.transpose(1, 2).reshape(hidden_BCHW.shape)
    change_BCHW: Tensor = step.module.proj_out(pixel_BCHW)
    return hidden_BCHW + change_BCHW


def _repeat_pixels(hidden_BCHW: Tensor, *, size: torch.Size) -> Tensor:
    """Nearest-neighbour upsampling to twice the size, or to one less at an odd `size`."""
    if not torch.compiler.is_compiling():
        return F.interpolate(hidden_BCHW, size=tuple(size), mode="nearest")
    # The same values. Inductor (torch 2.13, CPU) gives no gradient at all to what stands in front of a
    # nearest interpolation between two residual blocks.
    rows, channels, height, width = hidden_BCHW.shape
    twice_BCHW = hidden_BCHW[:, :, :, None, :, None].expand(-1, -1, -1, 2, -1, 2)
    return twice_BCHW.reshape(rows, channels, 2 * height, 2 * width)[:, :, : size[0], : size[1]]


def _down_steps(unet: UNet2DConditionModel) -> list[Step]:
    steps: list[Step] = []
    for level, block in enumerate(unet.down_blocks):
        name = f"down_blocks.{level}"
        attentions = getattr(block, "attentions", None)
        for index, resnet in enumerate(block.resnets):
            plain = attentions is None
            steps.append(Step(name=f"{name}.resnets.{index}", module=resnet, leaves_skip=plain))
            if attentions is not None:
                module = attentions[index]
                steps.append(Step(name=f"{name}.attentions.{index}", module=module, leaves_skip=True))
        for index, module in enumerate(block.downsamplers or ()):
            steps.append(Step(name=f"{name}.downsamplers.{index}", module=module, leaves_skip=True))
    return steps


def _mid_steps(unet: UNet2DConditionModel) -> list[Step]:
    block = unet.mid_block
    steps = [Step(name="mid_block.resnets.0", module=block.resnets[0])]
    for index, attention in enumerate(block.attentions):
        steps.append(Step(name=f"mid_block.attentions.{index}", module=attention))
        steps.append(Step(name=f"mid_block.resnets.{index + 1}", module=block.resnets[index + 1]))
    return steps


def _up_steps(unet: UNet2DConditionModel) -> list[Step]:
    steps: list[Step] = []
    for level, block in enumerate(unet.up_blocks):
        name = f"up_blocks.{level}"
        attentions = getattr(block, "attentions", None)
        for index, resnet in enumerate(block.resnets):
            steps.append(Step(name=f"{name}.resnets.{index}", module=resnet, takes_skip=True))
            if attentions is not None:
                steps.append(Step(name=f"{name}.attentions.{index}", module=attentions[index]))
        for index, module in enumerate(block.upsamplers or ()):
            steps.append(Step(name=f"{name}.upsamplers.{index}", module=module))
    return steps
