"""Start real processes of this repository: alone, or two under torchrun."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY_DIR = Path(__file__).resolve().parents[1]
TIMEOUT_S = 300
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def start(*command: str, **environment: str) -> subprocess.Popen[str]:
    """A process in the repository, with one thread; what it writes comes back through pipes."""
    return subprocess.Popen(
        command,
        env={
            **{name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")},
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(REPOSITORY_DIR),
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
            **environment,
        },
        cwd=REPOSITORY_DIR,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_two(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Two processes under torchrun, to their end."""
    process = start(*TORCHRUN, *arguments)
    try:
        output, errors = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)
