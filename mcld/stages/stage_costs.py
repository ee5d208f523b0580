"""What each stage's output took to make: a ledger of this machine, `.mcld/costs.jsonl`, a line a run.

A line names the manifest that the run ended with, so that a cost is told of the very output that lies there,
and of none that came from another machine or from a cache. A run that was killed leaves no line.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from mcld.data.manifest import MANIFEST_NAME
from mcld.storage import sha256_of_file
from mcld.types import Report
from mcld.workspace import Workspace

LEDGER_NAME = "costs.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRun:
    """One run of a stage that came to its end. `finished_ms` is since 1970, `manifest` its sha256."""

    stage: str
    seconds: float
    num_items: int
    num_reused: int
    manifest: str
    finished_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCost:
    """What the output that lies there took: the seconds of its runs, and when the last of them ended.

    Where `is_whole` is not set, parts were reused whose making is not known: it took more than that.
    """

    seconds: float
    num_items: int
    finished_ms: int
    is_whole: bool


def note_run(report: Report, *, workspace: Workspace) -> None:
    """Add a run that has just ended to the ledger. The workspace is held: nobody else writes."""
    run = StageRun(
        stage=report.stage,
        seconds=report.seconds,
        num_items=report.num_items,
        num_reused=report.num_reused,
        manifest=sha256_of_file(workspace.stage_dir(report.stage) / MANIFEST_NAME),
        finished_ms=time.time_ns() // 1_000_000,
    )
    path = _ledger(workspace)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A torn last line, after a kill, must not swallow this one: readers pass over empty lines.
    with path.open("a") as file:
        file.write(f"\n{json.dumps(asdict(run))}\n")


def stage_costs(workspace: Workspace) -> dict[str, StageCost]:
    """By stage, for the outputs that were made here; others are left out."""
    found: dict[str, StageCost] = {}
    manifests: dict[str, str] = {}
    for run in _runs(_ledger(workspace)):
        before = found.get(run.stage)
        if run.num_reused and before and manifests[run.stage] == run.manifest:
            continue  # all was there already
        cost = StageCost(
            seconds=run.seconds,
            num_items=run.num_items,
            finished_ms=run.finished_ms,
            is_whole=run.num_reused == 0,
        )
        if run.num_reused and before:
            cost = replace(cost, seconds=cost.seconds + before.seconds, is_whole=before.is_whole)
        found[run.stage], manifests[run.stage] = cost, run.manifest
    return {
        stage: cost
        for stage, cost in found.items()
        if _has_manifest(workspace.stage_dir(stage) / MANIFEST_NAME, sha256=manifests[stage])
    }


def _ledger(workspace: Workspace) -> Path:
    return workspace.state_dir / LEDGER_NAME


def _runs(path: Path) -> Iterator[StageRun]:
    """The runs of a ledger; what is no run, such as a torn line, is passed over."""
    if not path.is_file():
        return
    for line in path.read_text(errors="replace").splitlines():
        try:
            yield StageRun(**json.loads(line))
        except (ValueError, TypeError):
            continue


def _has_manifest(path: Path, *, sha256: str) -> bool:
    return path.is_file() and sha256_of_file(path) == sha256
