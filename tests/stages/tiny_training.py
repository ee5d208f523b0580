"""A workspace ready for training on tiny untrained weights, and training there as a process of its own.

python -m tests.stages.tiny_training FOLDER PARAMS.json      runs the stage `train` as the command line does
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from mcld.config import Params
from mcld.stages.mapper import SerialMapper
from mcld.workspace import Workspace
from tests.stages.tiny_weights import write_tiny_weights

REPOSITORY_DIR = Path(__file__).resolve().parents[2]
STAGES_BEFORE = ("dataset", "densepose", "face", "texture", "weights", "latents", "shards")
PATIENCE_S = 300


def prepare(folder: Path, *, params: Params) -> Workspace:
    """Run every stage before `train`."""
    from mcld.stages import run_stage

    write_tiny_weights(folder / "base")
    workspace = Workspace(root=folder)
    for stage in STAGES_BEFORE:
        run_stage(stage, params, workspace=workspace, mapper=SerialMapper())
    return workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """The stage `train` in a folder, with these params."""

    folder: Path
    params: Params
    environment: Mapping[str, str] = field(default_factory=dict)  # of its processes, beside this one's

    @property
    def workspace(self) -> Workspace:
        return Workspace(root=self.folder)

    def start(self) -> subprocess.Popen[str]:
        path = self.write_params()
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY_DIR), "OMP_NUM_THREADS": "1"} | dict(
            self.environment
        )
        return subprocess.Popen(
            [sys.executable, "-m", "tests.stages.tiny_training", str(self.folder), str(path)],
            cwd=REPOSITORY_DIR,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, *, expect: int = 0) -> str:
        """Train to the end; what was said on stderr."""
        process = self.start()
        _, errors = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == expect, errors
        return errors

    def finish_here(self) -> None:
        """Train to the end in this process, which has paid for its imports already."""
        from mcld.stages import run_stage

        num_threads = torch.get_num_threads()
        torch.set_num_threads(1)  # as the processes have: another number adds up in another order
        try:
            run_stage("train", self.params, workspace=self.workspace, mapper=SerialMapper())
        finally:
            torch.set_num_threads(num_threads)

    def write_params(self) -> Path:
        path = self.folder / "params.json"
        path.write_text(self.params.model_dump_json())
        return path


def forget_training(workspace: Workspace) -> None:
    """Remove all that training left, but for what it has counted."""
    kept = workspace.state_dir / "flops"
    of_state = [path for path in workspace.state_dir.iterdir() if path != kept]
    for path in (workspace.stage_dir("train"), workspace.metrics_dir, *of_state):
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    for path in workspace.root.glob("mlflow.db*"):
        path.unlink()


def main(folder: Path, *, params: Params) -> None:
    """As `mcld run train` does, with its exit codes."""
    from mcld import __main__ as command_line
    from mcld.progress import log_to_stderr
    from mcld.stages import run_stage

    log_to_stderr()
    torch.set_num_threads(1)

    def train() -> None:
        run_stage("train", params, workspace=Workspace(root=folder), mapper=SerialMapper())

    command_line.with_exit_codes(train)


if __name__ == "__main__":
    main(Path(sys.argv[1]), params=Params.model_validate_json(Path(sys.argv[2]).read_text()))
