"""A real Ray cluster for tests: a head and another machine's raylet, on loopback, with token authentication.

python -m tests.ray_cluster FOLDER      says where it is, one JSON line; ends when its stdin does
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY_DIR = Path(__file__).resolve().parents[1]
PATIENCE_S = 300
CPUS_OF_HEAD, CPUS_OF_OTHER = 1, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RayCluster:
    """Where it is, and the processes that can be killed."""

    address: str
    head_pid: int  # of the cluster's memory, the GCS
    other_raylet_pid: int
    token_path: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a command needs to join it: Ray's own variables."""
        return environment_of(self.token_path) | {"RAY_ADDRESS": self.address}


def environment_of(token_path: Path) -> dict[str, str]:
    """Loopback alone, no reports on its user, and a token."""
    return {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray's name for: leave 127.0.0.1 as it is
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_path),
        "RAY_TMPDIR": str(token_path.parent),
        "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # a process less
        "OMP_NUM_THREADS": "1",
    }


@contextmanager
def running_cluster() -> Iterator[RayCluster]:
    """A cluster of two raylets with a core each, gone afterwards."""
    # Not under pytest's folders: a socket's path may have 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    token_path = folder / "token"
    token_path.write_text("0123456789abcdef" * 4)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.ray_cluster", str(folder)],
        cwd=REPOSITORY_DIR,
        env={**os.environ, **environment_of(token_path), "PYTHONPATH": str(REPOSITORY_DIR)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        yield RayCluster(**told, token_path=token_path)
    finally:
        process.communicate(timeout=PATIENCE_S)
        shutil.rmtree(folder, ignore_errors=True)


def main(folder: Path) -> None:
    from ray.cluster_utils import Cluster

    common: dict[str, Any] = {"include_dashboard": False, "object_store_memory": 80 << 20}
    (folder / "ray").mkdir()
    cluster = Cluster(initialize_head=True, head_node_args={**common, "num_cpus": CPUS_OF_HEAD})
    other = cluster.add_node(**common, num_cpus=CPUS_OF_OTHER)
    sys.stdout.write(
        json.dumps(
            {
                "address": cluster.address,
                "head_pid": _pid(cluster.head_node, "gcs_server"),
                "other_raylet_pid": _pid(other, "raylet"),
            }
        )
        + "\n"
    )
    sys.stdout.flush()
    sys.stdin.read()
    cluster.shutdown()


def _pid(node: Any, kind: str) -> int:
    return int(node.all_processes[kind][0].process.pid)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
