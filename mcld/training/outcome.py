"""What a training process leaves behind for the command that started it: its number, and how it ended."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mcld.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    MCLDError,
    StorageError,
    TrainingStoppedError,
    WeightsError,
    WorkerError,
)
from mcld.storage import read_json, write_json

EXIT_USER_ERROR = 2
KINDS: tuple[type[MCLDError], ...] = (
    CheckpointError,
    ConfigError,
    DataError,
    StorageError,
    TrainingStoppedError,
    WeightsError,
    WorkerError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFiles:
    """Files by which a command, the agent that it starts and the ranks tell each other how things stand."""

    directory: Path

    @property
    def job(self) -> Path:
        """What the agent is to start."""
        return self.directory / "job.json"

    @property
    def lost(self) -> Path:
        """Which rank was lost, written by the agent."""
        return self.directory / "lost.json"

    @property
    def stop(self) -> Path:
        """Asks ranks that no signal reaches to stop, by being there; holds the signal's number."""
        return self.directory / "stop"

    def process(self, rank: int) -> Path:
        """The process number of a rank, once it can be signalled."""
        return self.directory / f"rank-{rank}.pid"

    def outcome(self, rank: int) -> Path:
        """The sentence with which a rank ended."""
        return self.directory / f"rank-{rank}.json"

    def process_ids(self) -> list[int]:
        """Ranks of this machine that can be signalled."""
        return [int(path.read_text()) for path in sorted(self.directory.glob("rank-*.pid"))]

    def outcomes(self) -> list[MCLDError]:
        """What ranks ended with, in the order in which they did."""
        paths = sorted(self.directory.glob("rank-*.json"), key=lambda path: path.stat().st_mtime_ns)
        return [_error_of(read_json(path)) for path in paths]


def run_rank(files: JobFiles, *, rank: int, train: Callable[[], None]) -> None:
    """Do a rank's work. An error for the user is left in its file, for the command to tell it once.

    A rank that stops since it was asked to ends well: nothing was lost.
    """
    files.process(rank).write_text(str(os.getpid()))
    try:
        train()
    except MCLDError as error:
        write_outcome(files, rank=rank, error=error)
        if not isinstance(error, TrainingStoppedError):
            sys.exit(EXIT_USER_ERROR)


def write_outcome(files: JobFiles, *, rank: int, error: MCLDError) -> None:
    """Leave a sentence for the command."""
    write_json(files.outcome(rank), value={"kind": type(error).__name__, "message": str(error)})


def _error_of(value: object) -> MCLDError:
    assert isinstance(value, dict)
    kinds = {kind.__name__: kind for kind in KINDS}
    return kinds.get(str(value["kind"]), MCLDError)(str(value["message"]))
