"""Measure one training step: forward and backward, and with gradient clipping, AdamW and the average.

    python -m benchmarks.train_step                                    two threads of a processor
    python -m benchmarks.train_step --size full --batch 32 --batch 64  a GPU: bfloat16, compiled

Batch and noise are on the device before the clock starts. `gradient_error` compares a compiled step's
gradients with those of the eager one, in all and by parameter: compilers have been seen to lose some. On a
processor, ours is timed beside the same model as its equations say it (benchmarks/naive_mcld.py). One JSON
line a result.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, cast

import torch
import typer
from torch import Tensor, nn

from benchmarks.measure import Timing, machine, measure, product_ceiling_tflops, show
from benchmarks.model_sizes import CPU, SIZES, ModelSize, random_batch, random_model, training_flops
from benchmarks.naive_mcld import NaiveMCLD
from mcld.config import DiffusionParams, TrainParams
from mcld.devices import on_device
from mcld.diffusion import NoiseSchedule
from mcld.models import MCLD, ModelConfig
from mcld.models.acceleration import fast_attention, use_channels_last
from mcld.training.acceleration import compile_parts
from mcld.training.averaging import MovingAverage
from mcld.training.optimisation import adamw, apply_gradients
from mcld.training.step import EmbeddingFacts, draw_step, training_loss
from mcld.types import Conditions

NULL_SHARE = 0.1
SCALING_FACTOR = 0.18215
TRAIN = TrainParams(precision="bfloat16", optimizer="adamw", learning_rate=1e-5)
DIFFUSION = DiffusionParams()
SCHEDULE = NoiseSchedule()


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is timed."""

    size: ModelSize
    batch_size: int
    num_null: int  # rows without any appearance
    device: torch.device
    precision: torch.dtype


def main(
    size: Annotated[str, typer.Option(help="cpu or full.")] = CPU.name,
    batch: Annotated[list[int] | None, typer.Option(help="Rows a step; may be given several times.")] = None,
    repeats: Annotated[int, typer.Option(min=1)] = 7,
    eager: Annotated[bool, typer.Option(help="Time it without torch.compile as well.")] = True,
    compiled: Annotated[bool, typer.Option(help="Time it with torch.compile.")] = True,
    naive: Annotated[bool, typer.Option(help="On a processor: time the naive model as well.")] = True,
) -> None:
    """Time every variant and print what it took."""
    chosen = SIZES[size]
    device = torch.device("cuda" if torch.cuda.is_available() and size == "full" else "cpu")
    if device.type == "cpu":
        torch.set_num_threads(2)
    precision = torch.bfloat16 if device.type == "cuda" else torch.float32
    ceiling = product_ceiling_tflops(device, dtype=precision)
    show({"benchmark": "matrix product", "tflops": round(ceiling, 2), **machine(device)})
    for rows in batch or [chosen.batch_size]:
        null_rows = round(rows * NULL_SHARE) if device.type == "cuda" else 0
        setting = Setting(
            size=chosen, batch_size=rows, num_null=null_rows, device=device, precision=precision
        )
        wanted = {"naive": naive and device.type == "cpu", "eager": eager, "compiled": compiled}
        for variant in [name for name, is_wanted in wanted.items() if is_wanted]:
            report(setting, variant=variant, repeats=repeats, ceiling=ceiling)


def report(setting: Setting, *, variant: str, repeats: int, ceiling: float) -> None:
    """Time one variant at one batch size, and say what it reached. Out of memory is a result too."""
    flops = training_flops(setting.size, num_rows=setting.batch_size, num_null=setting.num_null)
    described = {
        "benchmark": f"train step, {setting.size.name} size, {variant}",
        "batch_size": setting.batch_size,
        "null_rows": setting.num_null,
        "precision": str(setting.precision).removeprefix("torch."),
        "tflop_per_row": round(flops / setting.batch_size / 1e12, 4),
    }
    try:
        with fast_attention(device=setting.device):
            timings, more = time_variant(setting, variant=variant, repeats=repeats)
    except torch.cuda.OutOfMemoryError:
        show({**described, "error": "out of memory", **machine(setting.device)})
        return
    for part, timing in timings.items():
        rate = flops / timing.median_s / 1e12
        figures = {
            "rows_per_s": round(setting.batch_size / timing.median_s, 2),
            "tflops": round(rate, 2),
            "share_of_product": round(rate / ceiling, 3),
            **more,
        }
        show({**described, "part": part, **timing.rounded(), **figures, **machine(setting.device)})


def time_variant(
    setting: Setting, *, variant: str, repeats: int
) -> tuple[dict[str, Timing], dict[str, float]]:
    """Seconds of each part of a step, and what else was seen: a GPU's memory, errors of gradients."""
    if variant == "naive":
        model = cast("MCLD", NaivePredictor(setting.size.config))  # all that is used of an MCLD here
    else:
        model = random_model(setting.size, device=setting.device)
        use_channels_last(model)
    loss_of = _loss_of(model, setting=setting)
    more: dict[str, float] = {}

    def forward_backward() -> None:
        model.zero_grad(set_to_none=True)
        torch.autograd.backward(loss_of())

    if variant == "compiled":
        compile_parts(model)
        more |= gradient_errors(model, forward_backward=forward_backward)
    optimizers = adamw(model, learning_rate=TRAIN.learning_rate, weight_decay=TRAIN.weight_decay)
    average = MovingAverage(model, decay=0.999) if setting.device.type == "cuda" else None

    def whole_step() -> None:
        assert apply_gradients(
            model, loss=loss_of(), optimizers=optimizers, factor=1.0, max_grad_norm=TRAIN.max_grad_norm
        )
        if average is not None:
            average.update(model, step=1000)

    if setting.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    parts: dict[str, Callable[[], None]] = {"forward+backward": forward_backward, "whole step": whole_step}
    timings = {
        part: measure(function, repeats=repeats, warm_ups=2, device=setting.device)
        for part, function in parts.items()
    }
    if setting.device.type == "cuda":
        more["peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 1)
    return timings, more


class NaivePredictor(nn.Module):
    """The naive model behind MCLD's own call, for a batch whose rows all have a reference."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.naive = NaiveMCLD(config)

    def forward(
        self, noisy_latent: Tensor, *, timestep_B: Tensor, conditions: Conditions, drop_reference_B: Tensor
    ) -> Tensor:
        """v (B, C, H, W)."""
        assert not drop_reference_B.any(), "the naive model has a reference for every row or for none"
        v: Tensor = self.naive(noisy_latent, timestep=timestep_B, conditions=conditions)
        return v


def gradient_errors(model: MCLD, *, forward_backward: Callable[[], None]) -> dict[str, float]:
    """How far the compiled gradients are from the eager ones: of all, and parameters more than half off."""
    forward_backward()
    compiled = _gradients(model)
    model.set_gradient_checkpointing(True)  # an eager step needs more memory, and this gives the same
    with torch.compiler.set_stance("force_eager"):
        forward_backward()
    model.set_gradient_checkpointing(False)
    eager = _gradients(model)
    model.zero_grad(set_to_none=True)
    differences = {name: float((compiled[name] - eager[name]).norm()) for name in eager}
    norms = {name: float(gradient.norm()) for name, gradient in eager.items()}
    # What is tiny beside the rest is rounding noise in half precision.
    floor = 1e-4 * max(norms.values())
    off = [name for name in eager if differences[name] > 0.5 * max(norms[name], floor)]
    return {
        "gradient_error": float(f"{math.hypot(*differences.values()) / math.hypot(*norms.values()):.1e}"),
        "gradients_off": len(off),
    }


def _gradients(model: MCLD) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def _loss_of(model: MCLD, *, setting: Setting) -> Callable[[], Tensor]:
    """The training loss of one batch whose tensors and noise are on the device already."""
    batch = random_batch(setting.size, batch_size=setting.batch_size, device=setting.device)
    draws = draw_step(batch, train=TRAIN, diffusion=DIFFUSION, num_timesteps=SCHEDULE.num_timesteps)
    facts = EmbeddingFacts(
        image_spread=torch.ones(batch.image_embedding.shape[1], device=setting.device), blank=None
    )
    rows = torch.arange(setting.batch_size)
    ready = dataclasses.replace(
        on_device(draws, device=setting.device),
        timestep=draws.timestep,
        drop_appearance=rows < setting.num_null,
        drop_image=rows < 0,
        drop_reference=rows < 0,
    )

    def loss() -> Tensor:
        half = setting.precision == torch.bfloat16
        with torch.autocast(setting.device.type, dtype=torch.bfloat16, enabled=half):
            return training_loss(
                model,
                batch=batch,
                draws=ready,
                schedule=SCHEDULE,
                scaling_factor=SCALING_FACTOR,
                facts=facts,
                train=TRAIN,
                diffusion=DIFFUSION,
            ).total

    return loss


if __name__ == "__main__":
    typer.run(main)
