"""Start an MCLD model from base weights: two copies of one UNet, and new parts that begin quiet.

- denoiser and ReferenceNet: the base UNet;
- PoseGuider: ControlNet's condition embedding if given, otherwise random; its last convolution is zero either
way;
- face keys (`to_k_ip`): the base's text keys of the same block; face values (`to_v_ip`): zero;
- face projector: random, from the seed.

So with whatever pose and face, the first prediction is that of the base UNet with its reference, and the new
conditions grow in from zero. (Not so the face in the ablation "concat", where the base's softmax sees it.)
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from mcld.errors import WeightsError
from mcld.models.attention import FocalCrossAttention
from mcld.models.config import ModelConfig, unet_settings
from mcld.models.mcld import MCLD

POSE_OUTPUT_PREFIX = "conv_out."
CONTROLNET_PREFIX = "controlnet_cond_embedding."


def initialise_mcld(
    config: ModelConfig,
    *,
    base_unet: UNet2DConditionModel,
    pose_embedding: Mapping[str, Tensor] | None = None,
    seed: int = 0,
) -> MCLD:
    """A float32 model on the CPU. `pose_embedding` has ControlNet's names, with or without their prefix."""
    _check_base(config, base_unet=base_unet)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MCLD(config)
    base = base_unet.state_dict()
    _load_base(model.denoiser.unet, base=base)
    if model.reference_net is not None:
        _load_base(model.reference_net.unet, base=base)
    if pose_embedding is not None:
        _load_pose_embedding(model.pose_guider, state=pose_embedding)
    _quiet_face_projections(model.denoiser.unet)
    return model


def _check_base(config: ModelConfig, *, base_unet: UNet2DConditionModel) -> None:
    for key, expected in unet_settings(config).items():
        found = base_unet.config[key]
        found = tuple(found) if isinstance(found, list) else found
        if found != expected:
            raise WeightsError(
                f"base UNet: its {key} is {found}, but the model settings give {expected}; "
                "choose base weights and model settings of the same preset"
            )


def _load_base(unet: UNet2DConditionModel, *, base: Mapping[str, Tensor]) -> None:
    wanted = unet.state_dict()
    unet.load_state_dict({name: base.get(name, value) for name, value in wanted.items()})


def _load_pose_embedding(guider: nn.Module, *, state: Mapping[str, Tensor]) -> None:
    given = {name.removeprefix(CONTROLNET_PREFIX): value for name, value in state.items()}
    wanted = guider.state_dict()
    for name, value in wanted.items():
        if name.startswith(POSE_OUTPUT_PREFIX):
            continue
        shape = tuple(given[name].shape) if name in given else "nothing"
        if shape != tuple(value.shape):
            raise WeightsError(
                f"pose embedding: '{name}' has {shape}, expected {tuple(value.shape)}; "
                "use a ControlNet condition embedding of the model's pose_channels"
            )
        wanted[name] = given[name]
    guider.load_state_dict(wanted)


@torch.no_grad()
def _quiet_face_projections(unet: UNet2DConditionModel) -> None:
    for attention in unet.modules():
        processor = getattr(attention, "processor", None)
        if isinstance(processor, FocalCrossAttention) and processor.with_face:
            processor.to_k_ip.weight.copy_(attention.to_k.weight)
            processor.to_v_ip.weight.zero_()
