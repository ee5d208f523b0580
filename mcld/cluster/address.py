"""Where the cluster's head is, and whether anybody answers there."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Mapping

from mcld.errors import ConfigError, WorkerError

AUTO = "auto"  # the cluster that this machine is in
CONNECT_TIMEOUT_S = 5.0
PROBE_EVERY_S = 2.0
MISSES = 2  # in a row, before the head counts as gone
HOW_TO_START = (
    "start one (`ray start --head`, then `ray start --address=HOST:PORT` on every other machine), "
    "or do without (runtime.mapper: local, runtime.launcher: torchrun)"
)


def wanted_address(named: str | None, *, environment: Mapping[str, str] = os.environ) -> str:
    """`runtime.ray_address`, else RAY_ADDRESS, else `auto`.

    Raises ConfigError unless it is host:port or `auto`: Ray would take `local` as the wish for a new cluster.
    """
    address = named or environment.get("RAY_ADDRESS") or AUTO
    if address != AUTO and not re.fullmatch(r"[^\s:/]+:\d+|\[[0-9a-fA-F:]+\]:\d+", address):
        place = "runtime.ray_address" if named else "RAY_ADDRESS"
        raise ConfigError(
            f"{place}: {address!r} is not host:port of a Ray head, nor 'auto'; name the head, e.g. node0:6379"
        )
    return address


def answers(address: str) -> bool:
    """Whether something listens at host:port."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT_S):
            return True
    except OSError:
        return False


class HeadWatch:
    """Notices that a head is gone: Ray itself would end this process after a minute, without a word."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._misses = 0
        self._next_s = time.monotonic() + PROBE_EVERY_S

    def look(self, description: str) -> None:
        """Ask now and then. Raises WorkerError when the head has not answered twice in a row."""
        if time.monotonic() < self._next_s:
            return
        self._misses = 0 if answers(self._address) else self._misses + 1
        self._next_s = time.monotonic() + PROBE_EVERY_S
        if self._misses >= MISSES:
            raise WorkerError(
                f"{description}: the head of the Ray cluster at {self._address} is gone; what is finished is "
                f"kept: {HOW_TO_START}, and repeat the command"
            )
