"""What it takes to make a run's model again, kept with it: settings, DVC's record of the data, results.

Artifacts of the run in MLflow, as JSON: `reproduce/made-from.json` when training begins,
`reproduce/model.json` when it has ended, `reproduce/evaluation.json` after an evaluation. `mcld reproduce`
and `mcld lineage` read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mcld.config import PARAMS_PATH, Params, parse_params, read_raw_params
from mcld.data.manifest import MANIFEST_NAME, read_manifest
from mcld.errors import ConfigError
from mcld.stages.side_workspace import STAGES_BEFORE
from mcld.storage import sha256_of_file
from mcld.tracking import TrackedRun
from mcld.workspace import Workspace

FOLDER = "reproduce"
MADE_FROM, MODEL, EVALUATION = (f"{FOLDER}/{name}.json" for name in ("made-from", "model", "evaluation"))
MODEL_STAGE, IMAGES_STAGE = "train", "generate"
LOCK_NAME = "dvc.lock"
# Of `runtime`, what decides how sums are rounded. The rest is speed and places, some of which hold passwords.
ROUNDING = (
    "num_workers",
    "device",
    "compile",
    "num_processes",
    "parallel",
    "accumulation_steps",
    "gradient_checkpointing",
    "cuda_graphs",
)
# What an evaluation adds to the settings of the training.
EVALUATION_SECTIONS = ("generate", "evaluate")


def tell_made_from(tracked: TrackedRun, params: Params, *, workspace: Workspace) -> None:
    """Before training: the settings, and what identifies the output of every stage before it."""
    weights = read_manifest(workspace.stage_dir("weights"))
    manifests = {stage: workspace.stage_dir(stage) / MANIFEST_NAME for stage in STAGES_BEFORE}
    value = {
        "settings": settings_of_run(params, root=workspace.root),
        "dvc_lock": inputs_lock(workspace.root),
        "manifests": {stage: sha256_of_file(path) for stage, path in manifests.items() if path.is_file()},
        "weights": {part.path: part.sha256 for part in weights.parts},
    }
    tracked.log_json(value, artifact_file=MADE_FROM)


def tell_model(tracked: TrackedRun, *, workspace: Workspace, identity: str) -> None:
    """After training: the sha256 of its files."""
    value = {"identity": identity, "files": model_files(workspace)}
    tracked.log_json(value, artifact_file=MODEL)


def tell_evaluation(tracked: TrackedRun, params: Params, *, workspace: Workspace) -> None:
    """After an evaluation: its settings, and the sha256 of images and metrics."""
    settings = settings_of_run(params, root=workspace.root)
    value = {
        "settings": {name: settings[name] for name in EVALUATION_SECTIONS if name in settings},
        "files": evaluation_files(workspace),
    }
    tracked.log_json(value, artifact_file=EVALUATION)


def settings_of_run(params: Params, *, root: Path) -> dict[str, object]:
    """All settings, in the words of params.yaml where these are meant: DVC compares words, not meanings."""
    settings = _as_written(params, root=root) or params.model_dump(mode="json")
    runtime = settings.get("runtime") or {}
    assert isinstance(runtime, Mapping)
    return {**settings, "runtime": {name: runtime[name] for name in ROUNDING if name in runtime}}


def inputs_lock(root: Path) -> dict[str, object]:
    """dvc.lock, of the stages before training; empty where there is none, or it is not DVC's."""
    path = root / LOCK_NAME
    if not path.is_file():
        return {}
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        lock = YAML(typ="safe").load(path.read_text())
        stages = lock["stages"]
        return {**lock, "stages": {name: stages[name] for name in STAGES_BEFORE if name in stages}}
    except (YAMLError, KeyError, TypeError):
        return {}


def model_files(workspace: Workspace) -> dict[str, str]:
    """Path to sha256 of the model and the figures of its training."""
    model = sorted((workspace.stage_dir(MODEL_STAGE) / "model").rglob("*"))
    metrics = [workspace.metrics_dir / name for name in ("train.json", "loss.csv")]
    return _hashes([*model, *metrics], root=workspace.root)


def evaluation_files(workspace: Workspace) -> dict[str, str]:
    """Path to sha256 of the generated images and the metrics."""
    images = sorted(workspace.stage_dir(IMAGES_STAGE).rglob("*.png"))
    return _hashes([*images, workspace.metrics_dir / "evaluate.json"], root=workspace.root)


def _hashes(paths: list[Path], *, root: Path) -> dict[str, str]:
    return {path.relative_to(root).as_posix(): sha256_of_file(path) for path in paths if path.is_file()}


def _as_written(params: Params, *, root: Path) -> dict[str, object] | None:
    """params.yaml as it stands, if it says what `params` say."""
    try:
        raw = read_raw_params(root / PARAMS_PATH)
        return raw if parse_params(raw, place=str(PARAMS_PATH)) == params else None
    except ConfigError:  # a workspace without one, or one that was edited since
        return None
