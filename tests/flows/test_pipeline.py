"""The deployment on a real Prefect server with a real worker does the job of `dvc repro`."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from mcld.stages import STAGES
from tests.workspaces import environment, make_checkout, run_python

SERVER_TIMEOUT_S = 90
RUN_TIMEOUT_S = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefectSite:
    """A folder, and the environment in which its commands talk to a Prefect server."""

    checkout: Path
    environment: dict[str, str]

    def prefect(self, *arguments: str, timeout_s: float = 60, fails: bool = False) -> str:
        """Run Prefect's command line; returns what it printed. Fails the test unless it does as expected."""
        command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
        done = subprocess.run(
            command,
            cwd=self.checkout,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert (done.returncode != 0) is fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    def run(self, deployment: str, *, fails: bool = False) -> str:
        """Run a deployment to its end; returns what was printed."""
        watch = ("--watch", "--watch-timeout", str(RUN_TIMEOUT_S))
        return self.prefect(
            "deployment", "run", deployment, *watch, timeout_s=RUN_TIMEOUT_S + 30, fails=fails
        )


@pytest.fixture
def site(tmp_path: Path) -> Iterator[PrefectSite]:
    """A miniature checkout, a server on a free loopback port, and a worker on its pool `cpu`."""
    port = _free_port()
    api_url = f"http://127.0.0.1:{port}/api"
    checkout = make_checkout(tmp_path / "checkout")
    site = PrefectSite(
        checkout=checkout,
        environment=environment(
            PREFECT_HOME=str(tmp_path / "prefect"), PREFECT_API_URL=api_url, PREFECT_WORKER_QUERY_SECONDS="2"
        ),
    )
    server = ("server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui", "--analytics-off")
    with _running(site, *server, log_path=tmp_path / "server.log"):
        _wait_for(f"{api_url}/health")
        for pool in ("cpu", "gpu"):
            site.prefect("work-pool", "create", pool, "--type", "process")
        worker = ("worker", "start", "--pool", "cpu")
        with _running(site, *worker, log_path=tmp_path / "worker.log"):
            yield site


@pytest.mark.slow
def test_deployment_makes_everything_and_leaves_dvc_nothing_to_do(site: PrefectSite) -> None:
    site.prefect("deploy", "--all")
    output = site.run("mcld/pipeline")
    assert "finished successfully" in output, output

    status = run_python("-m", "dvc", "status", "--json", cwd=site.checkout)
    assert json.loads(status.stdout) == {}
    repro = run_python("-m", "dvc", "repro", cwd=site.checkout)
    unchanged = [f"Stage '{spec.name}' didn't change, skipping" for spec in STAGES]
    assert sorted(line for line in repro.stdout.splitlines() if line.startswith("Stage")) == sorted(unchanged)
    artifacts = site.prefect("artifact", "ls")
    assert all(key in artifacts for key in ("summary", "data-sheet", "sample-grid", "metrics"))

    verified = site.run("nightly-verify/nightly-verify")
    assert "finished successfully" in verified, verified
    next((site.checkout / "artifacts" / "shards").glob("*.tar")).write_bytes(b"altered")
    assert "state 'Failed'" in site.run("nightly-verify/nightly-verify", fails=True)


@contextmanager
def _running(site: PrefectSite, *arguments: str, log_path: Path) -> Iterator[None]:
    """Keep a Prefect process running, its output in a file, and end it."""
    with log_path.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", *arguments],
            cwd=site.checkout,
            env=site.environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(url: str) -> None:
    """Return when `url` answers."""
    deadline = time.monotonic() + SERVER_TIMEOUT_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port
