"""What training will cost, worked out before anything runs: parameters, memory, batch, work and time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from torch import nn

from mcld.config import LatentsParams, Params, TrainParams
from mcld.models import MCLD, ModelConfig
from mcld.models.sharding import shardable_modules
from mcld.training.flops import flops_per_row, meta_model, null_share
from mcld.training.gpus import (
    COMPILED_MEMORY_SHARE,
    COMPILED_SHARE_OF_PEAK,
    EAGER_SHARE_OF_PEAK,
    MEASURED_GPU,
    RESERVED_SHARE,
    SECONDS_PER_OPERATION,
    Gpu,
)
from mcld.training.memory import StepMemory, step_memory
from mcld.training.muon import split_parameters

GIB = 2**30
LATENT_CELL_PX = 8
ENDS = ("conv_in", "conv_out")  # Muon leaves them to AdamW
FLOAT_BYTES = 4  # weights, gradients, averages and optimisers stay in float32


class LatentSizes(TypedDict):
    """Height and width in cells."""

    latent_hw: tuple[int, int]
    texture_hw: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSize:
    """Parameters of one network."""

    name: str
    num_trained: int
    num_frozen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlan:
    """Bytes that one process holds. `parts` are there all the time; a step adds to them by rows."""

    parts: dict[str, int]
    step_constant: int
    step_per_row: int

    @property
    def fixed(self) -> int:
        """Bytes of a step of no rows."""
        return sum(self.parts.values()) + self.step_constant

    def of(self, num_rows: int) -> int:
        """Bytes at the peak of a step of so many rows at once."""
        return self.fixed + num_rows * self.step_per_row

    def max_rows(self, memory_gib: float) -> int:
        """The most rows that fit, with a share left to driver and allocator."""
        usable = memory_gib * GIB * (1.0 - RESERVED_SHARE)
        return max(0, int((usable - self.fixed) // self.step_per_row))


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """How the global batch is cut, and whether a piece fits. `max_rows` is None if no memory is known."""

    batch_size: int
    num_processes: int
    accumulation_steps: int
    rows: float  # of one process at once; no whole number if the batch does not divide
    max_rows: int | None
    remedies: tuple[str, ...]  # what to change; empty when it fits


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkPlan:
    """Operations, and what they take on the GPU that was named. Rates are None without one."""

    flops_per_image: float
    share_of_peak: float
    peak_tflops: float | None
    is_measured: bool  # the share is of this very GPU and precision, at full size
    bound_by: str | None  # "operations", or "starting kernels" of an eager step too small for the GPU
    images_per_s: float | None
    seconds: float | None  # of all steps that remain from 0


def process_count(params: Params) -> int:
    """Training processes over all machines: as asked for, else one for each GPU here, or one."""
    import torch

    here = params.runtime.num_processes or torch.cuda.device_count() or 1
    return here * params.runtime.num_nodes


def latent_sizes(latents: LatentsParams) -> LatentSizes:
    """Cells of the latents of image and texture, as the counting functions take them."""
    return {
        "latent_hw": (latents.height_px // LATENT_CELL_PX, latents.width_px // LATENT_CELL_PX),
        "texture_hw": (
            latents.texture_height_px // LATENT_CELL_PX,
            latents.texture_width_px // LATENT_CELL_PX,
        ),
    }


def network_sizes(config: ModelConfig) -> tuple[NetworkSize, ...]:
    """Parameters by network."""
    model = meta_model(config)
    return tuple(
        NetworkSize(
            name=name,
            num_trained=sum(p.numel() for p in network.parameters() if p.requires_grad),
            num_frozen=sum(p.numel() for p in network.parameters() if not p.requires_grad),
        )
        for name, network in model.named_children()
    )


def plan_memory(config: ModelConfig, *, params: Params, checkpointing: bool | None = None) -> MemoryPlan:
    """Memory of a process; `checkpointing` asks for another value than runtime's."""
    model = meta_model(config)
    if checkpointing is None:
        checkpointing = params.runtime.gradient_checkpointing
    step = _step(config, params=params, checkpointing=checkpointing)
    share = COMPILED_MEMORY_SHARE if params.runtime.compile and not checkpointing else 1.0
    return MemoryPlan(
        parts=_state_bytes(model, params=params),
        step_constant=step.constant,
        step_per_row=round(step.per_row * share),
    )


def plan_batch(
    config: ModelConfig, *, params: Params, memory: MemoryPlan, memory_gib: float | None
) -> BatchPlan:
    """Whether train.batch_size / (processes x accumulation steps) rows fit, and what would."""
    batch_size, pieces = params.train.batch_size, params.runtime.accumulation_steps
    num_processes = process_count(params)
    rows = batch_size / (num_processes * pieces)
    max_rows = None if memory_gib is None else memory.max_rows(memory_gib)
    remedies = []
    if batch_size % (num_processes * pieces):
        step = num_processes * pieces
        remedies.append(
            f"train.batch_size {batch_size} is not divisible by {num_processes} processes x "
            f"{pieces} accumulation steps; take {max(step, batch_size // step * step)} or "
            f"{(batch_size // step + 1) * step}"
        )
    if max_rows is not None and memory_gib is not None and rows > max_rows:
        remedies += _remedies(config, params=params, max_rows=max_rows, memory_gib=memory_gib)
    return BatchPlan(
        batch_size=batch_size,
        num_processes=num_processes,
        accumulation_steps=pieces,
        rows=rows,
        max_rows=max_rows,
        remedies=tuple(remedies),
    )


def plan_work(config: ModelConfig, *, params: Params, batch: BatchPlan, gpu: Gpu | None) -> WorkPlan:
    """Operations of an image, and images a second on the GPU."""
    train, runtime = params.train, params.runtime
    share = null_share(
        null_probability=train.null_probability,
        reference_dropout_probability=train.reference_dropout_probability,
    )
    sizes = latent_sizes(params.latents)
    needed = flops_per_row(config, **sizes, null_share=share)
    reached = COMPILED_SHARE_OF_PEAK if runtime.compile else EAGER_SHARE_OF_PEAK
    peak = None if gpu is None else peak_tflops(gpu, train=train)
    seconds = bound_by = None
    if peak is not None:
        recomputes = runtime.gradient_checkpointing
        done = flops_per_row(config, **sizes, null_share=share, recomputes=recomputes)
        seconds = done * batch.rows / (peak * 1e12 * reached)
        bound_by = "operations"
        starting = (
            _step(config, params=params, checkpointing=recomputes).num_operations * SECONDS_PER_OPERATION
        )
        if not runtime.compile and starting > seconds:
            seconds, bound_by = starting, "starting kernels"
        seconds *= batch.accumulation_steps
    return WorkPlan(
        flops_per_image=needed,
        share_of_peak=reached,
        peak_tflops=peak,
        is_measured=gpu is not None and gpu.name == MEASURED_GPU and train.precision == "bfloat16",
        bound_by=bound_by,
        images_per_s=None if seconds is None else train.batch_size / seconds,
        seconds=None if seconds is None else seconds * train.steps,
    )


def peak_tflops(gpu: Gpu, *, train: TrainParams) -> float:
    """The published peak at the precision that training computes in; float32's where there is no bfloat16."""
    if train.precision == "bfloat16" and gpu.bfloat16_tflops is not None:
        return gpu.bfloat16_tflops
    return gpu.float32_tflops


def checkpoint_bytes(config: ModelConfig, *, params: Params) -> int:
    """Of one checkpoint: weights, average and optimisers, whole, however many processes share them."""
    model = meta_model(config)
    average = _count(model) if params.train.ema else 0
    optimizers = sum(_optimizer_bytes(model, optimizer=params.train.optimizer).values())
    return FLOAT_BYTES * (_count(model) + average) + optimizers


def _step(config: ModelConfig, *, params: Params, checkpointing: bool) -> StepMemory:
    return step_memory(
        config,
        **latent_sizes(params.latents),
        half=params.train.precision == "bfloat16",
        checkpointing=checkpointing,
    )


def _state_bytes(model: MCLD, *, params: Params) -> dict[str, int]:
    """What is there between steps, in one process."""
    parts = {
        "weights": FLOAT_BYTES * _count(model),
        "gradients": FLOAT_BYTES * _count(model, trained=True),
        **_optimizer_bytes(model, optimizer=params.train.optimizer),
    }
    if params.train.ema:
        parts["moving average"] = FLOAT_BYTES * _count(model)
    if params.runtime.parallel == "ddp":
        return parts
    num_processes = process_count(params)
    shared = {name: -(-num_bytes // num_processes) for name, num_bytes in parts.items()}
    return shared | {"gathered by fsdp": _gathered_bytes(model)}


def _optimizer_bytes(model: MCLD, *, optimizer: str) -> dict[str, int]:
    """AdamW keeps two numbers a weight, Muon one."""
    if optimizer == "adamw":
        return {"adamw state": 2 * FLOAT_BYTES * _count(model, trained=True)}
    matrices, rest = split_parameters(model, ends=ENDS)
    return {
        "muon state": FLOAT_BYTES * sum(p.numel() for p in matrices),
        "adamw state": 2 * FLOAT_BYTES * sum(p.numel() for p in rest),
    }


def _gathered_bytes(model: MCLD) -> int:
    """Weights and gradients of the two largest groups: one in use, and one on its way."""
    seen: set[int] = set()
    groups = []
    for module in shardable_modules(model):  # inner ones first: what is left to outer ones is their own
        own = [p for p in module.parameters() if id(p) not in seen]
        seen |= {id(p) for p in own}
        groups.append(sum(p.numel() for p in own))
    return 2 * FLOAT_BYTES * sum(sorted(groups)[-2:])


def _count(module: nn.Module, *, trained: bool = False) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trained)


def _remedies(config: ModelConfig, *, params: Params, max_rows: int, memory_gib: float) -> list[str]:
    """Changes that would make the batch fit, with their numbers."""
    batch_size, num_processes = params.train.batch_size, process_count(params)
    found = []
    pieces = _fewest_pieces(batch_size, num_processes=num_processes, max_rows=max_rows)
    if pieces is not None:
        found.append(
            f"runtime.accumulation_steps: {pieces} ({batch_size // (num_processes * pieces)} rows at once, "
            "the same result)"
        )
    if not params.runtime.gradient_checkpointing:
        less = plan_memory(config, params=params, checkpointing=True)
        fits = less.max_rows(memory_gib)
        if fits > max_rows:
            found.append(
                f"runtime.gradient_checkpointing: true ({fits} rows at once, "
                f"{less.step_per_row / GIB:.2f} GiB a row; about a quarter more work)"
            )
    if params.runtime.parallel == "ddp" and num_processes > 1:
        found.append("runtime.parallel: fsdp (each process holds its share of weights and optimiser)")
    if max_rows:
        found.append(f"train.batch_size: {max_rows * num_processes * params.runtime.accumulation_steps}")
    return found or [
        "not one row fits: take a GPU with more memory, or more processes with runtime.parallel: fsdp"
    ]


def _fewest_pieces(batch_size: int, *, num_processes: int, max_rows: int) -> int | None:
    """The fewest accumulation steps at which a piece fits, or None."""
    own = batch_size // num_processes
    if batch_size % num_processes or not max_rows:
        return None
    return next(
        (pieces for pieces in range(1, own + 1) if own % pieces == 0 and own // pieces <= max_rows), None
    )
