"""Measure what a user waits for when nothing is to be done: `mcld --help`, and `dvc repro` when all is fresh.

Run it in the project's folder after `make demo`: `python -m benchmarks.startup`. One JSON line a result.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

REPEATS = 5
COMMANDS: dict[str, tuple[str, ...]] = {
    "mcld --help": ("-m", "mcld", "--help"),
    "mcld params": ("-m", "mcld", "params"),
    "no-op dvc repro": ("-m", "dvc", "repro"),
}


def seconds(arguments: Sequence[str]) -> float:
    """How long one run of this Python with `arguments` takes. Raises CalledProcessError when it fails."""
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=environment)
    return time.perf_counter() - started


def main() -> None:
    """Print the median, the best and the worst of several runs after one to warm up."""
    for name, arguments in COMMANDS.items():
        seconds(arguments)
        times = sorted(seconds(arguments) for _ in range(REPEATS))
        result = {"median_s": statistics.median(times), "best_s": times[0], "worst_s": times[-1]}
        rounded = {key: round(value, 3) for key, value in result.items()}
        print(json.dumps({"benchmark": name, "repeats": REPEATS, **rounded}))


if __name__ == "__main__":
    main()
