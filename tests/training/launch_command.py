"""A command that launches two ranks, for tests that signal or kill it.

python -m tests.training.launch_command FOLDER WAY
"""

from __future__ import annotations

import sys
from pathlib import Path

from mcld.config import RuntimeParams
from mcld.errors import MCLDError
from mcld.training.launch import launch
from mcld.training.placement import Placement


def main(directory: Path, *, way: str) -> None:
    job_dir = directory / "job"
    arguments = ["-m", "tests.training.launch_rank", str(job_dir), way]
    try:
        launch(arguments, placement=Placement(num_processes=2), runtime=RuntimeParams(), job_dir=job_dir)
    except MCLDError as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), way=sys.argv[2])
