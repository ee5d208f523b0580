"""Where the golden tensors are and what they hold. Tests skip with a reason when they are absent."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from mcld.models import MCLD, ModelConfig, load_authors_states
from mcld.types import Conditions

REPOSITORY_DIR = Path(__file__).resolve().parents[1]
AUTHORS_FILES = ("denoising_unet", "reference_unet", "pose_guider", "image_proj_model")


def golden_dir(name: str) -> Path:
    """The folder of golden tensors called `name`; skips the test when it is not there."""
    root = Path(os.environ.get("MCLD_GOLDEN_DIR") or REPOSITORY_DIR.parent / "shared" / "golden")
    if not (root / name).is_dir():
        pytest.skip(
            f"no golden tensors at {root / name}; set MCLD_GOLDEN_DIR to the folder that holds '{name}'"
        )
    return root / name


def read_golden_json(path: Path) -> Any:
    """A JSON file of the golden folder."""
    return json.loads(path.read_text())


def golden_config(*, reference_precision: str = "compute") -> ModelConfig:
    """The model settings that the golden tensors were made with."""
    values = read_golden_json(golden_dir("model") / "config.json")
    return ModelConfig.from_dict(
        {
            "block_out_channels": values["block_out_channels"],
            "layers_per_block": values["layers_per_block"],
            "attention_head_dim": values["attention_head_dim"],
            "norm_num_groups": values["norm_num_groups"],
            "cross_attention_dim": values["cross_attention_dim"],
            "pose_channels": values["pose_block_out_channels"],
            "face": {"num_tokens": values["num_tokens"], **values["resampler"]},
            "iuv_channel_order": "vui",
            "reference_precision": reference_precision,
        }
    )


def golden_model(*, reference_precision: str = "compute") -> MCLD:
    """Our model with the authors' tiny weights."""
    model = MCLD(golden_config(reference_precision=reference_precision))
    states = {
        name: {
            key: value.float()
            for key, value in load_file(golden_dir("model") / f"{name}.safetensors").items()
        }
        for name in AUTHORS_FILES
    }
    load_authors_states(model, states=states)
    return model


def golden_tensors(name: str) -> dict[str, Tensor]:
    """A golden file, with the authors' frame axis removed."""
    tensors = load_file(golden_dir("model") / name)
    return {key: value.squeeze(2) if value.ndim == 5 else value for key, value in tensors.items()}


def golden_conditions(tensors: dict[str, Tensor]) -> Conditions:
    """The conditions stored under `in.*`. Their pose image has channels V, U, I; ours are I, U, V."""
    face_embedding = tensors["in.face_pretrained_embeds"][:, 0]
    return Conditions(
        target_iuv=(tensors["in.pose_img"] * 255).round().to(torch.uint8).flip(1),
        texture_latent=tensors["in.ref_image_latents"],
        image_embedding=tensors["in.clip_image_embeds"][:, 0],
        texture_embedding=tensors["in.clip_image_embeds2"][:, 0],
        face_embedding=face_embedding,
        face_found=torch.ones(face_embedding.shape[0], dtype=torch.bool),
    )


def relative_error(value: Tensor, *, expected: Tensor) -> float:
    """Relative Frobenius error."""
    value = value.detach()
    return float((value.double() - expected.double()).norm() / expected.double().norm())
