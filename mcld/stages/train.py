"""Stage `train`: shards and base weights to a model, a loss curve and sample grids, kept in MLflow."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL

from mcld.conditions.encoders import load_vae
from mcld.config import Params
from mcld.data.loader import Loader, Samples
from mcld.data.manifest import MANIFEST_NAME, read_manifest, whole_manifest, write_manifest
from mcld.data.outfits import OutfitEncoder
from mcld.devices import pick_device
from mcld.diffusion import NoiseSchedule
from mcld.faults import passing
from mcld.models import MCLD, initialise_mcld, save_mcld
from mcld.models.base import load_base, model_config
from mcld.stages.mapper import Mapper
from mcld.stages.pixels import encoder_of_shards
from mcld.stages.remember import run_of_model
from mcld.stages.training_record import LOSS_NAME, TrainingRecord, write_loss
from mcld.storage import fingerprint, read_json, remove_leftovers, sha256_of_file, write_json
from mcld.training.acceleration import make_fast
from mcld.training.loop import TrainingSettings, train_model
from mcld.training.step import EmbeddingFacts
from mcld.types import Manifest, PartRecord, Report
from mcld.workspace import Workspace

FORMAT_VERSION = 2
MODEL_NAME = "model"
SAMPLES_NAME = "samples"
STARTED_NAME = "run.json"


def run(params: Params, *, workspace: Workspace, mapper: Mapper) -> Report:
    """Train, or go on where a killed run stopped, or find that it is all done."""
    started = time.monotonic()
    out_dir = workspace.stage_dir("train")
    identity = run_identity(params, workspace=workspace)
    reused = _is_current(out_dir, identity=identity, metrics_dir=workspace.metrics_dir)
    if not reused:
        _train(params, workspace=workspace, out_dir=out_dir, identity=identity)
    manifest = read_manifest(out_dir)
    return Report(
        stage="train",
        num_items=params.train.steps,
        num_excluded=0,
        num_reused=params.train.steps if reused else 0,
        seconds=time.monotonic() - started,
        output=out_dir,
        details=dict(manifest.counts),
    )


def run_identity(params: Params, *, workspace: Workspace) -> str:
    """Hash of all that shapes the trained model: it names the checkpoints and the MLflow run."""
    return fingerprint(
        {
            "format_version": FORMAT_VERSION,
            "settings": _settings(params),
            "shards": sha256_of_file(workspace.stage_dir("shards") / MANIFEST_NAME),
            "weights": sha256_of_file(workspace.stage_dir("weights") / MANIFEST_NAME),
        }
    )


def _settings(params: Params) -> dict[str, object]:
    return {name: getattr(params, name).model_dump(mode="json") for name in ("model", "diffusion", "train")}


def _train(params: Params, *, workspace: Workspace, out_dir: Path, identity: str) -> None:
    _begin(out_dir, identity=identity)
    device = pick_device(params.runtime.device)
    shards_dir, weights_dir = workspace.stage_dir("shards"), workspace.stage_dir("weights")
    vae = load_vae(weights_dir / "vae").to(device)
    encoder = encoder_of_shards(shards_dir, runtime=params.runtime, weights_dir=weights_dir)
    loader = _loader(params, shards_dir=shards_dir, encoder=encoder)
    model = _initial_model(params, weights_dir=weights_dir).to(device)
    make_fast(model, device=device, compiled=params.runtime.compile)
    samples = Samples.open(shards_dir, split="test", iuv_resize=params.model.iuv_resize, encoder=encoder)
    record = _record(
        params, workspace=workspace, samples=samples, out_dir=out_dir, vae=vae, identity=identity
    )
    settings = TrainingSettings(
        train=params.train,
        diffusion=params.diffusion,
        scaling_factor=float(vae.config.scaling_factor),
        facts=_embedding_facts(params, loader=loader),
        fingerprint=identity,
        checkpoint_dir=workspace.state_dir / "checkpoints",
    )
    progress = train_model(
        model,
        batches=loader,
        settings=settings,
        on_checkpoint=record.on_checkpoint,
        on_sample=record.on_sample,
    )
    save_mcld(progress.average, directory=out_dir / MODEL_NAME)
    passing("train:model_written")
    write_loss(progress.losses, metrics_dir=workspace.metrics_dir)
    # Before the manifest: once that is written a repeated command does nothing more.
    record.tracked.log_folder(out_dir / MODEL_NAME, artifact_path=MODEL_NAME)
    record.tracked.finish()
    _finish(params, out_dir=out_dir, identity=identity, model=model, num_pairs=loader.num_pairs)


def _loader(params: Params, *, shards_dir: Path, encoder: OutfitEncoder | None) -> Loader:
    return Loader.open(
        shards_dir,
        split="train",
        batch_size=params.train.batch_size,
        seed=params.train.seed,
        pairs_per_visit=params.train.pairs_per_visit,
        shuffle_outfits=params.train.shuffle_outfits,
        num_streams=params.train.num_streams,
        iuv_resize=params.model.iuv_resize,
        encoder=encoder,
        loader_workers=params.runtime.loader_workers,
        resident_bytes=int(params.runtime.resident_gib * (1 << 30)),
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


def _record(
    params: Params,
    *,
    workspace: Workspace,
    samples: Samples,
    out_dir: Path,
    vae: AutoencoderKL,
    identity: str,
) -> TrainingRecord:
    return TrainingRecord(
        train=params.train,
        samples_dir=out_dir / SAMPLES_NAME,
        vae=vae,
        samples=samples,
        schedule=NoiseSchedule(beta_curve=params.diffusion.beta_schedule),
        tracked=run_of_model(params, workspace=workspace, identity=identity),
    )


def _begin(out_dir: Path, *, identity: str) -> None:
    """Empty the folder unless it holds the beginnings of this very run."""
    started = out_dir / STARTED_NAME
    if not started.is_file() or read_json(started) != {"identity": identity}:
        shutil.rmtree(out_dir, ignore_errors=True)
    (out_dir / MANIFEST_NAME).unlink(missing_ok=True)
    remove_leftovers(out_dir)
    write_json(started, value={"identity": identity})


def _finish(params: Params, *, out_dir: Path, identity: str, model: MCLD, num_pairs: int) -> None:
    files = [
        path
        for name in (MODEL_NAME, SAMPLES_NAME)
        for path in sorted((out_dir / name).rglob("*"))
        if path.is_file()
    ]
    parts = tuple(
        _part_record(path, index=index, out_dir=out_dir, identity=identity)
        for index, path in enumerate(files)
    )
    counts = {
        "steps": params.train.steps,
        "pairs": num_pairs,
        "trained_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }
    manifest = Manifest(
        stage="train", format_version=FORMAT_VERSION, settings=_settings(params), parts=parts, counts=counts
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


def _is_current(out_dir: Path, *, identity: str, metrics_dir: Path) -> bool:
    """Whether the folder holds the result of this very run, whole."""
    if not (metrics_dir / LOSS_NAME).is_file():
        return False
    manifest = whole_manifest(out_dir)
    return manifest is not None and all(part.fingerprint == identity for part in manifest.parts)
