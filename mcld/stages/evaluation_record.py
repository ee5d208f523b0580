"""Tell a run what an evaluation found: metrics with their protocol, tables, and pictures of fixed pairs.

All comes from the two files that the stage `evaluate` writes, the same that DVC reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from mcld.config import Params
from mcld.data.codec import encode_png
from mcld.evaluation.run_scores import read_pair_scores
from mcld.evaluation.told import pair_table, protocol_names, summary_table
from mcld.stages.evaluate import METRICS_NAME, PER_PAIR_NAME, ROWS_NAME
from mcld.stages.pair_strips import PairStrip, pair_strips, strip_index
from mcld.storage import read_json, write_bytes, write_json
from mcld.tracking import TrackedRun
from mcld.workspace import Workspace

ARTIFACT_DIR = "evaluation"
STRIPS_NAME = "strips.json"
STRIP_KEY = "pairs"  # of the image panel: `pairs/000012`
# How images were made is set with tags: a run's params never change, and its images may be made anew.
GENERATE_TAG = "generate."


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundEvaluation:
    """An evaluation that is done: the files of a workspace, and what was derived from them to be sent.

    What is derived lies in `told_dir` until it is sent: it must outlive the command.
    """

    workspace: Workspace
    params: Params
    told_dir: Path
    flat: Mapping[str, object]
    strips: tuple[PairStrip, ...] = field(default=())

    @property
    def evaluate_dir(self) -> Path:
        """The stage's folder."""
        return self.workspace.stage_dir("evaluate")


def found_evaluation(params: Params, *, workspace: Workspace, told_dir: Path) -> FoundEvaluation:
    """Read what `evaluate` left in a workspace, and derive tables and pictures.

    Raises DataError when something is missing or damaged.
    """
    strips = pair_strips(params.dataset, generate=params.generate, workspace=workspace)
    flat = cast("Mapping[str, object]", read_json(workspace.metrics_dir / METRICS_NAME))
    found = FoundEvaluation(workspace=workspace, params=params, told_dir=told_dir, flat=flat, strips=strips)
    rows = cast("dict[str, Any]", read_json(found.evaluate_dir / ROWS_NAME))
    per_pair_path = found.evaluate_dir / PER_PAIR_NAME
    pairs = read_pair_scores(per_pair_path.read_bytes(), place=str(per_pair_path))
    write_json(told_dir / "metrics.json", value=summary_table(rows))
    write_json(told_dir / "per_pair.json", value=pair_table(pairs))
    write_json(told_dir / STRIPS_NAME, value=strip_index(strips))
    for strip in strips:
        write_bytes(_strip_path(told_dir, strip=strip), data=encode_png(strip.image))
    return found


def tell_points(tracked: TrackedRun, found: FoundEvaluation, *, step: int) -> None:
    """Metrics and pictures at a step: those of several steps stand in one chart and on one slider.

    Other images of the same model may have been scored before: a new value takes the place of the old.
    """
    tracked.log_metrics(protocol_names(found.flat), step=step, corrects=True)
    for strip in found.strips:
        path = _strip_path(found.told_dir, strip=strip)
        tracked.log_image(path, key=f"{STRIP_KEY}/{strip.pair.id}", step=step)


def tell_files(tracked: TrackedRun, found: FoundEvaluation) -> None:
    """The evaluation itself, its tables, and how the images were made."""
    for name in (ROWS_NAME, PER_PAIR_NAME):
        tracked.log_file(found.evaluate_dir / name, artifact_path=ARTIFACT_DIR)
    tracked.log_file(found.workspace.metrics_dir / METRICS_NAME, artifact_path=ARTIFACT_DIR)
    tracked.log_file(found.told_dir / STRIPS_NAME, artifact_path=ARTIFACT_DIR)
    for name in ("metrics.json", "per_pair.json"):
        tracked.log_table(found.told_dir / name, artifact_path=ARTIFACT_DIR)
    settings = found.params.generate.model_dump(mode="json")
    tracked.set_tags({f"{GENERATE_TAG}{key}": str(value) for key, value in settings.items()})


def _strip_path(told_dir: Path, *, strip: PairStrip) -> Path:
    return told_dir / f"pair-{strip.pair.id}.png"
