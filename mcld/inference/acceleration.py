"""Faster pictures, or less memory for them, applied to a pipeline once after loading.

    accelerate(pipeline, acceleration=Acceleration(channels_last=True))

All but `vae_tiling` give the same pictures but for rounding; what each brings is measured in docs/speed.md.
What trades quality for time belongs to a picture's own settings: `RenderSettings`.
"""

from __future__ import annotations

from dataclasses import dataclass

from diffusers import AutoencoderKL

from mcld.errors import ConfigError
from mcld.inference.pipeline import MCLDPipeline
from mcld.models.acceleration import use_channels_last


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceleration:
    """What is done to a pipeline's models. Nothing, unless asked for."""

    channels_last: bool = False  # convolution kernels in the layout that processors and half precision like
    compile: bool = False  # the denoiser through torch.compile: minutes before the first picture of a shape
    vae_slicing: bool = False  # decode picture by picture: less memory for a batch
    # Decode in overlapping tiles: less memory for a picture larger than the VAE's `sample_size`, whose tiles
    # are blended and so differ a little. Smaller pictures are decoded whole.
    vae_tiling: bool = False


PLAIN = Acceleration()


def accelerate(pipeline: MCLDPipeline, *, acceleration: Acceleration) -> None:
    """Change the pipeline's models in place; they stay so in every pipeline that shares them.

    Call it when they are on their device: on a GPU, compiled kernels are launched as CUDA graphs. Raises
    ConfigError for tiles that this VAE cannot make.
    """
    if acceleration.vae_tiling:
        _check_tiles(pipeline.vae)
    if acceleration.channels_last:
        use_channels_last(pipeline.model)
        use_channels_last(pipeline.vae)
    if acceleration.compile:
        pipeline.model.denoiser.compile_denoising(cuda_graphs=pipeline.device.type == "cuda")
    if acceleration.vae_slicing:
        pipeline.vae.enable_slicing()
    if acceleration.vae_tiling:
        pipeline.vae.enable_tiling()


def _check_tiles(vae: AutoencoderKL) -> None:
    """Tiles overlap by a part of the latent's cells, rounded, and of the pixels: both must be the same."""
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    advance_cells = int(vae.tile_latent_min_size * (1 - vae.tile_overlap_factor))
    overlap_px = int(vae.tile_sample_min_size * vae.tile_overlap_factor)
    if advance_cells * factor != vae.tile_sample_min_size - overlap_px:
        raise ConfigError(
            f"vae_tiling: tiles of {vae.tile_sample_min_size} px, this VAE's sample_size, do not meet at "
            "whole latent cells, and pictures would come out in another size; leave it off"
        )
