"""Measure `dvc repro` from nothing: seconds of each stage and of all, peak memory of any one process.

Run it in the project's folder: `python -m benchmarks.demo`. It works on a copy of what git tracks, in a
temporary folder, and prints one JSON line.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def copy_tracked(target: Path) -> None:
    """Clone the checkout as it is committed."""
    subprocess.run(["git", "clone", "--quiet", ".", str(target)], check=True)


def stage_seconds(root: Path) -> dict[str, float]:
    """What each stage said of its own time, without starting Python and importing."""
    reports = sorted((root / ".mcld" / "reports").glob("*.json"))
    return {path.stem: round(float(json.loads(path.read_text())["seconds"]), 1) for path in reports}


def main() -> None:
    """Run the default pipeline once and print what it took."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "mcld"
        copy_tracked(root)
        programs = Path(sys.executable).parent
        path = os.pathsep.join([str(programs), os.environ["PATH"]])
        quiet = {"DVC_NO_ANALYTICS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
        environment = {**os.environ, **quiet, "PATH": path}
        started = time.perf_counter()
        subprocess.run(["dvc", "repro"], cwd=root, env=environment, check=True, stdout=sys.stderr)
        seconds = time.perf_counter() - started
        peak_kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        result = {
            "benchmark": "dvc repro from nothing",
            "seconds": round(seconds, 1),
            "stages_s": stage_seconds(root),
            "peak_process_gib": round(peak_kib / 2**20, 2),
            "cores": os.cpu_count(),
            "machine": platform.machine(),
            "python": platform.python_version(),
        }
        print(json.dumps(result))


if __name__ == "__main__":
    main()
