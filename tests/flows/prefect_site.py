"""A miniature checkout with a real Prefect server and a real worker, as a team would have them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.workspaces import commit_all, environment, make_checkout

SERVER_TIMEOUT_S = 90.0
RUN_TIMEOUT_S = 240.0
POLL_S = 0.2
POOLS = ("cpu", "gpu")
OVER = {"COMPLETED", "FAILED", "CANCELLED", "CRASHED"}


@dataclass(slots=True, kw_only=True)
class PrefectSite:
    """A folder, the address of its Prefect server, and the environment in which its commands run."""

    checkout: Path
    port: int
    environment: dict[str, str]
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def api_url(self) -> str:
        """Of the server."""
        return f"http://127.0.0.1:{self.port}/api"

    def start_server(self) -> None:
        """Start the server, on the database that it left, and wait until it answers."""
        self._start(
            "server", "server", "start", "--host", "127.0.0.1", "--port", str(self.port), "--analytics-off"
        )
        wait_until(self._answers, timeout_s=SERVER_TIMEOUT_S)

    def start_worker(self, pool: str) -> None:
        """Start a worker that takes a pool's runs."""
        self._start(f"worker-{pool}", "worker", "start", "--pool", pool)

    def kill(self, name: str) -> None:
        """Kill the server or a worker at once, as a power cut would."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def prefect(self, *arguments: str, timeout_s: float = 60) -> str:
        """Run Prefect's command line; returns what it printed. Fails the test when it fails."""
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
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def start(self, deployment: str, **parameters: object) -> str:
        """Begin a run of a deployment, as Prefect's page does; returns its id."""
        flow, name = deployment.split("/")
        found = self._get(f"/deployments/name/{flow}/{name}")
        body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        return str(self._post(f"/deployments/{found['id']}/create_flow_run", body)["id"])

    def cancel(self, run_id: str) -> None:
        """Ask for a run's end, as the page's button does."""
        if self.run(run_id)["state"]["type"] not in OVER:
            self.change_state(run_id, "CANCELLING")

    def change_state(self, run_id: str, kind: str) -> None:
        """Set a run's state, as the page lets a person do."""
        state = {"type": kind, "name": kind.capitalize()}
        self._post(f"/flow_runs/{run_id}/set_state", {"state": state, "force": kind in OVER})

    def run(self, run_id: str) -> dict[str, Any]:
        """A flow run as the server knows it."""
        found: dict[str, Any] = self._get(f"/flow_runs/{run_id}")
        return found

    def finished(self, run_id: str, *, timeout_s: float = RUN_TIMEOUT_S) -> tuple[str, str]:
        """Wait for a run's end; its last state and what it says."""
        wait_until(lambda: self.run(run_id)["state"]["type"] in OVER, timeout_s=timeout_s)
        state = self.run(run_id)["state"]
        return str(state["name"]), str(state["message"])

    def log(self, run_id: str) -> str:
        """What a run has logged."""
        body = {"logs": {"flow_run_id": {"any_": [run_id]}}, "sort": "TIMESTAMP_ASC"}
        return "\n".join(line["message"] for line in self._post("/logs/filter", body))

    def artifacts(self) -> dict[str, Any]:
        """The newest artifact of each key."""
        return {one["key"]: one for one in self._post("/artifacts/latest/filter", {})}

    def processes_of(self, run_id: str) -> list[psutil.Process]:
        """The process of a flow run, and those that it started."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("PREFECT__FLOW_RUN_ID") == run_id:
                    found.append(process)
            except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
        return found

    def stop(self) -> None:
        """End the server, the workers and all that they started."""
        for process in self._processes.values():
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
            process.wait()

    def _start(self, name: str, *arguments: str) -> None:
        with (self.checkout.parent / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "prefect", *arguments],
                cwd=self.checkout,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.api_url}/health", timeout=5):
                return True
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def _get(self, path: str) -> Any:
        return self._ask("GET", path, None)

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        return self._ask("POST", path, body)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        """The server's answer. With SQLite it says 503 while its database is busy; that passes."""
        deadline = time.monotonic() + SERVER_TIMEOUT_S
        while True:
            answer = httpx.request(method, self.api_url + path, json=body, timeout=30)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or time.monotonic() > deadline:
                return answer.raise_for_status().json()
            time.sleep(POLL_S)


@contextmanager
def prefect_site(folder: Path) -> Iterator[PrefectSite]:
    """A server on a free loopback port, workers on its pools, and everything deployed."""
    checkout, port = make_checkout(folder / "checkout"), _free_port()
    commit_all(checkout)
    site = PrefectSite(
        checkout=checkout,
        port=port,
        environment=environment(
            PREFECT_HOME=str(folder / "prefect"),
            PREFECT_API_URL=f"http://127.0.0.1:{port}/api",
            PREFECT_WORKER_QUERY_SECONDS="1",
        ),
    )
    try:
        site.start_server()
        for pool in POOLS:
            site.prefect("work-pool", "create", pool, "--type", "process")
        site.prefect("gcl", "create", "gpu", "--limit", "1")
        site.prefect("deploy", "--all")
        for pool in POOLS:
            site.start_worker(pool)
        yield site
    finally:
        site.stop()


def wait_until(condition: Callable[[], bool], *, timeout_s: float) -> None:
    """Return when it holds. Raises TimeoutError."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"still not after {timeout_s:g} s")
        time.sleep(POLL_S)


def kill_all(processes: list[psutil.Process]) -> None:
    """SIGKILL, as the kernel does when memory is short."""
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
