"""Train as one process of one or many: the part of stage `train` that every process does.

The first process speaks for all: it writes the samples, the model and the manifest, and tells MLflow.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mcld.conditions.encoders import load_vae
from mcld.config import Params
from mcld.config.section import VAE_FACTOR
from mcld.data.loader import Loader, Samples
from mcld.data.manifest import write_manifest
from mcld.data.outfits import OutfitEncoder
from mcld.data.shard_copy import open_copy
from mcld.diffusion import NoiseSchedule
from mcld.errors import MCLDError, TrainingStoppedError
from mcld.faults import passing
from mcld.models import MCLD, initialise_mcld, save_mcld
from mcld.models.base import load_base, model_config
from mcld.models.sharding import gathered
from mcld.stages.made_from import tell_model
from mcld.stages.pixels import encoder_of_shards
from mcld.stages.remember import run_of_training
from mcld.stages.training_flops import kept_flops_per_row
from mcld.stages.training_metrics import peak_of
from mcld.stages.training_record import SampleRenderer, TrainingRecord, write_loss
from mcld.storage import sha256_of_file
from mcld.tracking import TrackedRun, shown
from mcld.training.distributed import Ranks
from mcld.training.loop import TrainingProgress, TrainingSettings, train_model
from mcld.training.step import EmbeddingFacts
from mcld.types import Manifest, PartRecord
from mcld.workspace import Workspace

MODEL_NAME = "model"
TRAINING_SECTIONS = ("model", "diffusion", "train")  # of the params: what shapes the model
SAMPLES_NAME = "samples"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is to be trained, and where; `identity` names it."""

    params: Params
    workspace: Workspace
    identity: str
    format_version: int  # of the stage that wants it

    @property
    def out_dir(self) -> Path:
        """The folder of the stage."""
        return self.workspace.stage_dir("train")

    @property
    def shards_dir(self) -> Path:
        """The workspace's shards."""
        return self.workspace.stage_dir("shards")

    @property
    def weights_dir(self) -> Path:
        """The base weights."""
        return self.workspace.stage_dir("weights")


def settings_of(params: Params) -> dict[str, object]:
    """The sections that shape the model."""
    return {name: getattr(params, name).model_dump(mode="json") for name in TRAINING_SECTIONS}


def shown_params(params: Params) -> dict[str, object]:
    """All settings as plain data, without the password that the tracking server's address may hold."""
    runtime = params.runtime
    if runtime.tracking_uri is not None:
        runtime = runtime.model_copy(update={"tracking_uri": shown(runtime.tracking_uri)})
    return params.model_copy(update={"runtime": runtime}).model_dump(mode="json")


def checkpoints_dir(workspace: Workspace) -> Path:
    """Where the checkpoints of all runs lie."""
    return workspace.state_dir / "checkpoints"


def train_as(ranks: Ranks, *, task: Task) -> None:
    """Train as one of `ranks`; the first one also writes what the stage leaves.

    Raises what `train_model` does.
    """
    if not ranks.is_first:
        _train(ranks, task=task, tracked=None)
        return
    with run_of_training(
        task.params,
        workspace=task.workspace,
        identity=task.identity,
        num_processes=ranks.num_ranks,
        device=ranks.device.type,
    ) as tracked:
        try:
            _train(ranks, task=task, tracked=tracked)
        except (KeyboardInterrupt, TrainingStoppedError):
            tracked.finish("KILLED")
            raise
        except MCLDError:
            tracked.finish("FAILED")
            raise


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTraining:
    """What a process trains with."""

    model: MCLD
    loader: Loader
    settings: TrainingSettings
    renderer: SampleRenderer


def open_training(ranks: Ranks, *, task: Task) -> OpenTraining:
    """Load shards and base weights. Raises DataError and WeightsError when they are not whole."""
    params = task.params
    encoder = encoder_of_shards(task.shards_dir, runtime=params.runtime, weights_dir=task.weights_dir)
    loader = _loader(task, encoder=encoder, pin=ranks.device.type == "cuda")
    model = _initial_model(params, weights_dir=task.weights_dir).to(ranks.device)
    renderer = _renderer(task, ranks=ranks, encoder=encoder)
    settings = _settings(task, ranks=ranks, model=model, loader=loader, renderer=renderer, encoder=encoder)
    return OpenTraining(model=model, loader=loader, settings=settings, renderer=renderer)


def _train(ranks: Ranks, *, task: Task, tracked: TrackedRun | None) -> None:
    opened = open_training(ranks, task=task)
    num_trained = sum(p.numel() for p in opened.model.parameters() if p.requires_grad)
    record = None
    if tracked is not None:
        record = TrainingRecord(
            params=task.params,
            tracked=tracked,
            renderer=opened.renderer,
            samples_dir=task.out_dir / SAMPLES_NAME,
            peak_tflops=peak_of(ranks, train=task.params.train),
            flops_per_row=opened.settings.flops_per_row,
        )
    progress = train_model(
        opened.model,
        batches=opened.loader,
        settings=opened.settings,
        listener=record or opened.renderer,
        ranks=ranks,
    )
    whole = gathered(progress.average)
    if record is not None:
        record.tell_checkpoints(progress)
        _write(task, whole=whole, progress=progress, tracked=record.tracked)
        _finish(task, num_trained=num_trained, num_pairs=opened.loader.num_pairs)


def _write(task: Task, *, whole: MCLD, progress: TrainingProgress, tracked: TrackedRun) -> None:
    save_mcld(whole, directory=task.out_dir / MODEL_NAME)
    passing("train:model_written")
    write_loss(progress.losses, metrics_dir=task.workspace.metrics_dir)
    # Before the manifest: once that is written a repeated command does nothing more.
    tracked.log_folder(task.out_dir / MODEL_NAME, artifact_path=MODEL_NAME)
    tell_model(tracked, workspace=task.workspace, identity=task.identity)
    tracked.finish()


def _settings(
    task: Task,
    *,
    ranks: Ranks,
    model: MCLD,
    loader: Loader,
    renderer: SampleRenderer,
    encoder: OutfitEncoder | None,
) -> TrainingSettings:
    params = task.params
    return TrainingSettings(
        train=params.train,
        diffusion=params.diffusion,
        runtime=params.runtime,
        scaling_factor=float(renderer.vae.config.scaling_factor),
        facts=_embedding_facts(params, loader=loader),
        fingerprint=task.identity,
        checkpoint_dir=checkpoints_dir(task.workspace),
        record={
            "params": shown_params(params),
            "identity": task.identity,
            "model": model.config.to_dict(),
        },
        reads_ahead=encoder is None,
        flops_per_row=_flops(task, model=model, loader=loader) if ranks.is_first else None,
    )


def _flops(task: Task, *, model: MCLD, loader: Loader) -> float:
    latents = loader.reader.shards.latents
    return kept_flops_per_row(
        model.config,
        train=task.params.train,
        latent_hw=(latents.height_px // VAE_FACTOR, latents.width_px // VAE_FACTOR),
        texture_hw=(latents.texture_height_px // VAE_FACTOR, latents.texture_width_px // VAE_FACTOR),
        workspace=task.workspace,
    )


def _loader(task: Task, *, encoder: OutfitEncoder | None, pin: bool) -> Loader:
    params = task.params
    return Loader.open(
        open_copy(task.shards_dir, runtime=params.runtime, state_dir=task.workspace.state_dir),
        split="train",
        batch_size=params.train.batch_size,
        seed=params.train.seed,
        pairs_per_visit=params.train.pairs_per_visit,
        shuffle_outfits=params.train.shuffle_outfits,
        num_streams=params.train.num_streams,
        iuv_resize=params.model.iuv_resize,
        encoder=encoder,
        loader_workers=params.runtime.loader_workers,
        resident_bytes=int(params.runtime.resident_gib * 2**30),
        pin=pin,
    )


def _embedding_facts(params: Params, *, loader: Loader) -> EmbeddingFacts:
    blank = None
    if params.train.null_condition == "blank-image":
        blank = torch.from_numpy(np.array(loader.blank_embedding()))
    return EmbeddingFacts(image_spread=torch.from_numpy(loader.image_spread()), blank=blank)


def _initial_model(params: Params, *, weights_dir: Path) -> MCLD:
    base = load_base(weights_dir)
    config = model_config(base, params=params.model, face_dim=params.face.dim)
    return initialise_mcld(
        config, base_unet=base.unet, pose_embedding=base.pose_embedding, seed=params.train.seed
    )


def _renderer(task: Task, *, ranks: Ranks, encoder: OutfitEncoder | None) -> SampleRenderer:
    params = task.params
    samples = Samples.open(task.shards_dir, split="test", iuv_resize=params.model.iuv_resize, encoder=encoder)
    return SampleRenderer(
        vae=load_vae(task.weights_dir / "vae").to(ranks.device),
        samples=samples,
        schedule=NoiseSchedule(beta_curve=params.diffusion.beta_schedule),
        num_pairs=params.train.num_sample_pairs,
    )


def _finish(task: Task, *, num_trained: int, num_pairs: int) -> None:
    out_dir = task.out_dir
    files = [
        path
        for name in (MODEL_NAME, SAMPLES_NAME)
        for path in sorted((out_dir / name).rglob("*"))
        if path.is_file()
    ]
    parts = tuple(
        _part_record(path, index=index, out_dir=out_dir, identity=task.identity)
        for index, path in enumerate(files)
    )
    counts = {
        "steps": task.params.train.steps,
        "pairs": num_pairs,
        "trained_parameters": num_trained,
    }
    manifest = Manifest(
        stage="train",
        format_version=task.format_version,
        settings=settings_of(task.params),
        parts=parts,
        counts=counts,
    )
    write_manifest(out_dir, manifest=manifest)
    passing("train:manifest_written")


def _part_record(path: Path, *, index: int, out_dir: Path, identity: str) -> PartRecord:
    return PartRecord(
        index=index,
        path=str(path.relative_to(out_dir)),
        sha256=sha256_of_file(path),
        num_bytes=path.stat().st_size,
        num_items=1,
        fingerprint=identity,
    )
