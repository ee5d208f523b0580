"""Generate with and score several checkpoints of a training: how the model came along, in MLflow and here.

Each is worked off in a workspace of its own, `.mcld/evaluations/RUN/step-N`, which reads this one's data and
weights; its numbers go to a run below that of the model, and by step to the model's run itself.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from mcld.config import Params, parse_params
from mcld.data.manifest import MANIFEST_NAME, write_manifest
from mcld.errors import CheckpointError, WeightsError
from mcld.models import save_mcld
from mcld.stages import evaluate, generate
from mcld.stages.evaluation_record import found_evaluation, tell_files, tell_points
from mcld.stages.mapper import Mapper
from mcld.stages.model_evaluation import checkpoint_workspace
from mcld.stages.remember import run_of_checkpoint, run_of_model, told_folder
from mcld.stages.side_workspace import side_workspace, with_places_of
from mcld.stages.train import run_begun
from mcld.stages.training import MODEL_NAME, TRAINING_SECTIONS, checkpoints_dir, settings_of
from mcld.storage import fingerprint, read_json, sha256_of_file, write_json
from mcld.tracking import TrackedRun
from mcld.training.checkpoint_files import RECORD_NAME, read_record
from mcld.training.checkpoint_folders import run_dir, saved_steps, step_dir
from mcld.training.checkpoint_model import load_checkpoint_model
from mcld.types import Manifest, PartRecord
from mcld.workspace import Workspace

DONE_NAME = "done.json"
# A run that is not in MLflow yet is made first, that the others may be shown below it.
FLUSH_TIMEOUT_S, FLUSH_AWAY_TIMEOUT_S = 30.0, 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointScores:
    """What `evaluate` says of a checkpoint: its flat table."""

    step: int
    metrics: Mapping[str, float]
    reused: bool


def evaluate_checkpoints(
    params: Params, *, workspace: Workspace, mapper: Mapper, steps: Sequence[int] = ()
) -> tuple[CheckpointScores, ...]:
    """Score the checkpoints after `steps` steps, or all that are kept, in ascending order.

    `generate` and `evaluate` of `params` say how. What was scored so before is not scored again. Raises
    WeightsError when no training was begun here, CheckpointError for steps that are not kept or are damaged.
    """
    identity = run_begun(workspace)
    if identity is None:
        raise WeightsError(
            f"{workspace.stage_dir('train')}: no training was begun here; run `dvc repro train`"
        )
    checkpoints = [
        OneCheckpoint(identity=identity, step=step, workspace=workspace, wanted=params)
        for step in _chosen(steps, run=run_dir(checkpoints_dir(workspace), fingerprint=identity))
    ]
    params = checkpoints[-1].params
    with run_of_model(params, workspace=workspace, identity=identity) as parent:
        parent.flush(FLUSH_TIMEOUT_S, away_timeout_s=FLUSH_AWAY_TIMEOUT_S)
        return tuple(_score_and_tell(one, parent=parent, mapper=mapper) for one in checkpoints)


@dataclass(frozen=True, slots=True, kw_only=True)
class OneCheckpoint:
    """A checkpoint of the run `identity`, to be evaluated as `wanted` says."""

    identity: str
    step: int
    workspace: Workspace
    wanted: Params

    @property
    def checkpoint_dir(self) -> Path:
        """Where it lies."""
        run = run_dir(checkpoints_dir(self.workspace), fingerprint=self.identity)
        return step_dir(run, step=self.step)

    @property
    def own(self) -> Workspace:
        """The workspace in which it is evaluated."""
        return checkpoint_workspace(self.workspace, identity=self.identity, step=self.step)

    @property
    def params(self) -> Params:
        """As wanted, but for what shaped the model: that is as it was trained. Raises CheckpointError."""
        record = read_record(self.checkpoint_dir, fingerprint=self.identity)
        facts = cast("Mapping[str, Mapping[str, object]]", record["facts"])
        trained = parse_params(dict(facts["params"]), place=str(self.checkpoint_dir / RECORD_NAME))
        return self.wanted.model_copy(update={name: getattr(trained, name) for name in TRAINING_SECTIONS})

    def key(self) -> str:
        """Hash of all that its scores depend on."""
        params = self.params
        return fingerprint(
            {
                "checkpoint": sha256_of_file(self.checkpoint_dir / RECORD_NAME),
                "generate": [generate.FORMAT_VERSION, params.generate.model_dump(mode="json")],
                "evaluate": [evaluate.FORMAT_VERSION, params.evaluate.model_dump(mode="json")],
                "inputs": [
                    sha256_of_file(self.workspace.stage_dir(stage) / MANIFEST_NAME)
                    for stage in ("dataset", "weights", "densepose", "shards")
                ],
            }
        )


def _chosen(steps: Sequence[int], *, run: Path) -> list[int]:
    kept = saved_steps(run)
    listed = ", ".join(str(step) for step in kept) or "none"
    missing = sorted(set(steps) - set(kept))
    if missing or not kept:
        asked = ", ".join(str(step) for step in missing) or "any"
        raise CheckpointError(
            f"{run}: no checkpoint of step {asked}; there are: {listed}. runtime.keep_last_checkpoints and "
            "runtime.keep_every_steps say which a training keeps"
        )
    return sorted(set(steps)) or kept


def _score_and_tell(one: OneCheckpoint, *, parent: TrackedRun, mapper: Mapper) -> CheckpointScores:
    scores = _score(one, mapper=mapper)
    told_dir = told_folder(one.workspace, identity=one.identity, step=one.step)
    placed = with_places_of(one.params, root=one.workspace.root)
    found = found_evaluation(placed, workspace=one.own, told_dir=told_dir)
    tell_points(parent, found, step=one.step)
    nested = run_of_checkpoint(one.params, workspace=one.workspace, identity=one.identity, step=one.step)
    with nested as tracked:
        tell_points(tracked, found, step=one.step)
        tell_files(tracked, found)
        tracked.finish()
    return scores


def _score(one: OneCheckpoint, *, mapper: Mapper) -> CheckpointScores:
    metrics_path, done_path = one.own.metrics_dir / evaluate.METRICS_NAME, one.own.root / DONE_NAME
    key = one.key()
    reused = metrics_path.is_file() and done_path.is_file() and read_json(done_path) == {"key": key}
    if not reused:
        done_path.unlink(missing_ok=True)
        side_workspace(one.workspace, folder=one.own.root)
        _write_model(one)
        params = with_places_of(one.params, root=one.workspace.root)
        for stage in (generate, evaluate):
            stage.run(params, workspace=one.own, mapper=mapper)
        # The checkpoint has these weights; a copy of each would fill a disk.
        shutil.rmtree(one.own.stage_dir("train") / MODEL_NAME)
        write_json(done_path, value={"key": key})
    flat = cast("Mapping[str, float]", read_json(metrics_path))
    return CheckpointScores(step=one.step, metrics=flat, reused=reused)


def _write_model(one: OneCheckpoint) -> None:
    """The checkpoint's model as the stage `train` would leave it."""
    found = load_checkpoint_model(checkpoints_dir(one.workspace), fingerprint=one.identity, step=one.step)
    train_dir = one.own.stage_dir("train")
    shutil.rmtree(train_dir, ignore_errors=True)
    save_mcld(found.model, directory=train_dir / MODEL_NAME)
    files = sorted(path for path in (train_dir / MODEL_NAME).rglob("*") if path.is_file())
    manifest = Manifest(
        stage="train",
        format_version=1,
        settings=settings_of(one.params),
        parts=tuple(_part(path, index=index, one=one) for index, path in enumerate(files)),
        counts={"steps": one.step},
    )
    write_manifest(train_dir, manifest=manifest)


def _part(path: Path, *, index: int, one: OneCheckpoint) -> PartRecord:
    return PartRecord(
        index=index,
        path=str(path.relative_to(one.own.stage_dir("train"))),
        sha256=sha256_of_file(path),
        num_bytes=path.stat().st_size,
        num_items=1,
        fingerprint=one.identity,
    )
