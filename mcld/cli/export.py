"""Write the trained model of a workspace as one folder that diffusers loads, with its model card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcld.errors import WeightsError
from mcld.storage import read_json

if TYPE_CHECKING:
    from mcld.config import GenerateParams
    from mcld.types import Manifest
    from mcld.workspace import Workspace

MODEL_NAME = "model"
METRICS_NAME = "train.json"


def export_pipeline(out_dir: Path, params: GenerateParams, *, workspace: Workspace) -> None:
    """Collect model, VAE, image encoder and scheduler into `out_dir`, whole or not at all.

    The scheduler samples as the stage `generate` does with `params`. Raises ConfigError when `out_dir` holds
    anything but an earlier export, WeightsError when nothing is trained yet or what was is damaged.
    """
    from mcld.inference.folder import check_replaceable

    check_replaceable(out_dir)
    manifest = _trained(workspace)

    from mcld.conditions.encoders import load_image_encoder, load_vae
    from mcld.config import DiffusionParams
    from mcld.diffusion import ddim_scheduler
    from mcld.inference.generate import sampling_schedule
    from mcld.inference.pipeline import MCLDPipeline
    from mcld.models import load_mcld

    weights_dir = workspace.stage_dir("weights")
    diffusion = DiffusionParams.model_validate(manifest.settings["diffusion"])
    pipeline = MCLDPipeline(
        model=load_mcld(workspace.stage_dir("train") / MODEL_NAME),
        vae=load_vae(weights_dir / "vae"),
        scheduler=ddim_scheduler(sampling_schedule(params, diffusion=diffusion)),
        image_encoder=load_image_encoder(weights_dir / "image_encoder"),
        training=training_facts(manifest, workspace=workspace),
    )
    pipeline.save_pretrained(out_dir)


def describe_export(out_dir: Path) -> str:
    """Where the pipeline is, and the lines that load it."""
    from mcld.inference.model_card import LOADING

    return f"{out_dir}: a pipeline in diffusers' layout; README.md there is its card. To use it:\n\n" + (
        LOADING.format(name=out_dir).rstrip()
    )


def training_facts(manifest: Manifest, *, workspace: Workspace) -> dict[str, Any]:
    """What the workspace has recorded of its training run: counts, losses, settings. Nothing is made up."""
    facts: dict[str, Any] = dict(manifest.counts)
    metrics_path = workspace.metrics_dir / METRICS_NAME
    if metrics_path.is_file():
        metrics = read_json(metrics_path)
        assert isinstance(metrics, dict)
        facts |= metrics
    for stage, key in (("dataset", "source"), ("weights", "preset")):
        facts |= _recorded_setting(workspace.stage_dir(stage), key=key)
    for section, values in manifest.settings.items():
        assert isinstance(values, dict)
        facts |= {f"{section}.{key}": value for key, value in values.items()}
    return facts


def _recorded_setting(stage_dir: Path, *, key: str) -> dict[str, Any]:
    """One setting of a stage, as "stage.key", if the stage has recorded it here."""
    from mcld.data.manifest import MANIFEST_NAME, read_manifest

    if not (stage_dir / MANIFEST_NAME).is_file():
        return {}
    settings = read_manifest(stage_dir).settings
    return {f"{stage_dir.name}.{key}": settings[key]} if key in settings else {}


def _trained(workspace: Workspace) -> Manifest:
    from mcld.data.manifest import MANIFEST_NAME, whole_manifest

    train_dir = workspace.stage_dir("train")
    if not (train_dir / MANIFEST_NAME).is_file():
        raise WeightsError(f"{train_dir}: no finished training here; run `dvc repro train`, then export")
    manifest = whole_manifest(train_dir)
    if manifest is None:
        raise WeightsError(f"{train_dir}: the trained model is damaged; run `mcld run train` again")
    return manifest
