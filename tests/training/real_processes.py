"""Start `rank_worker` for real: alone, under torchrun, or as ranks that nobody watches over."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.torchrun import run_two, start

MODULE = "tests.training.rank_worker"


def plan_of(directory: Path, *, cases: list[dict[str, Any]]) -> Path:
    """Write the plan of some cases."""
    path = directory / "plan.json"
    path.write_text(json.dumps(cases))
    return path


def start_alone(plan: Path) -> subprocess.Popen[str]:
    """One process that is all there is."""
    return start(sys.executable, "-m", MODULE, str(plan))


def run_torchrun(plan: Path) -> subprocess.CompletedProcess[str]:
    """Two processes under torchrun, to their end."""
    return run_two("-m", MODULE, str(plan))


def start_two_ranks(plan: Path) -> list[subprocess.Popen[str]]:
    """Two processes as torchrun would start them, without anyone who ends one when the other dies."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
    }
    return [
        start(sys.executable, "-m", MODULE, str(plan), RANK=str(rank), LOCAL_RANK=str(rank), **common)
        for rank in range(2)
    ]


def told(directory: Path, *, rank: int = 0) -> dict[str, Any]:
    """What a process left of a case."""
    value: dict[str, Any] = json.loads((directory / f"rank-{rank}.json").read_text())
    return value
