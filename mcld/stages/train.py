"""Stage `train`: shards and base weights to a model, a loss curve and sample grids, kept in MLflow."""

from __future__ import annotations

import csv
import io
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from mcld.conditions.encoders import load_vae
from mcld.config import Params
from mcld.data.codec import encode_png
from mcld.data.loader import Loader, Samples
from mcld.data.manifest import MANIFEST_NAME, read_manifest, whole_manifest, write_manifest
from mcld.devices import pick_device
from mcld.evaluation.pictures import colour_iuv, stack_grid
from mcld.evaluation.protocols import to_8_bit
from mcld.faults import passing
from mcld.inference.generate import Generator
from mcld.inference.test_pairs import choose_test_pairs, pair_seed
from mcld.models import MCLD, initialise_mcld, save_mcld
from mcld.models.base import load_base, model_config
from mcld.stages.mapper import Mapper
from mcld.stages.remember import run_of_model
from mcld.storage import fingerprint, read_json, remove_leftovers, sha256_of_file, write_bytes, write_json
from mcld.tracking import TrackedRun
from mcld.training.loop import TrainingProgress, TrainingSettings, train_model
from mcld.types import Manifest, PartRecord, Report
from mcld.workspace import Workspace

FORMAT_VERSION = 1
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
    weights_dir, shards_dir = workspace.stage_dir("weights"), workspace.stage_dir("shards")
    latents = params.latents
    loader = Loader.open(
        shards_dir,
        split="train",
        batch_size=params.train.batch_size,
        seed=params.train.seed,
        pairs_per_visit=params.train.pairs_per_visit,
        shuffle_outfits=params.train.shuffle_outfits,
        height_px=latents.height_px,
        width_px=latents.width_px,
    )
    base = load_base(weights_dir)
    config = model_config(base, params=params.model, face_dim=params.face.dim)
    model = initialise_mcld(
        config, base_unet=base.unet, pose_embedding=base.pose_embedding, seed=params.train.seed
    )
    device = pick_device(params.runtime.device)
    model.to(device)
    vae = load_vae(weights_dir / "vae").to(device)
    samples = Samples.open(shards_dir, split="test", height_px=latents.height_px, width_px=latents.width_px)
    tracked = run_of_model(params, workspace=workspace, identity=identity)
    listener = _Listener(
        params=params,
        out_dir=out_dir,
        vae_generator=Generator(model=model, vae=vae),
        samples=samples,
        tracked=tracked,
    )
    settings = TrainingSettings(
        train=params.train,
        diffusion=params.diffusion,
        scaling_factor=float(vae.config.scaling_factor),
        fingerprint=identity,
        checkpoint_dir=workspace.state_dir / "checkpoints",
    )
    progress = train_model(
        model,
        batches=loader,
        settings=settings,
        on_checkpoint=listener.on_checkpoint,
        on_sample=listener.on_sample,
    )
    save_mcld(progress.average, directory=out_dir / MODEL_NAME)
    passing("train:model_written")
    write_loss(progress.losses, metrics_dir=workspace.metrics_dir)
    _finish(params, out_dir=out_dir, identity=identity, model=model, loader=loader, progress=progress)
    tracked.log_folder(out_dir / MODEL_NAME, artifact_path=MODEL_NAME)
    tracked.finish()


def _begin(out_dir: Path, *, identity: str) -> None:
    """Empty the folder unless it holds the beginnings of this very run."""
    started = out_dir / STARTED_NAME
    if not started.is_file() or read_json(started) != {"identity": identity}:
        shutil.rmtree(out_dir, ignore_errors=True)
    (out_dir / MANIFEST_NAME).unlink(missing_ok=True)
    remove_leftovers(out_dir)
    write_json(started, value={"identity": identity})


@dataclass(slots=True, kw_only=True)
class _Listener:
    """Writes sample grids and tells MLflow, at moments that a resumed run meets again at the same steps."""

    params: Params
    out_dir: Path
    vae_generator: Generator
    samples: Samples
    tracked: TrackedRun

    def on_checkpoint(self, progress: TrainingProgress) -> None:
        """Log the losses since the last checkpoint: a killed run then repeats none of them."""
        every = self.params.train.checkpoint_every_steps
        first = (progress.step - 1) // every * every
        points = [(step + 1, progress.losses[step]) for step in range(first, progress.step)]
        self.tracked.log_series("train.loss", values=points)

    def on_sample(self, progress: TrainingProgress) -> None:
        """Render the fixed sample pairs with the averaged weights."""
        generator = Generator(model=progress.average, vae=self.vae_generator.vae)
        grid = sample_grid(generator, samples=self.samples, params=self.params)
        path = self.out_dir / SAMPLES_NAME / f"step-{progress.step:06d}.png"
        write_bytes(path, data=encode_png(grid))
        passing("train:sample_written")
        self.tracked.log_image(path, key="samples", step=progress.step)


def sample_grid(generator: Generator, *, samples: Samples, params: Params) -> np.ndarray:
    """(H, W, 3) uint8: a row a pair with source, target pose, generated, target.

    Source and target are shown as decoded from their latents.
    """
    pairs = choose_test_pairs(samples.pairs, num_pairs=params.train.num_sample_pairs)
    chosen = [samples.sample_for(source=pair.source, target=pair.target) for pair in pairs]
    sources = [samples.sample_for(source=pair.source, target=pair.source) for pair in pairs]
    seeds = [pair_seed(params.generate.seed, source=pair.source, target=pair.target) for pair in pairs]
    columns = [
        _pictures(generator.reconstruct(sources)),
        [colour_iuv(item.target_iuv) for item in chosen],
        _pictures(generator.render(chosen, seeds=seeds, params=params.generate)),
        _pictures(generator.reconstruct(chosen)),
    ]
    return stack_grid([list(row) for row in zip(*columns, strict=True)])


def _pictures(images: Tensor) -> list[np.ndarray]:
    return [to_8_bit(image) for image in images.permute(0, 2, 3, 1).numpy()]


def write_loss(losses: Sequence[float], *, metrics_dir: Path) -> None:
    """Write the curve (loss.csv) and its end (train.json), for DVC and for the report."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["step", "loss"])
    writer.writerows([step + 1, f"{loss:.6f}"] for step, loss in enumerate(losses))
    write_bytes(metrics_dir / "loss.csv", data=text.getvalue().encode())
    last = losses[-min(100, len(losses)) :]
    metrics = {
        "final_loss": round(losses[-1], 6),
        "mean_loss_of_last_100": round(float(np.mean(last)), 6),
        "steps": len(losses),
    }
    write_json(metrics_dir / "train.json", value=metrics)


def _finish(
    params: Params, *, out_dir: Path, identity: str, model: MCLD, loader: Loader, progress: TrainingProgress
) -> None:
    files = [
        path
        for name in (MODEL_NAME, SAMPLES_NAME)
        for path in sorted((out_dir / name).rglob("*"))
        if path.is_file()
    ]
    parts = tuple(
        _record(path, index=index, out_dir=out_dir, identity=identity) for index, path in enumerate(files)
    )
    counts = {
        "steps": params.train.steps,
        "pairs": len(loader.pairs),
        "trained_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }
    manifest = Manifest(
        stage="train", format_version=FORMAT_VERSION, settings=_settings(params), parts=parts, counts=counts
    )
    write_manifest(out_dir, manifest=manifest)
    passing("train:manifest_written")


def _record(path: Path, *, index: int, out_dir: Path, identity: str) -> PartRecord:
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
    if not (metrics_dir / "loss.csv").is_file():
        return False
    manifest = whole_manifest(out_dir)
    return manifest is not None and all(part.fingerprint == identity for part in manifest.parts)
