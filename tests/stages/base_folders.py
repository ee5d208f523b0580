"""Tiny folders laid out as the big ones are published: real classes, written by their own save_pretrained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from safetensors.torch import load_file
from torch import nn
from transformers import CLIPConfig, CLIPModel, CLIPVisionConfig, CLIPVisionModelWithProjection

from tests.tiny_models import tiny_vae

EMBEDDING_DIM = 8
UNET_SETTINGS: dict[str, Any] = {
    "block_out_channels": (8, 16, 16),
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "layers_per_block": 1,
    "attention_head_dim": 2,
    "cross_attention_dim": EMBEDDING_DIM,
    "norm_num_groups": 4,
    "sample_size": 8,
}
POSE_CHANNELS = (4, 4, 8, 8)
VISION: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
}
TEXT: dict[str, Any] = {**VISION, "vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2}


def tiny_unet(**changes: Any) -> UNet2DConditionModel:
    """Untrained, from seed 0, in the pattern of Stable Diffusion 1.5."""
    torch.manual_seed(0)
    return UNet2DConditionModel(**UNET_SETTINGS | changes)


def tiny_encoder() -> CLIPVisionModelWithProjection:
    """Untrained, from seed 1."""
    torch.manual_seed(1)
    return CLIPVisionModelWithProjection(CLIPVisionConfig(**VISION, projection_dim=EMBEDDING_DIM))


def tiny_clip() -> CLIPModel:
    """A whole CLIP, untrained, from seed 1; its config says the projection's width at the top alone."""
    torch.manual_seed(1)
    text = {key: value for key, value in TEXT.items() if key not in ("image_size", "patch_size")}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=VISION, projection_dim=EMBEDDING_DIM))


def tiny_controlnet() -> ControlNetModel:
    """Untrained, from seed 2."""
    torch.manual_seed(2)
    settings = {
        key: value for key, value in UNET_SETTINGS.items() if key not in ("up_block_types", "sample_size")
    }
    return ControlNetModel(**settings, conditioning_embedding_out_channels=POSE_CHANNELS)


def write_stable_diffusion(directory: Path) -> Path:
    """A repository like Stable Diffusion 1.5's: unet/ and vae/ among others."""
    tiny_unet().save_pretrained(directory / "unet")
    tiny_vae().save_pretrained(directory / "vae")
    (directory / "model_index.json").write_text("{}")
    return directory


def as_pickle(folder: Path, *, name: str) -> None:
    """Put what `torch.save` writes in the place of the folder's safetensors file."""
    (safetensors,) = folder.glob("*.safetensors")
    torch.save(load_file(safetensors), folder / name)
    safetensors.unlink()


def old_attention_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A VAE's state dict as of 2022."""
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def old(name: str) -> str:
        for new_part, old_part in names.items():
            name = name.replace(f".attentions.0.{new_part}.", f".attentions.0.{old_part}.")
        return name

    return {old(name): value for name, value in state.items()}


def states_equal(first: nn.Module, second: nn.Module) -> bool:
    """Bit for bit."""
    theirs = second.state_dict()
    return first.state_dict().keys() == theirs.keys() and all(
        torch.equal(value, theirs[name]) for name, value in first.state_dict().items()
    )
