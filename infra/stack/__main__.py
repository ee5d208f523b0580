"""Bring the team's services up, say where they are, and keep them up until Ctrl-C.

python -m infra.stack                       # stay until Ctrl-C
python -m infra.stack --once COMMAND…       # bring up, run the command against it, bring down
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from infra.stack.credentials import make_credentials
from infra.stack.lock import held
from infra.stack.service import entrypoint
from infra.stack.services import base_environment, client_environment, services
from infra.stack.settings import Settings, StackError, check_ports, read_settings
from infra.stack.supervisor import Supervised, Supervisor
from infra.stack.tell import exports, table
from mcld.errors import MCLDError
from mcld.storage import write_bytes

EXIT_USER_ERROR = 2
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(slots=True)
class StopRequest:
    """Set by a signal, asked by everything that takes time."""

    number: int | None = None

    def note(self, number: int, _frame: FrameType | None) -> None:
        """As a signal handler."""
        self.number = number

    def is_made(self) -> bool:
        """Whether it is time to stop."""
        return self.number is not None


def main() -> None:
    """Parse, run, and put errors for people into one sentence."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.stack", description="The team's services on this machine, until Ctrl-C."
    )
    parser.add_argument(
        "--once", nargs=argparse.REMAINDER, metavar="COMMAND", help="run this against them, then end them"
    )
    command = parser.parse_args().once
    logging.basicConfig(level=logging.WARNING, format="stack: %(message)s")
    try:
        if command is not None and not command:
            raise StackError("--once: needs a command to run")
        settings = read_settings(os.environ, checkout=Path())
        with held(settings.state_dir):
            check_ports(settings)
            code = run(settings, command=command, environment=os.environ)
    except MCLDError as error:
        sys.stderr.write(f"stack: {error}\n")
        code = EXIT_USER_ERROR
    sys.exit(code)


def run(settings: Settings, *, command: Sequence[str] | None, environment: Mapping[str, str]) -> int:
    """Bring up, stay or run the command, bring down; returns the exit code for all of it."""
    request = StopRequest()
    for number in STOP_SIGNALS:
        signal.signal(number, request.note)
    credentials = make_credentials(settings.state_dir / "secrets")
    client = client_environment(settings, credentials=credentials)
    members = [
        Supervised(service=service, working_dir=settings.checkout, log_path=new_log(settings, service.name))
        for service in services(settings, credentials=credentials, environment=environment)
    ]
    supervisor = Supervisor(members=members, is_stopping=request.is_made)
    deploy_log = new_log(settings, "deploy")
    print("stack: starting; Ctrl-C ends it", file=sys.stderr)
    try:
        supervisor.start()
        shell = base_environment(environment) | client
        supervisor.run(
            entrypoint("deploy.sh"),
            working_dir=settings.checkout,
            environment=shell | {"MCLD_GPUS": str(settings.num_gpus)},
            log_path=deploy_log,
        )
        if not request.is_made():
            write_bytes(settings.state_dir / "env", data=exports(client).encode())
            print(table(settings, services=[one.service for one in members]), file=sys.stderr)
        if command is None:
            supervisor.watch(until=lambda: False)
            return 0
        code = supervisor.run(command, working_dir=settings.checkout, environment={**environment, **shell})
        return code if request.number is None else 128 + request.number
    finally:
        supervisor.stop()


def new_log(settings: Settings, name: str) -> Path:
    """An empty log; that of the last time is kept beside it."""
    path = settings.state_dir / "logs" / f"{name}.log"
    path.parent.mkdir(exist_ok=True)
    if path.exists():
        os.replace(path, path.with_suffix(".log.1"))
    path.touch()
    return path


if __name__ == "__main__":
    main()
