"""`mcld plan train`: what training will cost, said before anything runs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mcld.errors import ConfigError

if TYPE_CHECKING:
    from mcld.config import Params
    from mcld.models import ModelConfig
    from mcld.training.gpus import Gpu
    from mcld.training.plan import BatchPlan, MemoryPlan, NetworkSize, WorkPlan
    from mcld.training.plan_data import CheckpointPlan, DataPlan
    from mcld.workspace import Workspace

plan_app = typer.Typer(help="Work out what a stage will cost, before it runs.", no_args_is_help=True)


@plan_app.callback()
def plan() -> None:
    """Work out what a stage will cost, before it runs."""


@plan_app.command("train")
def train(
    gpu: Annotated[
        str | None, typer.Option(help="Plan for this GPU, e.g. H100 or 4090; default: the one here.")
    ] = None,
    gpu_memory: Annotated[
        float | None, typer.Option(min=0.1, metavar="GIB", help="Its memory, where it is not the usual one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Say what training needs: parameters, memory, the batch that fits, time, bytes to read and to keep."""
    from mcld.cli.plan_train_text import describe
    from mcld.config import load_params
    from mcld.workspace import Workspace

    planned = plan_training(load_params(), workspace=Workspace(), gpu=gpu, gpu_memory_gib=gpu_memory)
    print(json.dumps(planned.to_dict(), indent=1) if as_json else describe(planned))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """All that `mcld plan train` says. `notes` are what is assumed, missing or does not go together."""

    model_from: str
    precision: str
    parallel: str
    is_compiled: bool
    recomputes: bool
    steps: int
    gpu: Gpu | None
    memory_gib: float | None  # of the GPU
    networks: tuple[NetworkSize, ...]
    memory: MemoryPlan
    batch: BatchPlan
    work: WorkPlan
    data: DataPlan | None
    checkpoints: CheckpointPlan
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with the sums that the text shows."""
        rows = self.batch.rows
        return asdict(self) | {"memory_at_peak": round(self.memory.fixed + rows * self.memory.step_per_row)}


def plan_training(
    params: Params, *, workspace: Workspace, gpu: str | None, gpu_memory_gib: float | None
) -> TrainingPlan:
    """Plan on shapes alone. Raises ConfigError for an unknown GPU, DataError for shards that are damaged."""
    chosen, memory_gib = _gpu(gpu, memory_gib=gpu_memory_gib)  # first: what is unknown is told at once
    from mcld.training.plan import (
        checkpoint_bytes,
        network_sizes,
        plan_batch,
        plan_memory,
        plan_work,
        process_count,
    )
    from mcld.training.plan_data import plan_checkpoints, plan_data

    config, model_from = _config(params, workspace=workspace)
    memory = plan_memory(config, params=params)
    batch = plan_batch(config, params=params, memory=memory, memory_gib=memory_gib)
    data = plan_data(
        workspace.stage_dir("shards"),
        params=params,
        num_processes=process_count(params),
        latent_channels=config.latent_channels,
        embedding_width=config.cross_attention_dim,
    )
    return TrainingPlan(
        model_from=model_from,
        precision=params.train.precision,
        parallel=params.runtime.parallel,
        is_compiled=params.runtime.compile,
        recomputes=params.runtime.gradient_checkpointing,
        steps=params.train.steps,
        gpu=chosen,
        memory_gib=memory_gib,
        networks=network_sizes(config),
        memory=memory,
        batch=batch,
        work=plan_work(config, params=params, batch=batch, gpu=chosen),
        data=data,
        checkpoints=plan_checkpoints(checkpoint_bytes(config, params=params), params=params),
        notes=_notes(params, gpu=chosen, data=data),
    )


def _gpu(name: str | None, *, memory_gib: float | None) -> tuple[Gpu | None, float | None]:
    """The GPU asked for, or the one here, and its memory; None for what is not known."""
    from mcld.training.gpus import find_gpu, gpu_of_device

    if name is not None:
        chosen = find_gpu(name)
        return chosen, memory_gib or chosen.memory_gib
    import torch

    if memory_gib is not None or not torch.cuda.is_available():
        return None, memory_gib
    facts = torch.cuda.get_device_properties(0)
    return gpu_of_device(facts.name), facts.total_memory / 2**30


def _config(params: Params, *, workspace: Workspace) -> tuple[ModelConfig, str]:
    """The model's sizes and where they are from: the stage's base weights, else what the preset will give."""
    from mcld.data.manifest import MANIFEST_NAME, read_manifest
    from mcld.stages.weights import tiny_base_dir

    weights_dir, preset = workspace.stage_dir("weights"), params.weights.preset
    if (weights_dir / MANIFEST_NAME).is_file():
        made_from = read_manifest(weights_dir).settings.get("preset")
        if made_from == preset:
            return _config_of_folder(params, directory=str(weights_dir)), str(weights_dir)
    why = f"{weights_dir} is not there yet, so preset '{preset}'"
    if preset == "sd15":
        return _sized(params, sizes={}), f"{why}: the sizes of Stable Diffusion 1.5"
    with tiny_base_dir() as tiny:
        if preset == "tiny":
            return _config_of_folder(params, directory=str(tiny)), why
        return _untrained_config(params, tiny=str(tiny)), why


def _config_of_folder(params: Params, *, directory: str) -> ModelConfig:
    """Sizes from the configs of a base's UNet and pose embedding; no weight is read."""
    from pathlib import Path

    from mcld.storage import read_json

    unet = read_json(Path(directory) / "unet" / "config.json")
    pose = read_json(Path(directory) / "pose_embedding" / "config.json")
    if not isinstance(unet, dict) or not isinstance(pose, dict):
        raise ConfigError(
            f"{directory}: its config.json files hold no settings; run the stage 'weights' again"
        )
    return _sized(params, sizes=unet, pose_channels=tuple(pose["block_out_channels"]))


def _untrained_config(params: Params, *, tiny: str) -> ModelConfig:
    """What `weights.preset: untrained` will make: the tiny base's latents and embeddings, a larger UNet."""
    from mcld.models.config import ModelConfig, unet_settings

    small = _config_of_folder(params, directory=tiny)
    channels = params.weights.untrained_channels
    sizes = ModelConfig(
        block_out_channels=channels,
        attention_levels=(True,) * len(channels),
        attention_head_dim=params.weights.untrained_heads,
        cross_attention_dim=small.cross_attention_dim,
        latent_channels=small.latent_channels,
    )
    return _sized(params, sizes=unet_settings(sizes), pose_channels=sizes.pose_channels)


def _sized(
    params: Params, *, sizes: dict[str, Any], pose_channels: tuple[int, ...] | None = None
) -> ModelConfig:
    """`model_config` on a UNet without memory. No sizes: those of Stable Diffusion 1.5."""
    import torch
    from diffusers import UNet2DConditionModel

    from mcld.models.base import BaseWeights, model_config
    from mcld.models.config import ModelConfig, unet_settings

    full = ModelConfig()
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(sizes or unet_settings(full))
    base = BaseWeights(unet=unet, pose_embedding={}, pose_channels=pose_channels or full.pose_channels)
    return model_config(base, params=params.model, face_dim=params.face.dim)


def _notes(params: Params, *, gpu: Gpu | None, data: DataPlan | None) -> tuple[str, ...]:
    from mcld.training.gpus import MEASURED_GPU

    found = []
    if data is None:
        found.append("shards are not made yet (run the stage shards): pairs, bytes and readers are unknown")
    else:
        found += data.problems
    half = params.train.precision == "bfloat16"
    if gpu is None:
        found.append(
            "no GPU named or known: memory is said, speed is not; name one with --gpu, e.g. --gpu H100"
        )
    elif half and gpu.bfloat16_tflops is None:
        found.append(
            f"{gpu.name} has no bfloat16: it is emulated, slowly; set train.precision: float32 "
            "(rates here are of float32)"
        )
    elif gpu.name != MEASURED_GPU or not half:
        found.append(
            "speed is an assumption: the share of the published peak was measured on one H200, in bfloat16"
        )
    if half and params.runtime.device == "cpu":
        found.append("train.precision: bfloat16 is for GPUs, and runtime.device is cpu")
    return tuple(found)
