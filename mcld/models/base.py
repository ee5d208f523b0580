"""The base weights that MCLD starts from, a stock UNet and a pose embedding; they set the model's sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor

from mcld.config import ModelParams
from mcld.errors import WeightsError
from mcld.models.config import FaceProjectorConfig, ModelConfig, unet_settings
from mcld.models.pose_guider import PoseGuider
from mcld.models.weights import WEIGHTS_NAME
from mcld.storage import read_json, write_json
from mcld.tensors.files import read_safetensors


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
    return ModelConfig(
        **unet_sizes(base.unet.config),
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
        use_reference=params.use_reference,
        iuv_channel_order=params.iuv_channel_order,
        iuv_resize=params.iuv_resize,
        reference_precision=params.reference_precision,
    )


def unet_sizes(config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `ModelConfig` that a diffusers UNet's config decides."""
    return {
        "block_out_channels": tuple(config["block_out_channels"]),
        "attention_levels": tuple("CrossAttn" in name for name in config["down_block_types"]),
        "layers_per_block": config["layers_per_block"],
        "attention_head_dim": config["attention_head_dim"],
        "cross_attention_dim": config["cross_attention_dim"],
        "norm_num_groups": config["norm_num_groups"],
        "latent_channels": config["in_channels"],
    }


def save_untrained(
    directory: Path,
    *,
    channels: tuple[int, ...],
    num_heads: int,
    latent_channels: int,
    embedding_dim: int,
    seed: int,
) -> None:
    """Write a seeded, untrained UNet and pose embedding into `directory`.

    The UNet has two layers a level and attention at every level.
    Raises ConfigError when the widths do not divide by heads and norm groups.
    """
    config = ModelConfig(
        block_out_channels=channels,
        attention_levels=(True,) * len(channels),
        attention_head_dim=num_heads,
        cross_attention_dim=embedding_dim,
        latent_channels=latent_channels,
        use_texture=False,
        use_face=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        UNet2DConditionModel(**unet_settings(config)).save_pretrained(directory / "unet")
        guider = PoseGuider(config)
        for parameter in guider.parameters():
            if parameter.dim() > 1:
                # PyTorch's default shrinks a signal in every layer: after eight, the pose would be a whisper.
                torch.nn.init.kaiming_normal_(parameter, nonlinearity="relu")
    folder = directory / "pose_embedding"
    folder.mkdir()
    state = {name: value.contiguous() for name, value in guider.state_dict().items()}
    save_file(state, folder / WEIGHTS_NAME, metadata={"format": "pt"})
    write_json(folder / "config.json", value={"block_out_channels": list(config.pose_channels)})


def _pose_channels(directory: Path) -> tuple[int, ...]:
    config = read_json(directory / "config.json")
    channels = config.get("block_out_channels") if isinstance(config, dict) else None
    if not isinstance(channels, list) or not all(isinstance(channel, int) for channel in channels):
        raise WeightsError(
            f"{directory / 'config.json'}: needs 'block_out_channels', a list of whole numbers"
        )
    return tuple(channels)
