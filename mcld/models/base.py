"""The base weights that MCLD starts from: a stock UNet and a pose embedding, and what they say of the model's sizes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from mcld.config import ModelParams
from mcld.errors import WeightsError
from mcld.models.config import FaceProjectorConfig, ModelConfig
from mcld.models.weights import WEIGHTS_NAME, read_safetensors
from mcld.storage import read_json


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseWeights:
    """A UNet in float32, and a ControlNet condition embedding by name with its channels."""

    unet: UNet2DConditionModel
    pose_embedding: dict[str, Tensor]
    pose_channels: tuple[int, ...]


def load_base(directory: Path) -> BaseWeights:
    """Read `unet/` and `pose_embedding/`. Raises WeightsError naming what is missing or unreadable."""
    if not (directory / "unet" / "config.json").is_file():
        raise WeightsError(f"{directory / 'unet'}: no config.json; run the stage 'weights'")
    try:
        unet = UNet2DConditionModel.from_pretrained(
            directory / "unet", torch_dtype=torch.float32, local_files_only=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise WeightsError(
            f"{directory / 'unet'}: cannot be loaded ({str(error).splitlines()[0]})"
        ) from error
    assert isinstance(unet, UNet2DConditionModel)
    pose_dir = directory / "pose_embedding"
    pose_embedding = {
        name: value.float() for name, value in read_safetensors(pose_dir / WEIGHTS_NAME).items()
    }
    return BaseWeights(unet=unet, pose_embedding=pose_embedding, pose_channels=_pose_channels(pose_dir))


def model_config(base: BaseWeights, *, params: ModelParams, face_dim: int) -> ModelConfig:
    """The model's settings: sizes from the base weights, the rest from `params`."""
    unet = base.unet.config
    return ModelConfig(
        block_out_channels=tuple(unet.block_out_channels),
        attention_levels=tuple("CrossAttn" in name for name in unet.down_block_types),
        layers_per_block=unet.layers_per_block,
        attention_head_dim=unet.attention_head_dim,
        cross_attention_dim=unet.cross_attention_dim,
        norm_num_groups=unet.norm_num_groups,
        latent_channels=unet.in_channels,
        pose_channels=base.pose_channels,
        face=FaceProjectorConfig(
            dim=params.projector_dim,
            depth=params.projector_depth,
            dim_head=params.projector_head_dim,
            heads=params.projector_heads,
            num_tokens=params.num_face_tokens,
            embedding_dim=face_dim,
        ),
        face_scale=params.face_scale,
        aggregation=params.aggregation,
        use_texture=params.use_texture,
        use_face=params.use_face,
        iuv_channel_order=params.iuv_channel_order,
    )


def _pose_channels(directory: Path) -> tuple[int, ...]:
    config = read_json(directory / "config.json")
    channels = config.get("block_out_channels") if isinstance(config, dict) else None
    if not isinstance(channels, list) or not all(isinstance(channel, int) for channel in channels):
        raise WeightsError(
            f"{directory / 'config.json'}: needs 'block_out_channels', a list of whole numbers"
        )
    return tuple(channels)
