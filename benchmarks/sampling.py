"""Measure sampling, 20 DDIM steps with guidance 3.5: the equations as they stand against what we run.

    python -m benchmarks.sampling                          two threads of a processor
    python -m benchmarks.sampling --size full --batch 1    a GPU: bfloat16

- `naive`: benchmarks/naive_mcld.py, every condition and every dead projection computed at every step;
- `authors`: benchmarks/authors_order.py, the order of work of the authors' code;
- `recomputed`: our modules, with the conditions prepared again at every step;
- `prepared`: our modules, conditions prepared once per image;
- `compiled`: the same through torch.compile; on a GPU as CUDA graphs.

`error` is the relative difference of the final latent from `naive`. One JSON line a result.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated

import torch
import typer
from diffusers import AutoencoderKL
from torch import Tensor

from benchmarks.authors_order import authors_sample, use_authors_order
from benchmarks.measure import Timing, machine, measure, show
from benchmarks.model_sizes import CPU, SIZES, ModelSize, random_conditions, random_model
from benchmarks.naive_mcld import NaiveMCLD, naive_sample
from mcld.diffusion import Denoise, NoiseSchedule, ddim_scheduler, initial_noise, sample
from mcld.models import MCLD, authors_states
from mcld.models.acceleration import fast_attention, use_channels_last
from mcld.types import Conditions

NUM_STEPS = 20
GUIDANCE_SCALE = 3.5
Sampler = Callable[[], Tensor]


def main(
    size: Annotated[str, typer.Option(help="cpu or full.")] = CPU.name,
    batch: Annotated[
        list[int] | None, typer.Option(help="Images at once; may be given several times.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1)] = 3,
    naive: Annotated[bool, typer.Option(help="Time the naive model and the authors' order as well.")] = True,
    compiled: Annotated[bool, typer.Option(help="Time torch.compile as well.")] = True,
) -> None:
    """Time every variant and print what it took."""
    chosen = SIZES[size]
    device = torch.device("cuda" if torch.cuda.is_available() and size == "full" else "cpu")
    if device.type == "cpu":
        torch.set_num_threads(2)
    for num_images in batch or [1]:
        compare(chosen, num_images=num_images, device=device, repeats=repeats, naive=naive, compiled=compiled)
    if size == "full":
        show_decoding(device, num_images=1, repeats=repeats)


@torch.no_grad()
def compare(
    size: ModelSize, *, num_images: int, device: torch.device, repeats: int, naive: bool, compiled: bool
) -> None:
    """Time the variants on the same model, conditions and noise."""
    precision = torch.bfloat16 if device.type == "cuda" else torch.float32
    model = random_model(size, device=device).eval().to(precision)
    use_channels_last(model)
    conditions = random_conditions(size, batch_size=num_images, device=device)
    noise = initial_noise(range(num_images), shape_CHW=(size.config.latent_channels, *size.latent_hw))
    variants = samplers(model, conditions=conditions, noise=noise.to(device), naive=naive, compiled=compiled)
    yardstick: Tensor | None = None
    for name, sampler in variants.items():
        with fast_attention(device):
            latent = sampler().float()
            timing = measure(sampler, repeats=repeats, warm_ups=1, device=device)
        yardstick = latent if yardstick is None else yardstick
        show(
            {
                "benchmark": f"sampling, {size.name} size, {name}",
                "num_images": num_images,
                "steps": NUM_STEPS,
                "guidance_scale": GUIDANCE_SCALE,
                "precision": str(precision).removeprefix("torch."),
                "s_per_image": round(timing.median_s / num_images, 4),
                "error": float(f"{float((latent - yardstick).norm() / yardstick.norm()):.1e}"),
                **timing.rounded(),
                **machine(device),
            }
        )


def samplers(
    model: MCLD, *, conditions: Conditions, noise: Tensor, naive: bool, compiled: bool
) -> dict[str, Sampler]:
    """What is compared, by name."""

    def run(denoise: Denoise) -> Tensor:
        return sample(
            denoise,
            noise_BCHW=noise,
            scheduler=ddim_scheduler(NoiseSchedule()),
            num_steps=NUM_STEPS,
            guidance_scale=GUIDANCE_SCALE,
        )

    def recomputed() -> Tensor:
        return run(
            lambda latent, timestep: model.denoise(
                latent, timestep_B=timestep, prepared=model.prepare(conditions, with_null=True)
            )
        )

    def prepared() -> Tensor:
        once = model.prepare(conditions, with_null=True)
        return run(lambda latent, timestep: model.denoise(latent, timestep_B=timestep, prepared=once))

    mode = "reduce-overhead" if noise.device.type == "cuda" else "default"
    fast_denoise = torch.compile(model.denoise, mode=mode)

    def through_compiler() -> Tensor:
        once = model.prepare(conditions, with_null=True)
        # A CUDA graph writes its output where the last one stood: keep ours.
        return run(lambda latent, timestep: fast_denoise(latent, timestep_B=timestep, prepared=once).clone())

    found: dict[str, Sampler] = {}
    if naive:
        found |= _yardsticks(model, conditions=conditions, noise=noise)
    found |= {"recomputed": recomputed, "prepared": prepared}
    return found | ({"compiled": through_compiler} if compiled else {})


def _yardsticks(model: MCLD, *, conditions: Conditions, noise: Tensor) -> dict[str, Sampler]:
    """The equations as they stand, and in the order of the authors' code."""
    naive, ordered = _naive_model(model, device=noise.device), _naive_model(model, device=noise.device)
    use_authors_order(ordered)
    conditions, noise = _in_precision(conditions, dtype=model.dtype), noise.to(model.dtype)

    def run(sample_with: Callable[..., Tensor], yardstick: NaiveMCLD) -> Tensor:
        return sample_with(
            yardstick,
            conditions=conditions,
            noise=noise,
            num_steps=NUM_STEPS,
            guidance_scale=GUIDANCE_SCALE,
            scheduler=ddim_scheduler(NoiseSchedule()),
        )

    return {"naive": lambda: run(naive_sample, naive), "authors": lambda: run(authors_sample, ordered)}


def _naive_model(model: MCLD, *, device: torch.device) -> NaiveMCLD:
    same = NaiveMCLD(model.config).to(device, model.dtype).eval()
    same.load_authors_states(authors_states(model))
    return same


def _in_precision(conditions: Conditions, *, dtype: torch.dtype) -> Conditions:
    """The naive model casts nothing."""
    names = ("texture_latent", "image_embedding", "texture_embedding", "face_embedding")
    return dataclasses.replace(conditions, **{name: getattr(conditions, name).to(dtype) for name in names})


@torch.no_grad()
def show_decoding(device: torch.device, *, num_images: int, repeats: int) -> None:
    """Time the VAE's decoder at SD-1.5 size, which follows every sampling."""
    with device:
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
        )
    vae = vae.eval().to(torch.bfloat16).to(memory_format=torch.channels_last)
    latent = torch.randn(num_images, 4, 64, 64, device=device, dtype=torch.bfloat16)
    timing: Timing = measure(lambda: vae.decode(latent).sample, repeats=repeats, warm_ups=2, device=device)
    show(
        {
            "benchmark": "VAE decoding, 512 x 512",
            "num_images": num_images,
            **timing.rounded(),
            **machine(device),
        }
    )


if __name__ == "__main__":
    typer.run(main)
