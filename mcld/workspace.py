"""Where a run keeps its files, and the lock that keeps two runs out of one workspace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mcld.errors import WorkspaceBusyError
from mcld.storage import locks

# Of the state folder: what evaluations know of the data set's images. Workspaces beside share it.
REAL_IMAGES = Path("evaluate") / "real"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """Paths of one pipeline's outputs. `root` is the folder of params.yaml and dvc.yaml."""

    root: Path = Path()

    def stage_dir(self, stage: str) -> Path:
        """The one folder that a stage writes; versioned by DVC."""
        return self.root / "artifacts" / stage

    @property
    def metrics_dir(self) -> Path:
        """Metrics and plot data as JSON and CSV; fed to DVC and MLflow alike."""
        return self.root / "metrics"

    @property
    def state_dir(self) -> Path:
        """What concerns this machine alone (lock, timings, run ids); never versioned."""
        return self.root / ".mcld"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the workspace. The lock dies with its process, so a killed run never blocks the next.

        Raises WorkspaceBusyError naming the process that holds it.
        """
        try:
            with locks.held(self.state_dir / "run.lock"):
                yield
        except locks.HeldError as error:
            raise WorkspaceBusyError(
                f"{self.root.resolve()}: process {error.holder} is running a stage here; "
                f"wait for it or stop it (kill {error.holder})"
            ) from error
