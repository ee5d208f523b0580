"""Carry weights between our folders and the authors' four files, so that either program runs either model.

The authors' code feeds PoseGuider the IUV map's channels as V, U, I. A model of ours that reads I, U, V is
the same function once the input channels of its first convolution are reversed: that is done here, exactly.

Public: `import_authors(directory, *, out_dir)`, `export_authors(model_dir, *, out_dir)`,
`differences(config)`.
"""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mcld.errors import WeightsError
from mcld.models.config import ChannelOrder, ModelConfig
from mcld.models.weights import (
    authors_name,
    authors_states,
    components,
    empty_model,
    is_mcld_folder,
    load_mcld,
    load_strictly,
    save_mcld,
)
from mcld.storage import atomic_path, read_json, sha256_of_file, write_json
from mcld.tensors.files import PICKLED, SAFETENSORS, read_tensors

AUTHORS_CONFIG = ModelConfig(iuv_channel_order="vui", iuv_resize="bicubic", reference_precision="float16")
RECORD_NAME = "authors_files.json"
POSE_FILE, POSE_INPUT = "pose_guider", "conv_in.weight"
FILES = ("denoising_unet", "reference_unet", POSE_FILE, "image_proj_model")
# The authors' README calls the last one otherwise than their code.
NAMES = {name: name for name in FILES} | {"image_projector": "image_proj_model"}
FILE_NAME = re.compile(r"(?P<name>[a-z_]+?)(?:[-_](?P<step>\d+))?(?P<suffix>\.[a-z]+)")
SIZES = (
    *("block_out_channels", "layers_per_block", "attention_head_dim", "cross_attention_dim"),
    *("norm_num_groups", "latent_channels", "pose_channels", "face"),
)
logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AuthorsFile:
    """One of the four; `step` is the number behind its name, if any."""

    name: str
    step: int | None
    path: Path


def import_authors(
    directory: Path,
    *,
    out_dir: Path,
    config: ModelConfig = AUTHORS_CONFIG,
    step: int | None = None,
    channel_order: ChannelOrder = "vui",
) -> dict[str, Any]:
    """Write the authors' files as a model of ours, numbers as stored, and a record of where they came from.

    `config` gives the sizes; the order of the IUV channels is `channel_order` whatever it says. Returns the
    record: source names, sizes and sha256. Raises WeightsError, before anything is written, for a file, name
    or shape that is missing or wrong.
    """
    _check_out_dir(out_dir)
    _check_switches(config, place="the model settings")
    chosen = choose_files(directory, step=step)
    model = empty_model(dataclasses.replace(config, iuv_channel_order=channel_order))
    for name, module in components(model).items():
        path = chosen[authors_name(name)].path
        state = _in_order(read_tensors([path]), file_name=authors_name(name), order=channel_order)
        load_strictly(module, state=state, place=str(path), assign=True)
    record = {name: _origin(file) for name, file in chosen.items()}
    _say_what_changed(out_dir / RECORD_NAME, record=record)
    save_mcld(model, directory=out_dir)
    write_json(out_dir / RECORD_NAME, value=record)
    return record


def export_authors(model_dir: Path, *, out_dir: Path) -> tuple[str, ...]:
    """Write a model of ours as the authors' four files. Returns what their code will do otherwise.

    Raises WeightsError for a model that four such files cannot hold.
    """
    model = load_mcld(model_dir)
    _check_switches(model.config, place=str(model_dir))
    for name, state in authors_states(model).items():
        ordered = _in_order(state, file_name=name, order=model.config.iuv_channel_order)
        plain = {key: value.detach().contiguous() for key, value in ordered.items()}
        # An open file, not a path: torch.save would put the temporary name into the bytes.
        with atomic_path(out_dir / f"{name}.pth") as temporary, temporary.open("wb") as file:
            torch.save(plain, file)
    return differences(model.config)


def differences(config: ModelConfig) -> tuple[str, ...]:
    """Why the authors' code would not predict what our model predicts, a sentence each; empty if it would."""
    full = ModelConfig()
    sentences = []
    if not config.use_texture:
        sentences.append(
            "the authors' code shows the texture embedding to the middle and up blocks; this model was made "
            "without it (use_texture false)"
        )
    if config.face_scale != full.face_scale:
        sentences.append(
            f"the authors' code adds face attention times {full.face_scale}; this model's face_scale is "
            f"{config.face_scale}"
        )
    if config.reference_precision != AUTHORS_CONFIG.reference_precision:
        sentences.append(
            "the authors' code rounds reference features to float16, this model does not: predictions differ "
            "in the third digit"
        )
    if _sizes(config) != _sizes(full):
        sentences.append(
            "the authors' code builds a model of Stable Diffusion 1.5's size; this model's sizes are others, "
            "and its configuration files must say so"
        )
    return tuple(sentences)


def choose_files(directory: Path, *, step: int | None) -> dict[str, AuthorsFile]:
    """The four files of one step, by the authors' name. Raises WeightsError if they are no clear set."""
    if not directory.is_dir():
        raise WeightsError(f"{directory}: not a folder; give the folder of the authors' released weights")
    found = _files_in(directory)
    steps = {file.step for file in found}
    if step is None and len(steps) > 1:
        listed = ", ".join("none" if number is None else str(number) for number in sorted(steps, key=_number))
        raise WeightsError(
            f"{directory}: holds files of several steps ({listed}); "
            "choose one with --step, or move the others away"
        )
    chosen: dict[str, AuthorsFile] = {}
    for file in found:
        if step is not None and file.step != step:
            continue
        if file.name in chosen:
            raise WeightsError(
                f"{directory}: {chosen[file.name].path.name} and {file.path.name} are the same part; "
                "move one of them away"
            )
        chosen[file.name] = file
    for name in FILES:
        if name not in chosen:
            raise WeightsError(_missing(name, directory=directory, step=step))
    return {name: chosen[name] for name in FILES}


def _files_in(directory: Path) -> list[AuthorsFile]:
    files = []
    for path in sorted(directory.iterdir()):
        match = FILE_NAME.fullmatch(path.name)
        if match and match["name"] in NAMES and match["suffix"] in (SAFETENSORS, *PICKLED) and path.is_file():
            number = match["step"]
            files.append(
                AuthorsFile(name=NAMES[match["name"]], step=int(number) if number else None, path=path)
            )
    return files


def _number(step: int | None) -> int:
    return -1 if step is None else step


def _missing(name: str, *, directory: Path, step: int | None) -> str:
    suffix = "" if step is None else f"-{step}"
    alias = " (or image_projector)" if name == "image_proj_model" else ""
    return (
        f"{directory / f'{name}{suffix}.pth'}{alias}: missing; the four files are "
        f"{', '.join(FILES)}, each {SAFETENSORS} or {', '.join(PICKLED)}; "
        "they come with the authors' released weights: copy all four here"
    )


def _in_order(state: Mapping[str, Tensor], *, file_name: str, order: ChannelOrder) -> dict[str, Tensor]:
    """The state with PoseGuider's input channels turned round if our model reads I, U, V; its own inverse."""
    result = dict(state)
    is_turned = file_name == POSE_FILE and order == "iuv"
    if is_turned and POSE_INPUT in result and result[POSE_INPUT].ndim == 4:
        result[POSE_INPUT] = result[POSE_INPUT].flip(1)
    return result


def _check_switches(config: ModelConfig, *, place: str) -> None:
    """Raises WeightsError when a part that the four files hold does not exist in the model."""
    absent = {
        "use_face false: no face projector": not config.use_face,
        "use_reference false: no ReferenceNet": not config.use_reference,
        "aggregation concat: no face attention of its own": config.use_face and not config.has_face_attention,
    }
    reasons = [reason for reason, is_absent in absent.items() if is_absent]
    if reasons:
        raise WeightsError(
            f"{place}: {'; '.join(reasons)}; the authors' four files cannot say that: use a full model"
        )


def _check_out_dir(out_dir: Path) -> None:
    """A model's folder is replaced whole: never one that holds something else."""
    is_free = not out_dir.exists() or (
        out_dir.is_dir() and (is_mcld_folder(out_dir) or not any(out_dir.iterdir()))
    )
    if not is_free:
        raise WeightsError(
            f"{out_dir}: exists and is no MCLD model; name a new folder, or one that an earlier import wrote"
        )


def _origin(file: AuthorsFile) -> dict[str, Any]:
    return {
        "name": file.path.name,
        "num_bytes": file.path.stat().st_size,
        "sha256": sha256_of_file(file.path),
    }


def _say_what_changed(path: Path, *, record: Mapping[str, Mapping[str, Any]]) -> None:
    """The first import records hashes; a later one with other bytes is worth a word."""
    before = read_json(path) if path.is_file() else None
    if not isinstance(before, dict):
        return
    for name, origin in record.items():
        old = before.get(name, {}).get("sha256")
        if old not in (None, origin["sha256"]):
            logger.warning(
                "%s: sha256 is %s; the import before had %s", origin["name"], origin["sha256"], old
            )


def _sizes(config: ModelConfig) -> dict[str, Any]:
    return {"attention_levels": config.has_attention} | {name: getattr(config, name) for name in SIZES}
