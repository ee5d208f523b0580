"""Refuse parts that do not fit together and calls that make no sense, before any work is done."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers import AutoencoderKL
from transformers import CLIPVisionModelWithProjection

from mcld.diffusion import Generators, seeded_generators
from mcld.errors import ConfigError, WeightsError
from mcld.models import ModelConfig

OUTPUT_TYPES = ("pil", "np", "pt", "latent")
NUM_SEEDS = 2**64


def check_components(
    config: ModelConfig, *, vae: AutoencoderKL, image_encoder: CLIPVisionModelWithProjection | None
) -> None:
    """Raises WeightsError when the VAE or the image encoder was made for another model."""
    if vae.config.latent_channels != config.latent_channels:
        raise WeightsError(
            f"vae: {vae.config.latent_channels} latent channels, but the model has {config.latent_channels}; "
            "use the VAE it was trained with"
        )
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    if factor != config.pose_factor:
        raise WeightsError(
            f"vae: {factor} pixels a latent cell, but the model's PoseGuider has {config.pose_factor}; "
            "use the VAE it was trained with"
        )
    if image_encoder is None:
        return
    width = image_encoder.config.projection_dim
    if width != config.cross_attention_dim:
        raise WeightsError(
            f"image_encoder: embeddings of width {width}, but the model was built for "
            f"{config.cross_attention_dim}; use the encoder it was trained with"
        )


def check_output_type(output_type: str) -> None:
    """Raises ConfigError unless it is one of OUTPUT_TYPES."""
    if output_type not in OUTPUT_TYPES:
        raise ConfigError(f"output_type: '{output_type}' is unknown; choose one of {', '.join(OUTPUT_TYPES)}")


def check_step_indices(indices: Sequence[int], *, num_steps: int) -> None:
    """Raises ConfigError for an index that is not one of a step."""
    for index in indices:
        if not 0 <= index < num_steps:
            raise ConfigError(
                f"attention_maps_at: {index} is outside 0..{num_steps - 1}, the steps asked for"
            )


def generators_of(
    generator: Generators | None, *, seeds: Sequence[int] | None, num_rows: int, device: torch.device
) -> Generators:
    """What draws the noise: the generator or generators given, or one a row from its seed.

    With neither, seeds come from PyTorch's global generator, so that `torch.manual_seed` makes a call
    repeatable, as it does for other pipelines. Raises ConfigError for both, or for a number of them that is
    not the batch's.
    """
    if generator is not None and seeds is not None:
        raise ConfigError("generator and seeds: both are given; give one of them")
    if generator is not None:
        _check_generators(generator, num_rows=num_rows, device=device)
        return generator
    if seeds is None:
        seeds = torch.randint(2**63 - 1, (num_rows,)).tolist()
    if isinstance(seeds, int) or len(seeds) != num_rows:
        found = seeds if isinstance(seeds, int) else f"{len(seeds)} of them"
        raise ConfigError(f"seeds: {found}, but the batch has {num_rows} rows; give a list with one a row")
    for seed in seeds:
        if not 0 <= seed < NUM_SEEDS:
            raise ConfigError(f"seeds: {seed} is outside 0..{NUM_SEEDS - 1}")
    return seeded_generators(seeds)


def _check_generators(generator: Generators, *, num_rows: int, device: torch.device) -> None:
    if isinstance(generator, list) and len(generator) != num_rows:
        raise ConfigError(
            f"generator: a list of {len(generator)}, but the batch has {num_rows} rows; give one a row"
        )
    for item in generator if isinstance(generator, list) else [generator]:
        if item.device.type not in ("cpu", device.type):
            raise ConfigError(
                f"generator: on {item.device}, but the pipeline is on {device}; make it on the CPU or there"
            )
