"""What a folder of recorded tensors is made from: settings, a random model and random inputs.

Shapes: B rows, C latent channels, h w latent size, H W pose image.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from benchmarks.naive_mcld import NaiveMCLD
from mcld.models.config import FaceProjectorConfig, ModelConfig, ReferencePrecision
from mcld.types import Conditions

LATENT_CHANNELS = 4
SCHEDULER = {
    "beta_start": 0.0009,
    "beta_end": 0.013,
    "clip_sample": False,
    "steps_offset": 1,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
}
ADAMW = {
    "lr": 0.0005,
    "betas": [0.8, 0.99],
    "weight_decay": 0.02,
    "eps": 1e-8,
    "max_grad_norm": 0.5,
    "num_losses": 3,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """Settings of a folder: `config` becomes config.json, the rest the settings beside the tensors."""

    config: Mapping[str, Any]
    embedding_dim: int = 512
    inference: Mapping[str, Any] = field(default_factory=lambda: {**SCHEDULER, "beta_schedule": "linear"})
    training: Mapping[str, Any] = field(
        default_factory=lambda: {**SCHEDULER, "beta_schedule": "scaled_linear"}
    )
    noise_offset: float = 0.1
    snr_gamma: float = 4.0
    adamw: Mapping[str, Any] = field(default_factory=lambda: ADAMW)
    loss_only_hw: tuple[int, int] | None = None  # latent size of loss_only_64.npz; None: there is none

    @property
    def pose_factor(self) -> int:
        """Pose pixels per latent cell, along one side."""
        return int(2 ** (len(self.config["pose_block_out_channels"]) - 1))


def model_config(recording: Recording) -> ModelConfig:
    """The model's settings in the library's own terms."""
    config = recording.config
    return ModelConfig(
        block_out_channels=tuple(config["block_out_channels"]),
        layers_per_block=config["layers_per_block"],
        attention_head_dim=config["attention_head_dim"],
        norm_num_groups=config["norm_num_groups"],
        cross_attention_dim=config["cross_attention_dim"],
        latent_channels=LATENT_CHANNELS,
        pose_channels=tuple(config["pose_block_out_channels"]),
        face=FaceProjectorConfig(
            num_tokens=config["num_tokens"], embedding_dim=recording.embedding_dim, **config["resampler"]
        ),
        iuv_channel_order="vui",
    )


def random_model(recording: Recording) -> NaiveMCLD:
    """Every weight random, of a size that makes each condition matter, and exact in float16."""
    generator = torch.Generator().manual_seed(recording.config["weights_seed"])
    with torch.random.fork_rng(devices=[]):
        model = NaiveMCLD(model_config(recording))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            drawn = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() > 1:
                parameter.copy_(drawn * parameter[0].numel() ** -0.5)
            else:
                is_scale = "norm" in name and name.endswith("weight")
                parameter.copy_(0.1 * drawn + float(is_scale))
            parameter.copy_(parameter.half().float())
    return model


def copy_model(model: NaiveMCLD, *, reference_precision: ReferencePrecision) -> NaiveMCLD:
    """The same weights, with another precision of the reference features."""
    config = ModelConfig.from_dict({**model.config.to_dict(), "reference_precision": reference_precision})
    with torch.random.fork_rng(devices=[]):
        twin = NaiveMCLD(config)
    twin.load_state_dict(model.state_dict())
    return twin


def random_inputs(recording: Recording, *, rows: int, seed: int) -> dict[str, Tensor]:
    """The conditions `in.*` as the authors' code takes them. The pose image has channels V, U, I."""
    generator = torch.Generator().manual_seed(seed)
    width = recording.config["cross_attention_dim"]
    pose_hw = [side * recording.pose_factor for side in recording.config["latent_hw"]]
    pose = torch.randint(0, 30, (rows, 3, 1, *pose_hw), generator=generator)
    return {
        "in.ref_image_latents": random_latent(recording, rows=rows, seed=seed + 100)[:, :, 0],
        "in.clip_image_embeds": torch.randn(rows, 1, width, generator=generator),
        "in.clip_image_embeds2": torch.randn(rows, 1, width, generator=generator),
        "in.face_pretrained_embeds": torch.randn(rows, 1, recording.embedding_dim, generator=generator),
        "in.pose_img": pose.float() / 255,
    }


def random_latent(recording: Recording, *, rows: int, seed: int) -> Tensor:
    """Standard normal, (B, C, 1, h, w)."""
    shape = (rows, LATENT_CHANNELS, 1, *recording.config["latent_hw"])
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def conditions_of(inputs: Mapping[str, Tensor]) -> Conditions:
    """The conditions `in.*` in the library's own terms."""
    face = inputs["in.face_pretrained_embeds"][:, 0]
    return Conditions(
        target_iuv=(inputs["in.pose_img"][:, :, 0] * 255).round().byte().flip(1),
        texture_latent=inputs["in.ref_image_latents"],
        image_embedding=inputs["in.clip_image_embeds"][:, 0],
        texture_embedding=inputs["in.clip_image_embeds2"][:, 0],
        face_embedding=face,
        face_found=torch.ones(len(face), dtype=torch.bool),
    )


def write_file(
    directory: Path, name: str, *, tensors: Mapping[str, Tensor], settings: Mapping[str, Any]
) -> None:
    """Tensors, and beside them the settings and a list of the tensors."""
    state = {key: value.detach().clone().contiguous() for key, value in tensors.items()}
    save_file(state, directory / f"{name}.safetensors")
    inventory = {key: {"shape": list(value.shape)} for key, value in state.items()}
    write_json(directory / f"{name}.json", {**settings, "tensors": inventory})


def write_json(path: Path, value: object) -> None:
    """Readable JSON."""
    path.write_text(json.dumps(value, indent=1))
