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
from torch import Tensor, nn

from mcld.errors import ConfigError, DataError, WeightsError
from mcld.models.config import ModelConfig, unet_settings
from mcld.models.mcld import MCLD
from mcld.storage import atomic_dir, read_json, write_json
from mcld.tensors.files import check_fit, read_safetensors, write_tensors

CLASS_NAME = "MCLD"
FORMAT_VERSION = 1
INDEX_NAME = "model_index.json"
WEIGHTS_NAME = "diffusion_pytorch_model.safetensors"
FIT_REMEDY = "use weights made for the same model settings"


def components(model: MCLD) -> dict[str, nn.Module]:
    """The parts that have a folder (and an authors' file) of their own."""
    parts: dict[str, nn.Module] = {"denoising_unet": model.denoiser.unet}
    if model.reference_net is not None:
        parts["reference_unet"] = model.reference_net.unet
    parts["pose_guider"] = model.pose_guider
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
            write_tensors(folder / WEIGHTS_NAME, state=module.state_dict())
        index = {"_class_name": CLASS_NAME, "format_version": FORMAT_VERSION, "model": model.config.to_dict()}
        write_json(temporary / INDEX_NAME, value=index)


def load_mcld(directory: Path, *, dtype: torch.dtype | None = None) -> MCLD:
    """Read what `save_mcld` wrote, on the CPU, in the stored dtype or in `dtype`."""
    model = empty_model(load_config(directory))
    for name, module in components(model).items():
        path = directory / name / WEIGHTS_NAME
        load_strictly(module, state=read_safetensors(path), place=str(path), assign=True)
    return model if dtype is None else model.to(dtype)


def load_config(directory: Path) -> ModelConfig:
    """The settings of a saved model, without its weights."""
    return read_config(directory / INDEX_NAME)


def is_mcld_folder(directory: Path) -> bool:
    """Whether `save_mcld` wrote this folder, so that writing another model there loses nothing else."""
    try:
        load_config(directory)
    except WeightsError:
        return False
    return True


def read_config(path: Path) -> ModelConfig:
    """The settings in a file like `model_index.json`."""
    try:
        index = read_json(path)
    except DataError as error:
        raise WeightsError(
            f"{path.parent}: no MCLD model here ({error}); "
            "give a folder that training or 'mcld weights' wrote"
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
    return {authors_name(name): dict(module.state_dict()) for name, module in components(model).items()}


def load_authors_states(model: MCLD, *, states: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Copy the authors' state dicts in; every key and shape must match."""
    for name, module in components(model).items():
        file_name = authors_name(name)
        if file_name not in states:
            raise WeightsError(
                f"{file_name}: missing; expected {', '.join(map(authors_name, components(model)))}"
            )
        load_strictly(module, state=states[file_name], place=file_name, assign=False)


def empty_model(config: ModelConfig) -> MCLD:
    """A model without numbers: names and shapes only, on the meta device."""
    with torch.device("meta"):
        return MCLD(config)


def authors_name(component: str) -> str:
    """The authors' file name, without suffix, of one of our components."""
    return "image_proj_model" if component == "face_projector" else component


def load_strictly(module: nn.Module, *, state: Mapping[str, Tensor], place: str, assign: bool) -> None:
    """Load if keys and shapes fit, otherwise say which differ. `assign` keeps the stored dtype."""
    check_fit(state, wanted=module.state_dict(), place=place, remedy=FIT_REMEDY)
    trainable = {name: parameter.requires_grad for name, parameter in module.named_parameters()}
    module.load_state_dict(dict(state), assign=assign)
    for name, parameter in module.named_parameters():
        # Assigned parameters would take over the requires_grad of the tensors they come from.
        parameter.requires_grad_(trainable[name])


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
