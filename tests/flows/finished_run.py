"""Run the whole pipeline in a checkout, miniature, and record it with DVC and git as a user would.

python -m tests.flows.finished_run FOLDER       in one process: twelve would each pay for the same imports
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import chdir
from pathlib import Path

from mcld.cli.reports import run_and_keep_report
from mcld.config import load_params
from mcld.stages import STAGES
from mcld.stages.mapper import SerialMapper
from mcld.stages.side_workspace import STAGES_BEFORE
from mcld.workspace import Workspace
from tests.workspaces import commit_all


def main(folder: Path) -> None:
    """Run all stages; DVC records those before training before it, as `dvc repro` does."""
    with chdir(folder):
        for spec in STAGES:
            if spec.name == "train":
                _dvc("commit", "--force", "--quiet", *STAGES_BEFORE)
            run_and_keep_report(spec.name, load_params(), workspace=Workspace(), mapper=SerialMapper())
        _dvc("commit", "--force", "--quiet")
    commit_all(folder)


def _dvc(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *arguments], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
