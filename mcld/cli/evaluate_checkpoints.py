"""`mcld evaluate-checkpoints`: a line a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mcld.config import Params
    from mcld.workspace import Workspace

SHOWN = ("ssim", "lpips_alex", "fid_a", "silhouette_iou", "colour_error_torso")


def score_checkpoints(params: Params, *, workspace: Workspace, steps: Sequence[int]) -> str:
    """Score the kept checkpoints, or those of `steps`; returns a table of their first metrics.

    Raises what `evaluate_checkpoints` does, and WorkspaceBusyError.
    """
    from mcld.stages.checkpoint_evaluation import evaluate_checkpoints
    from mcld.stages.mapper import mapper_of

    with workspace.locked():
        found = evaluate_checkpoints(
            params, workspace=workspace, mapper=mapper_of(params.runtime, workspace=workspace), steps=steps
        )
    names = [name for name in SHOWN if any(name in one.metrics for one in found)]
    lines = [f"{'step':>8}" + "".join(f"{name:>20}" for name in names)]
    for one in found:
        cells = "".join(
            f"{one.metrics[name]:>20.4f}" if name in one.metrics else f"{'–':>20}" for name in names
        )
        lines.append(f"{one.step:>8}{cells}{'  scored before' if one.reused else ''}")
    return "\n".join(lines)
