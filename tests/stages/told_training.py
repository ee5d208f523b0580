"""A training as its journal tells it: 100 steps in two windows, on two GPUs, two hours of wall time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mcld.data.manifest import read_manifest, write_manifest
from mcld.tracking.events import PointsLogged, RunWanted, StatusSet, TagsSet
from mcld.tracking.journal import Journal
from mcld.types import PartRecord
from mcld.workspace import Workspace

START_MS = 1_767_225_600_000  # 2026-01-01 00:00 UTC
TAGS = {
    "git.commit": "0123456789abcdef0123456789abcdef01234567",
    "git.dirty": "true",
    "version.torch": "2.13.0",
    "mcld.device": "cuda",
    "mcld.num_processes": "2",
    "dvc.lock.sha256": "d" * 64,
}


def tell_training(directory: Path) -> None:
    """Write the journal into a folder of its own."""
    journal = Journal(directory)
    end_ms = START_MS + 7_200_000
    journal.append(
        [
            RunWanted(
                time_ms=START_MS,
                tracking_uri="sqlite:////home/me/mlflow.db",
                experiment="mcld",
                name="tiny-f",
            ),
            TagsSet(values=TAGS),
            StatusSet(time_ms=START_MS, status="RUNNING"),
            _points(40, {"train.images_per_s": 8.0, "train.data_wait_share": 0.01, "train.memory_gib": 9.0}),
            _points(100, {"train.images_per_s": 4.0, "train.data_wait_share": 0.05, "train.memory_gib": 8.0}),
            _points(100, {"train.skipped_steps": 3.0, "train.loss": 0.1}),
            *(_power(sample, after_s=after_s) for sample, after_s in enumerate((0, 20, 60, 1000, 1030))),
            StatusSet(time_ms=end_ms, status="FINISHED"),
        ]
    )


def write_trained(workspace: Workspace, *, identity: str) -> None:
    """Make the model of the train stage the one that this training ended in."""
    directory = workspace.stage_dir("train")
    part = PartRecord(index=0, path="model", sha256="0" * 64, num_bytes=1, num_items=1, fingerprint=identity)
    write_manifest(directory, manifest=replace(read_manifest(directory), parts=(part,)))
    tell_training(workspace.state_dir / "journal" / identity)


def _points(step: int, values: dict[str, float]) -> PointsLogged:
    points = tuple((name, step, value) for name, value in values.items())
    return PointsLogged(time_ms=START_MS + 1000 * step, points=points)


def _power(sample: int, *, after_s: int) -> PointsLogged:
    """200 W and 200 W; nobody watched between the third and the fourth sample."""
    points = tuple((f"system/gpu_{gpu}_power_usage_watts", sample, 200.0) for gpu in range(2))
    return PointsLogged(time_ms=START_MS + 1000 * after_s, points=points)
