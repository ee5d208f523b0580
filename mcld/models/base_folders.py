"""Check base weights as they are published in diffusers layout, and write them in ours.

    unet/            Stable Diffusion 1.5 or sd-image-variations
    vae/             AutoencoderKL
    image_encoder/   CLIP's vision tower and projection, taken out of a whole CLIP model if need be
    pose_embedding/  the condition embedding, taken out of a ControlNet if need be

Each with `config.json` and one safetensors file, numbers as stored. Public: `read_base(files)`,
`write_base(components, *, directory)`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from mcld.config import VAE_FACTOR
from mcld.errors import ConfigError, WeightsError
from mcld.models.base import unet_sizes
from mcld.models.config import ModelConfig, unet_settings
from mcld.models.initialise import CONTROLNET_PREFIX, POSE_OUTPUT_PREFIX
from mcld.models.pose_guider import PoseGuider
from mcld.storage import read_json, write_json
from mcld.tensors.files import check_fit, read_tensors, write_tensors

FIT_REMEDY = "weights and config.json are of different models: copy both from the same place"
IMAGE_ENCODER = "image_encoder"
OLD_ATTENTION_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
OLD_ATTENTION = re.compile(r"(?<=\.attentions\.\d\.)(query|key|value|proj_attn)(?=\.(?:weight|bias)$)")
VISION_PREFIXES = ("vision_model.", "visual_projection.")
VISION_SETTINGS = (
    *("hidden_size", "intermediate_size", "projection_dim", "num_hidden_layers", "num_attention_heads"),
    *("num_channels", "image_size", "patch_size", "hidden_act", "layer_norm_eps", "attention_dropout"),
)
Config = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseComponent:
    """One checked component in our layout; `place` is the config it came from, for errors."""

    place: Path
    config: Config
    state: dict[str, Tensor]


def read_base(files: Mapping[str, Sequence[Path]]) -> dict[str, BaseComponent]:
    """All components, from each one's config and weights. Numbers are not read yet.

    Raises WeightsError naming the first file, key and value that do not fit Stable Diffusion 1.5's kind, or
    each other.
    """
    read = {}
    for name, (config_path, *weights) in files.items():
        config = _read_config(config_path)
        state = read_tensors(path for path in weights if path.suffix != ".json")
        config, state = _READERS[name](config, state, config_path)
        read[name] = BaseComponent(place=config_path, config=config, state=state)
    _check_together(read)
    return read


def write_base(components: Mapping[str, BaseComponent], *, directory: Path) -> Iterator[str]:
    """Write each component's two files; yields each one's name below `directory` when it is there."""
    for name, component in components.items():
        (directory / name).mkdir()
        write_json(directory / name / "config.json", value=component.config)
        yield f"{name}/config.json"
        weights_name = f"{'model' if name == IMAGE_ENCODER else 'diffusion_pytorch_model'}.safetensors"
        write_tensors(directory / name / weights_name, state=component.state)
        yield f"{name}/{weights_name}"


def _read_config(path: Path) -> Config:
    config = read_json(path)
    if not isinstance(config, dict):
        raise WeightsError(f"{path}: holds no settings; copy it again")
    return config


def _read_unet(config: Config, state: dict[str, Tensor], place: Path) -> tuple[Config, dict[str, Tensor]]:
    _check_class(config, name="UNet2DConditionModel", place=place)
    full = _defaults(UNet2DConditionModel) | config
    for key, expected in _unet_expectations(full, place=place).items():
        found = tuple(full[key]) if isinstance(full[key], list) else full[key]
        if found != expected and (found or expected):  # null, false and nothing are the same here
            raise WeightsError(
                f"{place}: its {key} is {found}, but MCLD needs {expected}; "
                "use the UNet of Stable Diffusion 1.5 or sd-image-variations"
            )
    _check_state(state, model=_on_meta(UNet2DConditionModel, config, place=place), place=place)
    return config, state


def _unet_expectations(full: Config, *, place: Path) -> Config:
    """What every argument of the UNet must be: its own sizes in SD-1.5's pattern, otherwise the default."""
    try:
        sizes = unet_settings(ModelConfig(**unet_sizes(full)))
    except (ConfigError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{place}: not a UNet of Stable Diffusion 1.5's kind ({error}); "
            "use its UNet or that of sd-image-variations"
        ) from error
    return {
        name: value for name, value in _defaults(UNet2DConditionModel).items() if name != "sample_size"
    } | sizes


def _read_vae(config: Config, state: dict[str, Tensor], place: Path) -> tuple[Config, dict[str, Tensor]]:
    _check_class(config, name="AutoencoderKL", place=place)
    full = _defaults(AutoencoderKL) | config
    if full["shift_factor"] or full["latents_mean"]:
        raise WeightsError(f"{place}: its latents are shifted; use the VAE of Stable Diffusion 1.5")
    factor = 2 ** (len(full["block_out_channels"]) - 1)
    if factor != VAE_FACTOR:
        raise WeightsError(
            f"{place}: one latent cell is {factor} pixels wide, but MCLD needs {VAE_FACTOR}; "
            "use the VAE of Stable Diffusion 1.5"
        )
    state = {OLD_ATTENTION.sub(_new_attention_name, name): value for name, value in state.items()}
    _check_state(state, model=_on_meta(AutoencoderKL, config, place=place), place=place)
    # Older configs leave the scaling factor to diffusers' default; ours say it.
    return config | {"scaling_factor": full["scaling_factor"]}, state


def _new_attention_name(match: re.Match[str]) -> str:
    return OLD_ATTENTION_NAMES[match[1]]


def _read_image_encoder(
    config: Config, state: dict[str, Tensor], place: Path
) -> tuple[Config, dict[str, Tensor]]:
    """CLIP's vision tower and projection. A whole CLIP keeps the projection's width outside the tower."""
    vision = config
    if config.get("model_type") == "clip":
        own_dim = {"projection_dim": config["projection_dim"]} if "projection_dim" in config else {}
        vision = dict(config.get("vision_config") or {}) | own_dim
    elif config.get("model_type") != "clip_vision_model":
        raise WeightsError(
            f"{place}: its model_type is {config.get('model_type')!r}, not 'clip_vision_model' or 'clip'; "
            "use sd-image-variations' image_encoder or CLIP ViT-L/14"
        )
    settings = {name: vision[name] for name in VISION_SETTINGS if name in vision}
    kept = {
        name: value
        for name, value in state.items()
        # Old files also hold the positions' numbers 0, 1, 2, …
        if name.startswith(VISION_PREFIXES) and not name.endswith("position_ids")
    }
    try:
        full = CLIPVisionConfig(**settings)
        with torch.device("meta"):
            model = CLIPVisionModelWithProjection(full)
    except (TypeError, ValueError, StrictDataclassError) as error:
        raise WeightsError(
            f"{place}: not the settings of a CLIP image encoder ({_in_one_line(error)})"
        ) from error
    _check_state(kept, model=model, place=place)
    written = {name: getattr(full, name) for name in VISION_SETTINGS}
    names = {"architectures": ["CLIPVisionModelWithProjection"], "model_type": "clip_vision_model"}
    return names | written, kept


def _read_pose_embedding(
    config: Config, state: dict[str, Tensor], place: Path
) -> tuple[Config, dict[str, Tensor]]:
    """ControlNet's condition embedding, whether alone or within the ControlNet."""
    if config.get("_class_name") == "ControlNetModel":
        full = _defaults(ControlNetModel) | config
        channels, num_inputs = full["conditioning_embedding_out_channels"], full["conditioning_channels"]
    else:
        channels, num_inputs = config.get("block_out_channels"), 3
    is_list = isinstance(channels, list | tuple) and all(type(channel) is int for channel in channels)
    if not is_list or num_inputs != 3 or 2 ** (len(channels) - 1) != VAE_FACTOR:
        raise WeightsError(
            f"{place}: its condition embedding has {num_inputs} input channels and the widths {channels}, "
            f"but MCLD needs 3 and {VAE_FACTOR.bit_length()} widths; "
            "use ControlNet-seg for Stable Diffusion 1.5"
        )
    if any(name.startswith(CONTROLNET_PREFIX) for name in state):
        state = {
            name.removeprefix(CONTROLNET_PREFIX): value
            for name, value in state.items()
            if name.startswith(CONTROLNET_PREFIX)
        }
    with torch.device("meta"):
        wanted = PoseGuider(ModelConfig(pose_channels=tuple(channels))).state_dict()
    # The last convolution, as wide as the ControlNet's own UNet, is never used: it starts at zero.
    first = {name: value for name, value in wanted.items() if not name.startswith(POSE_OUTPUT_PREFIX)}
    given = {name: value for name, value in state.items() if not name.startswith(POSE_OUTPUT_PREFIX)}
    check_fit(given, wanted=first, place=str(place.parent), remedy=FIT_REMEDY)
    return {"_class_name": "ControlNetConditioningEmbedding", "block_out_channels": list(channels)}, state


_READERS = {
    "unet": _read_unet,
    "vae": _read_vae,
    IMAGE_ENCODER: _read_image_encoder,
    "pose_embedding": _read_pose_embedding,
}


def _check_together(components: Mapping[str, BaseComponent]) -> None:
    unet = _defaults(UNet2DConditionModel) | components["unet"].config
    vae = _defaults(AutoencoderKL) | components["vae"].config
    encoder = components[IMAGE_ENCODER].config
    for name, what, found, unet_key, expected in (
        ("vae", "latent_channels", vae["latent_channels"], "in_channels", unet["in_channels"]),
        (
            *(IMAGE_ENCODER, "projection_dim", encoder["projection_dim"]),
            *("cross_attention_dim", unet["cross_attention_dim"]),
        ),
    ):
        if found != expected:
            raise WeightsError(
                f"{components[name].place}: its {what} is {found}, but {unet_key} of "
                f"{components['unet'].place} is {expected}; use weights that were made for each other"
            )


def _check_class(config: Config, *, name: str, place: Path) -> None:
    if config.get("_class_name") != name:
        raise WeightsError(f"{place}: its _class_name is {config.get('_class_name')!r}, expected {name!r}")


def _check_state(state: Mapping[str, Tensor], *, model: nn.Module, place: Path) -> None:
    check_fit(state, wanted=model.state_dict(), place=str(place.parent), remedy=FIT_REMEDY)


def _on_meta(model_class: type[Any], config: Config, *, place: Path) -> nn.Module:
    """The model with names and shapes only."""
    try:
        with torch.device("meta"):
            model = model_class.from_config(config)
    except (TypeError, ValueError) as error:
        raise WeightsError(
            f"{place}: not the settings of a {model_class.__name__} ({_in_one_line(error)})"
        ) from error
    assert isinstance(model, nn.Module)
    return model


def _defaults(model_class: type[Any]) -> Config:
    """Every setting of a diffusers model with its default."""
    parameters = inspect.signature(model_class.__init__).parameters
    return {name: item.default for name, item in parameters.items() if name != "self"}


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())
