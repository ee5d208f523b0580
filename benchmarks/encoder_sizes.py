"""The frozen encoders that benchmarks time: those that ship with the package, and full-size ones, random."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

import torch
from diffusers import AutoencoderKL
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from benchmarks.model_sizes import FULL, random_model
from mcld.config import ModelParams
from mcld.data.manifest import write_manifest
from mcld.models import MCLD, initialise_mcld
from mcld.models.base import load_base, model_config
from mcld.stages.weights import tiny_base_dir
from mcld.types import Manifest

EncoderSize = Literal["tiny", "full"]
FACE_DIM = 512


def write_encoders(directory: Path, *, size: EncoderSize) -> None:
    """A folder as the stage `weights` leaves it, with `vae` and `image_encoder` alone."""
    if size == "tiny":
        with tiny_base_dir() as tiny:
            for name in ("vae", "image_encoder"):
                shutil.copytree(tiny / name, directory / name)
    else:
        stable_diffusion_vae().save_pretrained(directory / "vae")
        clip_large().save_pretrained(directory / "image_encoder")
    write_manifest(directory, manifest=Manifest(stage="weights", format_version=0, settings={}, parts=()))


def model_for(size: EncoderSize, *, device: torch.device) -> MCLD:
    """The model that trains on what these encoders say."""
    if size == "full":
        return random_model(FULL, device=device)
    with tiny_base_dir() as tiny:
        base = load_base(tiny)
    config = model_config(base, params=ModelParams(), face_dim=FACE_DIM)
    return initialise_mcld(config, base_unet=base.unet, pose_embedding=base.pose_embedding, seed=0).to(device)


def stable_diffusion_vae() -> AutoencoderKL:
    """Stable Diffusion 1.5's VAE, 84 million parameters, random."""
    torch.manual_seed(0)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        latent_channels=4,
        norm_num_groups=32,
        sample_size=512,
    )


def clip_large() -> CLIPVisionModelWithProjection:
    """CLIP ViT-L/14's image encoder, 304 million parameters, random."""
    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        image_size=224,
        patch_size=14,
        projection_dim=768,
    )
    return CLIPVisionModelWithProjection(config)
