"""The team's stack, brought up once for a file of tests: real services on free ports of loopback."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from infra.stack.credentials import Credentials, make_credentials
from infra.stack.postgres import programs_dir
from infra.stack.services import client_environment
from infra.stack.settings import HOST, NUM_STORE_PORTS, Settings, StackError, read_settings
from tests.workspaces import CHECKOUT, environment, make_checkout

START_TIMEOUT_S = 240.0
COMMAND = [sys.executable, "-m", "infra.stack"]
CANARY = "canary-7f3a9"  # in every secret


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamStack:
    """A stack that is up. `process` is its supervisor's; `log_path` is what that has said."""

    settings: Settings
    credentials: Credentials
    environment: dict[str, str]
    process: subprocess.Popen[bytes]
    log_path: Path

    @property
    def client(self) -> dict[str, str]:
        """What a shell exports to use it."""
        return client_environment(self.settings, credentials=self.credentials)

    def family(self) -> list[psutil.Process]:
        """The supervisor and all that descends from it."""
        supervisor = psutil.Process(self.process.pid)
        return [supervisor, *supervisor.children(recursive=True)]

    def holder(self, port: int) -> psutil.Process:
        """Who listens on a port."""
        return next(one for one in self.family() if port in {address[1] for address in listening([one])})

    def wait_for(self, text: str) -> None:
        """Return when the supervisor has said `text`."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while text not in (said := self.log_path.read_text()):
            assert self.process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.1)


def why_not() -> str | None:
    """Why no stack can be brought up here; None if one can."""
    try:
        programs_dir()
    except StackError as error:
        return str(error)
    return None if shutil.which("weed", path=Path(sys.executable).parent) else "weed: not installed"


def listening(processes: Sequence[psutil.Process]) -> set[tuple[str, int]]:
    """The addresses on which processes take TCP connections."""
    found = (one for process in processes for one in process.net_connections(kind="inet"))
    return {(one.laddr.ip, one.laddr.port) for one in found if one.status == psutil.CONN_LISTEN}


@contextmanager
def team_stack() -> Iterator[TeamStack]:
    """A miniature checkout and its stack, whose secrets all contain CANARY."""
    # Not below pytest's own folder, which PostgreSQL's user may not enter.
    with tempfile.TemporaryDirectory(prefix="mcld-stack-") as name:
        Path(name).chmod(0o711)
        checkout = make_checkout(Path(name) / "checkout")
        ports = iter(_free_block(2 + NUM_STORE_PORTS))
        given = {
            "MCLD_STACK_MLFLOW_PORT": str(next(ports)),
            "MCLD_STACK_PREFECT_PORT": str(next(ports)),
            "MCLD_STACK_S3_PORT": str(next(ports)),
        }
        settings = read_settings(given, checkout=checkout)
        variables = environment(
            PYTHONPATH=str(CHECKOUT), AWS_SECRET_ACCESS_KEY=f"{CANARY}-shell", PGPASSWORD=CANARY, **given
        )
        credentials = _with_canary(make_credentials(settings.state_dir / "secrets"))
        log_path = Path(name) / "stack.log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                COMMAND, cwd=checkout, env=variables, stdout=log, stderr=subprocess.STDOUT
            )
        stack = TeamStack(
            settings=settings,
            credentials=credentials,
            environment=variables,
            process=process,
            log_path=log_path,
        )
        try:
            stack.wait_for("stack: up")
            yield stack
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _with_canary(made: Credentials) -> Credentials:
    for path in (made.database_passwords, made.store_keys):
        lines = [line and line + CANARY for line in path.read_text().split("\n")]
        path.write_text("\n".join(lines).replace(f"[default]{CANARY}", "[default]"))
    return made


def _free_block(num_ports: int) -> range:
    """Neighbouring ports below those that the kernel gives to clients, chosen by our own number."""
    for first in range(20_000 + os.getpid() % 1_000 * 10, 32_000, num_ports):
        block = range(first, first + num_ports)
        if all(_is_free(port) for port in block):
            return block
    raise AssertionError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) != 0
