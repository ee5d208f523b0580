"""Where the stack keeps its state, and which ports it takes: from MCLD_STACK_* in the environment."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mcld.errors import MCLDError

HOST = "127.0.0.1"
NUM_STORE_PORTS = 8  # the object store's own parts talk over the seven ports after its first
LAST_PORT = 65_535


class StackError(MCLDError):
    """The stack cannot be brought up, or cannot be kept up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One stack: a checkout of the project, a state folder and four numbers."""

    checkout: Path
    state_dir: Path
    mlflow_port: int
    prefect_port: int
    store_port: int
    num_gpus: int  # stages that compute with a model and run at once

    @property
    def mlflow_url(self) -> str:
        """Of the tracking server."""
        return f"http://{HOST}:{self.mlflow_port}"

    @property
    def prefect_url(self) -> str:
        """Of the Prefect server; its API is below `/api`."""
        return f"http://{HOST}:{self.prefect_port}"

    @property
    def store_url(self) -> str:
        """Of the S3 endpoint."""
        return f"http://{HOST}:{self.store_port}"

    @property
    def ports(self) -> dict[int, str]:
        """Every TCP port that is taken, and the variable that moves it."""
        store = range(self.store_port, self.store_port + NUM_STORE_PORTS)
        return {
            self.mlflow_port: "MCLD_STACK_MLFLOW_PORT",
            self.prefect_port: "MCLD_STACK_PREFECT_PORT",
        } | dict.fromkeys(store, "MCLD_STACK_S3_PORT")


def read_settings(environment: Mapping[str, str], *, checkout: Path) -> Settings:
    """The settings that the environment gives. Raises StackError for a folder or number that cannot be."""
    if not (checkout / "prefect.yaml").is_file():
        raise StackError(f"{checkout}: no prefect.yaml here; start the stack in a checkout of the project")
    state_dir = Path(environment.get("MCLD_STACK_DIR") or ".mcld/stack")
    last_first_port = LAST_PORT - NUM_STORE_PORTS + 1
    settings = Settings(
        checkout=checkout.resolve(),
        state_dir=(checkout / state_dir).resolve(),
        mlflow_port=_number(environment, "MCLD_STACK_MLFLOW_PORT", default=5000, highest=LAST_PORT),
        prefect_port=_number(environment, "MCLD_STACK_PREFECT_PORT", default=4200, highest=LAST_PORT),
        store_port=_number(environment, "MCLD_STACK_S3_PORT", default=8333, highest=last_first_port),
        num_gpus=_number(environment, "MCLD_STACK_GPUS", default=1, highest=1024),
    )
    if len(settings.ports) < 2 + NUM_STORE_PORTS:
        raise StackError(
            f"MCLD_STACK_MLFLOW_PORT, MCLD_STACK_PREFECT_PORT and the {NUM_STORE_PORTS} ports from "
            f"MCLD_STACK_S3_PORT on must differ: {settings.mlflow_port}, {settings.prefect_port}, "
            f"{settings.store_port}"
        )
    return settings


def check_ports(settings: Settings) -> None:
    """Raise StackError for the first port that something else listens on."""
    for port, variable in settings.ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do after a restart
            try:
                probe.bind((HOST, port))
            except OSError as error:
                raise StackError(
                    f"port {port} of {HOST} cannot be taken ({os.strerror(error.errno or 0)}); "
                    f"end what uses it, or give another: {variable}={_other(port)} make stack"
                ) from error


def _number(environment: Mapping[str, str], name: str, *, default: int, highest: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isdecimal() or not 1 <= int(text) <= highest:
        raise StackError(f"{name}={text}: must be a whole number from 1 to {highest}")
    return int(text)


def _other(port: int) -> int:
    return port + 10_000 if port + 10_000 < LAST_PORT else port - 10_000
