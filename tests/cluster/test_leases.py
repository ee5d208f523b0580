"""A worker that is given up ends itself, whoever can or cannot reach it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mcld.cluster.leases import grant, revoke, revoke_all
from mcld.cluster.setup import WorkerSetup, environment_for_workers, versions_here
from mcld.errors import ConfigError
from tests.workspaces import CHECKOUT, environment

PATIENCE_S = 60
HOLDER = (
    "import sys, time; from pathlib import Path; from mcld.cluster.leases import hold; "
    "hold(Path(sys.argv[1])); print(1, flush=True); time.sleep(1e6)"
)


def start_holder(lease: Path) -> subprocess.Popen[str]:
    """A process that would work for ever; it says when it has begun."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lease)],
        cwd=CHECKOUT,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_a_worker_ends_when_its_lease_is_revoked_alone_or_with_all(tmp_path: Path) -> None:
    leases = [grant(tmp_path / "ray" / name) for name in ("one", "other")]
    processes = [start_holder(lease) for lease in leases]
    revoke(leases[0])
    assert processes[0].wait(PATIENCE_S) == 1
    assert processes[1].poll() is None
    revoke_all(tmp_path / "ray")
    assert processes[1].wait(PATIENCE_S) == 1


def test_a_machine_that_would_make_other_bytes_or_does_not_see_the_workspace_is_refused(
    tmp_path: Path,
) -> None:
    setup = WorkerSetup(
        directory=tmp_path, lease=tmp_path / "lease", environment={}, versions=versions_here()
    )
    with pytest.raises(ConfigError, match=r"does not see .*; put the workspace into a folder that every"):
        setup.begin()
    program = (
        "import sys; from pathlib import Path; from mcld.cluster.setup import *; "
        "from mcld.cluster.leases import grant; p = Path(sys.argv[1]); grant(p / 'lease'); "
        "WorkerSetup(directory=p, lease=p / 'lease', environment={}, "
        "versions=versions_here() | {'numpy': '1.0'}).begin()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=CHECKOUT, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "would make other bytes, it runs numpy" in done.stderr
    assert "instead of 1.0; install the same there" in done.stderr


def test_passwords_are_handed_on_and_not_shown() -> None:
    handed = environment_for_workers({"MCLD_DEEPFASHION_PASSWORD": "canary", "HOME": "/home/me"})
    assert handed == {"MCLD_DEEPFASHION_PASSWORD": "canary"}
    setup = WorkerSetup(directory=Path(), lease=Path(), environment=handed, versions={})
    assert "canary" not in repr(setup)
