"""Which evaluation belongs to which model: the files alone do not say, and a card must not borrow numbers."""

from __future__ import annotations

from pathlib import Path

from mcld.evaluation.run_scores import RunScores, read_run_scores
from mcld.stages.evaluate import ROWS_NAME
from mcld.storage import read_json, sha256_of_file, write_json
from mcld.workspace import Workspace

RECORD_NAME = "evaluated.json"


def note_evaluation(workspace: Workspace, *, identity: str) -> None:
    """Write down that what `evaluate` left is of the model that `identity` names."""
    value = {"identity": identity, "rows": sha256_of_file(_rows_path(workspace))}
    write_json(_record_path(workspace), value=value)


def evaluation_of_model(workspace: Workspace, *, identity: str) -> RunScores | None:
    """The evaluation of the finished model; None where there is none, or it is another model's."""
    record, rows = _record_path(workspace), _rows_path(workspace)
    if not record.is_file() or not rows.is_file():
        return None
    if read_json(record) != {"identity": identity, "rows": sha256_of_file(rows)}:
        return None
    return read_run_scores(read_json(rows), per_pair=None, place=str(rows))


def evaluation_of_checkpoint(workspace: Workspace, *, identity: str, step: int) -> RunScores | None:
    """The evaluation of a checkpoint by `mcld evaluate-checkpoints`; None where there is none."""
    rows = _rows_path(checkpoint_workspace(workspace, identity=identity, step=step))
    if not rows.is_file():
        return None
    return read_run_scores(read_json(rows), per_pair=None, place=str(rows))


def checkpoint_workspace(workspace: Workspace, *, identity: str, step: int) -> Workspace:
    """Where the checkpoint of a run after `step` steps is evaluated."""
    folder = workspace.state_dir.resolve() / "evaluations" / identity[:16]
    return Workspace(root=folder / f"step-{step:06d}")


def _rows_path(workspace: Workspace) -> Path:
    return workspace.stage_dir("evaluate") / ROWS_NAME


def _record_path(workspace: Workspace) -> Path:
    return workspace.state_dir / RECORD_NAME
