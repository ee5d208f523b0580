"""The sizes and switches of an MCLD model: plain values that travel to JSON and back.

`ModelConfig()` is SD-1.5 size. The UNets are stock diffusers ones; `unet_settings` says with which arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from mcld.errors import ConfigError
from mcld.types import IuvResize

Aggregation = Literal["mfca", "concat"]
ChannelOrder = Literal["iuv", "vui"]
ReferencePrecision = Literal["compute", "float16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceProjectorConfig:
    """Sizes of the perceiver resampler that turns a face embedding into tokens."""

    dim: int = 1280
    depth: int = 4
    dim_head: int = 64
    heads: int = 20
    num_tokens: int = 16
    embedding_dim: int = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Everything that shapes an MCLD model. Two equal configs build models with equal keys and shapes.

    `attention_head_dim` is the NUMBER of heads, as SD-1.5 means it. `attention_levels` says which UNet levels
    have cross-attention; None means all but the deepest, as in SD-1.5. The pose image is `2 **
    (len(pose_channels) - 1)` times the latent. `iuv_channel_order` is the order in which PoseGuider reads the
    IUV, `iuv_resize` how it was brought to the model's size in training, and `reference_precision` how finely
    the reference features are kept: the authors' released weights want "vui", "bicubic" and "float16".

    Four fields are the ablations; what each takes away:

    - `use_texture=False`: the texture token e2. ReferenceNet still reads the texture.
    - `use_face=False`: the face tokens, the face projector and the denoiser's `to_{k,v}_ip`.
    - `aggregation="concat"`: the paper's aggregation module. Every stage attends to [e1; e2; f] in one
      softmax, so there is no `to_{k,v}_ip` and `face_scale` has no effect.
    - `use_reference=False`: ReferenceNet. Not in the paper, whose plainest baseline has one.

    The paper's B1 is no texture and no face, B3 is concat, B5 is no face.
    """

    block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    attention_levels: tuple[bool, ...] | None = None
    layers_per_block: int = 2
    attention_head_dim: int = 8
    cross_attention_dim: int = 768
    norm_num_groups: int = 32
    latent_channels: int = 4
    pose_channels: tuple[int, ...] = (16, 32, 96, 256)
    face: FaceProjectorConfig = field(default_factory=FaceProjectorConfig)
    face_scale: float = 0.5
    aggregation: Aggregation = "mfca"
    use_texture: bool = True
    use_face: bool = True
    use_reference: bool = True
    iuv_channel_order: ChannelOrder = "iuv"
    iuv_resize: IuvResize = "nearest"
    reference_precision: ReferencePrecision = "compute"

    def __post_init__(self) -> None:
        _check(self)

    @property
    def has_attention(self) -> tuple[bool, ...]:
        """Per UNet level, shallow to deep: does it have cross-attention?"""
        if self.attention_levels is not None:
            return self.attention_levels
        return tuple(
            level < len(self.block_out_channels) - 1 for level in range(len(self.block_out_channels))
        )

    @property
    def has_face_attention(self) -> bool:
        """Do the face tokens have keys, values and a softmax of their own?"""
        return self.use_face and self.aggregation == "mfca"

    @property
    def pose_factor(self) -> int:
        """IUV pixels per latent cell, along one side."""
        return int(2 ** (len(self.pose_channels) - 1))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: tuples become lists."""
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """The inverse of `to_dict`; an unknown key is a ConfigError."""
        _refuse_unknown(values, cls=cls, place="model")
        plain: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        face = plain.pop("face", {})
        _refuse_unknown(face, cls=FaceProjectorConfig, place="model.face")
        return cls(face=FaceProjectorConfig(**face), **plain)


def unet_settings(config: ModelConfig) -> dict[str, Any]:
    """Arguments of the stock `UNet2DConditionModel`: SD-1.5 where the config names nothing else."""
    down = tuple("CrossAttnDownBlock2D" if attends else "DownBlock2D" for attends in config.has_attention)
    up = tuple("CrossAttnUpBlock2D" if attends else "UpBlock2D" for attends in reversed(config.has_attention))
    return {
        "in_channels": config.latent_channels,
        "out_channels": config.latent_channels,
        "down_block_types": down,
        "up_block_types": up,
        "block_out_channels": config.block_out_channels,
        "layers_per_block": config.layers_per_block,
        "attention_head_dim": config.attention_head_dim,
        "cross_attention_dim": config.cross_attention_dim,
        "norm_num_groups": config.norm_num_groups,
    }


def _refuse_unknown(values: Mapping[str, Any], *, cls: type[Any], place: str) -> None:
    known = sorted(item.name for item in fields(cls))
    for key in values:
        if key not in known:
            raise ConfigError(f"{place}: unknown key '{key}'; known keys are {', '.join(known)}")


def _check(config: ModelConfig) -> None:
    channels = config.block_out_channels
    if len(config.has_attention) != len(channels):
        raise ConfigError(
            f"model.attention_levels: {len(config.has_attention)} entries, but block_out_channels has "
            f"{len(channels)}; give one per level"
        )
    if not any(config.has_attention):
        raise ConfigError("model.attention_levels: no level has attention; MCLD needs at least one")
    for width in channels:
        if width % config.norm_num_groups or width % config.attention_head_dim:
            raise ConfigError(
                f"model.block_out_channels: {width} is not divisible by "
                f"norm_num_groups {config.norm_num_groups} and by attention_head_dim "
                f"(the number of heads) {config.attention_head_dim}"
            )
    if len(config.pose_channels) < 2:
        raise ConfigError(f"model.pose_channels: {config.pose_channels} needs at least two entries")
    for name, value, allowed in (
        ("aggregation", config.aggregation, ("mfca", "concat")),
        ("iuv_channel_order", config.iuv_channel_order, ("iuv", "vui")),
        ("iuv_resize", config.iuv_resize, ("nearest", "bicubic")),
        ("reference_precision", config.reference_precision, ("compute", "float16")),
    ):
        if value not in allowed:
            raise ConfigError(f"model.{name}: '{value}' is unknown; choose one of {', '.join(allowed)}")
