"""Run the stage `texture` by the workers of a Ray cluster, each part taking its time.

python -m tests.stages.ray_stage PAUSE_S      in a workspace; exit codes are the command line's
"""

from __future__ import annotations

import sys

from mcld import __main__ as command_line
from mcld.config import load_params
from mcld.progress import log_to_stderr
from mcld.stages import run_stage
from mcld.stages.mapper import mapper_of
from mcld.workspace import Workspace
from tests.stages.paused import PausedMapper


def main(pause_s: float) -> None:
    log_to_stderr()
    params, workspace = load_params(), Workspace()
    mapper = PausedMapper(mapper=mapper_of(params.runtime, workspace=workspace), pause_s=pause_s)

    def run() -> None:
        run_stage("texture", params, workspace=workspace, mapper=mapper)

    command_line.with_exit_codes(run)


if __name__ == "__main__":
    main(float(sys.argv[1]))
