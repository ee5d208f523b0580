"""Serve an application until Ctrl-C."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from fastapi import FastAPI

from mcld.errors import ConfigError
from mcld.service.desk import Desk

MAX_CONNECTIONS = 256
GRACE_S = 10  # for answers under way when the service ends


class _Server(uvicorn.Server):
    """Says when it is ready, and ends the model's work before it waits for answers."""

    def __init__(
        self, config: uvicorn.Config, *, on_ready: Callable[[], None], on_end: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._on_ready, self._on_end = on_ready, on_end

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's."""
        await super().startup(sockets=sockets)
        if self.started:
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's."""
        self._on_end()
        await super().shutdown(sockets=sockets)


def bind(host: str, *, port: int) -> socket.socket:
    """A socket on an address; port 0 takes a free one. Raises ConfigError when it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # TCP by name: asyncio sends small answers at once (TCP_NODELAY) only on sockets that say so; others wait
    # 40 ms for the client's acknowledgement.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host.strip("[]"), port))
    except OSError as error:
        bound.close()
        raise ConfigError(
            f"port: {host}:{port} cannot be had ({error.strerror or error}); choose another with --port"
        ) from error
    return bound


def address_of(bound: socket.socket) -> str:
    """What to open in a browser."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def server_for(app: FastAPI, *, on_ready: Callable[[], None]) -> uvicorn.Server:
    """uvicorn without an access log, which would hold the names of people's files."""
    desk = app.state.desk
    assert isinstance(desk, Desk)
    config = uvicorn.Config(
        app,
        access_log=False,
        log_level="warning",
        ws="none",
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=GRACE_S,
    )
    return _Server(config, on_ready=on_ready, on_end=desk.queue.close)


def serve(app: FastAPI, *, bound: socket.socket, on_ready: Callable[[], None]) -> None:
    """Answer on a bound socket until Ctrl-C or SIGTERM; `on_ready` is called when requests are taken."""
    # uvicorn sends Ctrl-C on when it has ended: to the user, that is the end and no error.
    with bound, suppress(KeyboardInterrupt):
        server_for(app, on_ready=on_ready).run(sockets=[bound])
