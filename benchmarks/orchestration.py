"""What the orchestrators cost a stage: one miniature pipeline by `dvc repro` and as a Prefect deployment.

    python -m benchmarks.orchestration [--repeats 3]

Each time all stages run from nothing, and then once more when all are fresh; the server and its worker are up
already. What a stage says of its own time is taken off; the rest, by stage, is what starting, asking DVC,
recording and showing cost. One JSON line a door.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path

from benchmarks.demo import stage_seconds
from mcld.stages import STAGES
from tests.flows.prefect_site import PrefectSite, prefect_site

MADE = ("artifacts", "metrics", ".mcld", "mlflow.db", "mlartifacts", "dvc.lock", ".dvc/cache", ".dvc/tmp")


def empty(checkout: Path) -> None:
    """Leave only what git tracks."""
    for name in MADE:
        path = checkout / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def by_dvc(site: PrefectSite) -> None:
    """`dvc repro`."""
    subprocess.run(
        [sys.executable, "-m", "dvc", "repro"],
        cwd=site.checkout,
        env=site.environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def by_prefect(site: PrefectSite) -> None:
    """`prefect deployment run mcld/pipeline`, until it is over."""
    run_id = site.start("mcld/pipeline")
    state, said = site.finished(run_id, timeout_s=1200)
    assert state == "Completed", said


def seconds(function: Callable[[PrefectSite], None], *, site: PrefectSite) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    function(site)
    return time.perf_counter() - started


def measured(door: Callable[[PrefectSite], None], *, site: PrefectSite, repeats: int) -> dict[str, object]:
    """Medians over `repeats` runs from nothing, each followed by one that finds everything fresh."""
    overheads, fresh = [], []
    for _ in range(repeats):
        empty(site.checkout)
        whole = seconds(door, site=site)
        overheads.append((whole - sum(stage_seconds(site.checkout).values())) / len(STAGES))
        fresh.append(seconds(door, site=site) / len(STAGES))
    return {
        "overhead_s_per_stage": round(statistics.median(overheads), 2),
        "fresh_s_per_stage": round(statistics.median(fresh), 2),
        "num_stages": len(STAGES),
        "repeats": repeats,
    }


def main() -> None:
    """Measure both doors in turn, on one server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    facts = {
        "benchmark": "orchestration",
        "date": date.today().isoformat(),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "machine": platform.machine(),
        "versions": {name: version(name) for name in ("prefect", "dvc")},
    }
    with tempfile.TemporaryDirectory() as folder, prefect_site(Path(folder)) as site:
        for name, door in {"dvc repro": by_dvc, "prefect deployment": by_prefect}.items():
            print(json.dumps(facts | {"door": name} | measured(door, site=site, repeats=repeats)), flush=True)


if __name__ == "__main__":
    main()
