"""Read and write MCLD weights: diffusers layout on disk, and the authors' four flat state dicts in memory.

    DIR/model_index.json                     the class, the format and the model settings
    DIR/denoising_unet/{config.json, diffusion_pytorch_model.safetensors}
    DIR/reference_unet/…  DIR/pose_guider/…  DIR/face_projector/…  (the last one only with the face condition)

Public: `save_mcld(model, *, directory)`, `load_mcld(directory)`, `authors_states(model)`,
`load_authors_states(model, *, states)`. Keys inside each file are the authors' own, so both ways are
renamings of files, never of tensors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mcld.errors import ConfigError, DataError, WeightsError
from mcld.models.config import ModelConfig, unet_settings
from mcld.models.mcld import MCLD
from mcld.storage import atomic_dir, read_json, write_json

CLASS_NAME = "MCLD"
FORMAT_VERSION = 1
INDEX_NAME = "model_index.json"
WEIGHTS_NAME = "diffusion_pytorch_model.safetensors"
NUM_NAMES_SHOWN = 3


def components(model: MCLD) -> dict[str, nn.Module]:
    """The parts that have a folder (and an authors' file) of their own."""
    parts: dict[str, nn.Module] = {
        "denoising_unet": model.denoiser.unet,
        "reference_unet": model.reference_net.unet,
        "pose_guider": model.pose_guider,
    }
    if model.face_projector is not None:
        parts["face_projector"] = model.face_projector
    return parts


def save_mcld(model: MCLD, *, directory: Path) -> None:
    """Write the model; an existing directory is replaced whole, or not at all."""
    with atomic_dir(directory) as temporary:
        for name, module in components(model).items():
            folder = temporary / name
            folder.mkdir()
            write_json(folder / "config.json", value=_component_config(name, config=model.config))
            state = {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
            save_file(state, folder / WEIGHTS_NAME, metadata={"format": "pt"})
        index = {"_class_name": CLASS_NAME, "format_version": FORMAT_VERSION, "model": model.config.to_dict()}
        write_json(temporary / INDEX_NAME, value=index)


def load_mcld(directory: Path, *, dtype: torch.dtype | None = None) -> MCLD:
    """Read what `save_mcld` wrote, on the CPU, in the stored dtype or in `dtype`."""
    model = _empty_model(load_config(directory))
    for name, module in components(model).items():
        path = directory / name / WEIGHTS_NAME
        load_strictly(module, state=read_safetensors(path), place=str(path), assign=True)
    return model if dtype is None else model.to(dtype)


def load_config(directory: Path) -> ModelConfig:
    """The settings of a saved model, without its weights."""
    path = directory / INDEX_NAME
    try:
        index = read_json(path)
    except DataError as error:
        raise WeightsError(
            f"{directory}: no MCLD model here ({error}); give a folder that training or 'mcld weights' wrote"
        ) from error
    if not isinstance(index, dict) or index.get("_class_name") != CLASS_NAME:
        raise WeightsError(f"{path}: '_class_name' is not '{CLASS_NAME}'; give the folder of an MCLD model")
    if index.get("format_version") != FORMAT_VERSION:
        raise WeightsError(
            f"{path}: format_version {index.get('format_version')}, but this program reads {FORMAT_VERSION}; "
            "save the model again"
        )
    try:
        return ModelConfig.from_dict(index["model"])
    except (ConfigError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"{path}: the model settings are damaged ({error}); save the model again"
        ) from error


def authors_states(model: MCLD) -> dict[str, dict[str, Tensor]]:
    """State dicts under the authors' file names (without suffix) and with their key names."""
    return {_authors_name(name): dict(module.state_dict()) for name, module in components(model).items()}


def load_authors_states(model: MCLD, *, states: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Copy the authors' state dicts in; every key and shape must match."""
    for name, module in components(model).items():
        file_name = _authors_name(name)
        if file_name not in states:
            raise WeightsError(
                f"{file_name}: missing; expected {', '.join(map(_authors_name, components(model)))}"
            )
        load_strictly(module, state=states[file_name], place=file_name, assign=False)


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file, on the CPU; a missing or damaged file is a WeightsError."""
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: not found; the folder is incomplete, copy or save it again") from error
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path}: not a readable safetensors file ({error}); copy or save it again"
        ) from error


def load_strictly(module: nn.Module, *, state: Mapping[str, Tensor], place: str, assign: bool) -> None:
    """Load if keys and shapes fit, otherwise say which differ. `assign` keeps the stored dtype."""
    wanted = module.state_dict()
    problems = [f"'{key}' is missing" for key in wanted if key not in state]
    problems += [f"'{key}' is unexpected" for key in state if key not in wanted]
    problems += [
        f"'{key}' has shape {tuple(state[key].shape)}, expected {tuple(value.shape)}"
        for key, value in wanted.items()
        if key in state and state[key].shape != value.shape
    ]
    if problems:
        more = f" and {len(problems) - NUM_NAMES_SHOWN} more" if len(problems) > NUM_NAMES_SHOWN else ""
        raise WeightsError(
            f"{place}: does not fit this model: {'; '.join(problems[:NUM_NAMES_SHOWN])}{more}; "
            "use weights made for the same model settings"
        )
    trainable = {name: parameter.requires_grad for name, parameter in module.named_parameters()}
    module.load_state_dict(dict(state), assign=assign)
    for name, parameter in module.named_parameters():
        # Assigned parameters would take over the requires_grad of the tensors they come from.
        parameter.requires_grad_(trainable[name])


def _empty_model(config: ModelConfig) -> MCLD:
    with torch.device("meta"):
        return MCLD(config)


def _authors_name(component: str) -> str:
    return "image_proj_model" if component == "face_projector" else component


def _component_config(name: str, *, config: ModelConfig) -> dict[str, Any]:
    if name.endswith("_unet"):
        settings = json.loads(json.dumps(unet_settings(config)))
        return {"_class_name": "UNet2DConditionModel", **settings}
    if name == "pose_guider":
        return {"_class_name": "PoseGuider", "pose_channels": list(config.pose_channels)}
    return {
        "_class_name": "FaceProjector",
        **config.to_dict()["face"],
        "output_dim": config.cross_attention_dim,
    }
