"""Our sampling against the authors' way in one run: same weights, conditions, noise, same latent.

    python -m benchmarks.sampling_authors            one thread, the `cpu` size of benchmarks/model_sizes.py

- `naive`: benchmarks/naive_mcld.py, the equations as they stand;
- `authors`: benchmarks/authors_order.py, the order of work of the authors' code;
- `recomputed`: our modules, all conditions prepared again at every step;
- `prepared`: our modules as the pipeline runs them.

They take turns, so that whatever else the machine does hits them alike; shares are of the turn's times,
and of processor time, which load hardly touches. benchmarks/sampling.py times each on its own, and compiled.
"""

from __future__ import annotations

import os
import statistics
import time
from typing import Annotated

import torch
import typer
from torch import Tensor

from benchmarks.measure import machine, show, wait
from benchmarks.model_sizes import CPU, SIZES, random_conditions, random_model
from benchmarks.sampling import GUIDANCE_SCALE, NUM_STEPS, Sampler, samplers
from mcld.devices import pick_device
from mcld.diffusion import initial_noise
from mcld.models.acceleration import fast_attention, use_channels_last

OURS = "prepared"
Turn = dict[str, tuple[Tensor, float, float]]  # by variant: latent, wall seconds, processor seconds


@torch.no_grad()
def take_turns(variants: dict[str, Sampler], *, device: torch.device) -> Turn:
    """Each variant once, in order."""
    found: Turn = {}
    for name, sampler in variants.items():
        wait(device)
        wall, processor = time.perf_counter(), time.process_time()
        with fast_attention(device):
            latent = sampler().float()
        wait(device)
        found[name] = latent, time.perf_counter() - wall, time.process_time() - processor
    return found


def show_result(name: str, *, turns: list[Turn], about: dict[str, object]) -> None:
    """A variant's seconds, how far its latent is from the first variant's, and the share that ours takes."""
    latent, yardstick = turns[0][name][0], next(iter(turns[0].values()))[0]
    show(
        {
            "benchmark": f"sampling beside the authors' way, {name}",
            "median_s": round(statistics.median(turn[name][1] for turn in turns), 3),
            "cpu_s": round(statistics.median(turn[name][2] for turn in turns), 3),
            "ours_share": round(statistics.median(turn[OURS][1] / turn[name][1] for turn in turns), 3),
            "ours_share_of_cpu": round(statistics.median(turn[OURS][2] / turn[name][2] for turn in turns), 3),
            "error": float(f"{float((latent - yardstick).norm() / yardstick.norm()):.1e}"),
            **about,
        }
    )


def main(
    size: Annotated[str, typer.Option(help="cpu or full.")] = CPU.name,
    batch: Annotated[int, typer.Option(min=1, help="Images at once.")] = 1,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    threads: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    """Measure them."""
    torch.set_num_threads(threads)
    chosen = SIZES[size]
    device = pick_device("auto" if size == "full" else "cpu")
    precision = torch.bfloat16 if device.type == "cuda" else torch.float32
    model = random_model(chosen, device=device).eval().to(precision)
    use_channels_last(model)
    conditions = random_conditions(chosen, batch_size=batch, device=device)
    noise = initial_noise(range(batch), shape_CHW=(chosen.config.latent_channels, *chosen.latent_hw))
    variants = samplers(model, conditions=conditions, noise=noise.to(device), naive=True, compiled=False)
    load_before = os.getloadavg()[0]
    turns = [take_turns(variants, device=device) for _ in range(rounds)]
    about: dict[str, object] = {
        "size": chosen.name,
        "num_images": batch,
        "steps": NUM_STEPS,
        "guidance_scale": GUIDANCE_SCALE,
        "precision": str(precision).removeprefix("torch."),
        "rounds": rounds,
        "load": [round(load_before, 2), round(os.getloadavg()[0], 2)],
        **machine(device),
    }
    for name in variants:
        show_result(name, turns=turns, about=about)


if __name__ == "__main__":
    typer.run(main)
