"""Load the frozen encoders (VAE, CLIP image encoder) from a folder in diffusers layout."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL
from transformers import CLIPVisionModelWithProjection

from mcld.errors import WeightsError


def load_vae(directory: Path, *, dtype: torch.dtype = torch.float32) -> AutoencoderKL:
    """The VAE, frozen. Raises WeightsError naming the folder."""
    _check_folder(directory, class_name="AutoencoderKL")
    try:
        vae = AutoencoderKL.from_pretrained(directory, torch_dtype=dtype, local_files_only=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise _unreadable(directory, error=error) from error
    assert isinstance(vae, AutoencoderKL)
    vae.requires_grad_(False)
    return vae.eval()


def load_image_encoder(
    directory: Path, *, dtype: torch.dtype = torch.float32
) -> CLIPVisionModelWithProjection:
    """The CLIP image encoder, frozen. Raises WeightsError naming the folder."""
    _check_folder(directory, class_name="CLIPVisionModelWithProjection")
    try:
        encoder = CLIPVisionModelWithProjection.from_pretrained(directory, dtype=dtype, local_files_only=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise _unreadable(directory, error=error) from error
    assert isinstance(encoder, CLIPVisionModelWithProjection)
    encoder.requires_grad_(False)
    encoder.eval()
    return encoder


def input_size_px(encoder: CLIPVisionModelWithProjection) -> int:
    """The side of the square that the image encoder takes."""
    size_px = encoder.config.image_size
    assert isinstance(size_px, int), "CLIP takes squares"
    return size_px


def _check_folder(directory: Path, *, class_name: str) -> None:
    if not (directory / "config.json").is_file():
        raise WeightsError(
            f"{directory}: no config.json; expected a {class_name} in diffusers layout: "
            "run the stage 'weights'"
        )


def _unreadable(directory: Path, *, error: Exception) -> WeightsError:
    reason = str(error).splitlines()[0]
    return WeightsError(f"{directory}: cannot be loaded ({reason}); run the stage 'weights' again")
