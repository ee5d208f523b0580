"""A worker that is given up ends itself, whoever can or cannot reach it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mcld.cluster.leases import grant, revoke, revoke_all, take_over
from mcld.cluster.setup import WorkerSetup
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
    (tmp_path / "ray").mkdir()
    leases = [grant(tmp_path / "ray" / name) for name in ("one", "other")]
    processes = [start_holder(lease) for lease in leases]
    revoke(leases[0])
    assert processes[0].wait(PATIENCE_S) == 1
    assert processes[1].poll() is None
    revoke_all(tmp_path / "ray")
    assert processes[1].wait(PATIENCE_S) == 1


def test_who_takes_over_works_alone(tmp_path: Path) -> None:
    first = take_over(tmp_path, holder="rank-0")
    process = start_holder(first)
    second = take_over(tmp_path, holder="rank-0")
    assert process.wait(PATIENCE_S) == 1
    assert list(tmp_path.iterdir()) == [second]


def test_a_machine_that_would_make_other_bytes_or_does_not_see_the_workspace_is_refused(
    tmp_path: Path,
) -> None:
    setup = WorkerSetup.here(tmp_path, environment={})
    setup.check()
    with pytest.raises(
        ConfigError, match=r"would make other bytes, it runs numpy \S+ instead of 1\.0; install"
    ):
        replace(setup, versions={**setup.versions, "numpy": "1.0"}).check()
    with pytest.raises(ConfigError, match=r"does not see .*elsewhere; put the workspace into a folder that"):
        replace(setup, leases_dir=tmp_path / "elsewhere").check()


def test_passwords_are_handed_on_and_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCLD_DEEPFASHION_PASSWORD", "canary")
    setup = WorkerSetup.here(tmp_path, environment={})
    assert setup.environment["MCLD_DEEPFASHION_PASSWORD"] == "canary"
    assert "HOME" not in setup.environment
    assert "canary" not in repr(setup)
