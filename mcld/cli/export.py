"""Write the trained model of a workspace as one folder that diffusers loads, with its model card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcld.errors import WeightsError
from mcld.storage import read_json

if TYPE_CHECKING:
    from mcld.config import Params
    from mcld.evaluation.run_scores import RunScores
    from mcld.models import MCLD
    from mcld.workspace import Workspace

MODEL_NAME = "model"
METRICS_NAME = "train.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A model, the settings of its training by section, and what else is known of it, for the card."""

    model: MCLD
    settings: Mapping[str, Any]
    facts: Mapping[str, Any]
    scores: RunScores | None


def export_pipeline(out_dir: Path, params: Params, *, workspace: Workspace, step: int | None = None) -> None:
    """Collect model, VAE, image encoder and scheduler into `out_dir`, whole or not at all.

    The model is the finished one, or that of the run's checkpoint after `step` steps. The scheduler samples
    as the stage `generate` does with `params`, and own photographs will be prepared as these say. Raises
    ConfigError when `out_dir` holds anything but an earlier export, WeightsError when nothing is trained yet
    or what was is damaged, CheckpointError when there is no such checkpoint or it is damaged.
    """
    from mcld.inference.folder import check_replaceable

    check_replaceable(out_dir)
    trained = _finished(workspace) if step is None else _checkpoint(workspace, step=step)

    from mcld.conditions.encoders import load_image_encoder, load_vae
    from mcld.config import DiffusionParams
    from mcld.diffusion import ddim_scheduler
    from mcld.evaluation.card import evaluation_section
    from mcld.inference.generate import sampling_schedule
    from mcld.inference.photos.preparation import preparation_of
    from mcld.inference.pipeline import MCLDPipeline

    weights_dir = workspace.stage_dir("weights")
    diffusion = DiffusionParams.model_validate(trained.settings["diffusion"])
    pipeline = MCLDPipeline(
        model=trained.model,
        vae=load_vae(weights_dir / "vae"),
        scheduler=ddim_scheduler(sampling_schedule(params.generate, diffusion=diffusion)),
        image_encoder=load_image_encoder(weights_dir / "image_encoder"),
        training=training_facts(trained, workspace=workspace),
        evaluation=None if trained.scores is None else evaluation_section(trained.scores),
        preparation=preparation_of(
            params, recogniser_sha256=_setting(workspace.stage_dir("face"), key="recogniser_sha256")
        ).model_dump(mode="json"),
    )
    pipeline.save_pretrained(out_dir)


def describe_export(out_dir: Path) -> str:
    """Where the pipeline is, and the lines that load it."""
    from mcld.inference.model_card import LOADING

    return f"{out_dir}: a pipeline in diffusers' layout; README.md there is its card. To use it:\n\n" + (
        LOADING.format(name=out_dir).rstrip()
    )


def training_facts(trained: Trained, *, workspace: Workspace) -> dict[str, Any]:
    """What the workspace has recorded of a model's training: counts, losses, settings. Nothing is made up."""
    facts: dict[str, Any] = dict(trained.facts)
    for stage, key in (("dataset", "source"), ("weights", "preset")):
        value = _setting(workspace.stage_dir(stage), key=key)
        facts |= {} if value is None else {f"{stage}.{key}": value}
    for section, values in trained.settings.items():
        assert isinstance(values, dict)
        facts |= {f"{section}.{key}": value for key, value in values.items()}
    return facts


def _setting(stage_dir: Path, *, key: str) -> Any:  # noqa: ANN401  # a plain value
    """One setting of a stage, or None where the stage has recorded none of that name here."""
    from mcld.data.manifest import MANIFEST_NAME, read_manifest

    if not (stage_dir / MANIFEST_NAME).is_file():
        return None
    return read_manifest(stage_dir).settings.get(key)


def _finished(workspace: Workspace) -> Trained:
    """The result of the stage `train`."""
    from mcld.data.manifest import MANIFEST_NAME, whole_manifest
    from mcld.models import load_mcld
    from mcld.stages.model_evaluation import evaluation_of_model

    train_dir = workspace.stage_dir("train")
    if not (train_dir / MANIFEST_NAME).is_file():
        raise WeightsError(
            f"{train_dir}: no finished training here; run `dvc repro train`, then export, or export a "
            "checkpoint with --step"
        )
    manifest = whole_manifest(train_dir)
    if manifest is None:
        raise WeightsError(f"{train_dir}: the trained model is damaged; run `mcld run train` again")
    facts: dict[str, Any] = dict(manifest.counts)
    metrics_path = workspace.metrics_dir / METRICS_NAME
    if metrics_path.is_file():
        metrics = read_json(metrics_path)
        assert isinstance(metrics, dict)
        facts |= metrics
    return Trained(
        model=load_mcld(train_dir / MODEL_NAME),
        settings=manifest.settings,
        facts=facts,
        scores=evaluation_of_model(workspace, identity=manifest.parts[0].fingerprint),
    )


def _checkpoint(workspace: Workspace, *, step: int) -> Trained:
    """A checkpoint of the run that the stage `train` has begun, or finished, here."""
    from mcld.stages.model_evaluation import evaluation_of_checkpoint
    from mcld.stages.train import run_begun
    from mcld.stages.training import TRAINING_SECTIONS, checkpoints_dir
    from mcld.training.checkpoint_model import load_checkpoint_model

    identity = run_begun(workspace)
    if identity is None:
        raise WeightsError(
            f"{workspace.stage_dir('train')}: no training was begun here; run `dvc repro train`"
        )
    found = load_checkpoint_model(checkpoints_dir(workspace), fingerprint=identity, step=step)
    params = found.facts["params"]
    assert isinstance(params, dict)
    settings = {name: params[name] for name in TRAINING_SECTIONS}
    scores = evaluation_of_checkpoint(workspace, identity=identity, step=step)
    return Trained(model=found.model, settings=settings, facts={"steps": found.step}, scores=scores)
