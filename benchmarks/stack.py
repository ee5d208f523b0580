"""Measure the team's stack: until it is up, in a new folder and again, what it holds, and until it is gone.

Run it in a checkout: `python -m benchmarks.stack`. One JSON line each; ports are moved as for `make stack`.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

MIB = 1 << 20


def start_and_stop(state_dir: Path) -> dict[str, float | int]:
    """Seconds and memory of one stack in that folder. Raises RuntimeError when it does not come up."""
    environment = {**os.environ, "MCLD_STACK_DIR": str(state_dir)}
    used_before = _children_cpu_s()
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "infra.stack"], env=environment, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    said = next((line for line in process.stderr if line.startswith("stack: up")), None)
    if said is None:
        raise RuntimeError(f"the stack ended with {process.wait()}")
    up_s = time.perf_counter() - started
    family = psutil.Process(process.pid).children(recursive=True)
    held_bytes = sum(one.memory_full_info().pss for one in family)
    stopping = time.perf_counter()
    process.send_signal(signal.SIGINT)
    process.communicate()
    return {
        "up_s": round(up_s, 1),
        "stop_s": round(time.perf_counter() - stopping, 1),
        "cpu_s": round(_children_cpu_s() - used_before, 1),
        "processes": len(family),
        "memory_mib": round(held_bytes / MIB),
    }


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Print a new stack's figures, and those of the same one started again."""
    # Not below a folder of ours alone: PostgreSQL may run as another user.
    with tempfile.TemporaryDirectory(prefix="mcld-stack-") as name:
        Path(name).chmod(0o711)
        for case in ("new", "again"):
            print(json.dumps({"benchmark": f"stack, {case}", **start_and_stop(Path(name) / "stack")}))


if __name__ == "__main__":
    main()
