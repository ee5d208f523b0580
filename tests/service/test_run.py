"""Serving: addresses, what is written meanwhile, and the end."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from mcld.errors import ConfigError
from mcld.service.run import address_of, bind, serve
from tests.service.service import (
    make_app,
    outcome,
    photo_id,
    photographs,
    render_id,
    request_for,
    running,
    talking_to,
    until,
)

WRITING_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def test_an_address_that_is_in_use_is_a_sentence() -> None:
    with bind("127.0.0.1", port=0) as bound:
        bound.listen()
        port = bound.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"port: 127\.0\.0\.1:{port} cannot be had .* --port"):
            bind("127.0.0.1", port=port)


def test_an_address_that_is_not_this_machines_is_a_sentence() -> None:
    with pytest.raises(ConfigError, match="cannot be had"):
        bind("203.0.113.1", port=0)
    with pytest.raises(ConfigError, match="cannot be had"):
        bind("no-such-host.invalid", port=0)


def test_the_address_is_one_that_a_browser_opens() -> None:
    with bind("127.0.0.1", port=0) as bound:
        assert address_of(bound) == f"http://127.0.0.1:{bound.getsockname()[1]}"


def test_connections_are_ones_on_which_small_answers_are_sent_at_once() -> None:
    with bind("127.0.0.1", port=0) as bound:
        bound.listen()
        with socket.create_connection(bound.getsockname()):
            accepted, _ = bound.accept()
            with accepted:
                assert accepted.proto == socket.IPPROTO_TCP  # what asyncio looks at


def test_the_end_stops_a_render_at_its_next_step_and_forgets_everything() -> None:
    app = make_app()
    with running(app) as server, httpx.Client(base_url=server.address) as client:
        photo = photo_id(client, photographs().people[0])
        render = render_id(client, request_for(photo, photo, num_steps=200))
        until(client, render, lambda answer: answer["step"] >= 1)
        server.stop()

        job = app.state.desk.queue.job(render)
        assert job.state == "failed"
        assert job.step < 200
        assert "ended" in job.error
        assert len(app.state.desk.photos) == 0
        with pytest.raises(httpx.TransportError):
            client.get("/health")


def test_ctrl_c_ends_it_without_a_traceback() -> None:
    """In this thread, as signals reach no other; a second one sends Ctrl-C when requests are taken."""
    before = signal.getsignal(signal.SIGINT)
    bound = bind("127.0.0.1", port=0)
    answers: list[int] = []

    def ask_then_interrupt() -> None:
        answers.append(httpx.get(f"{address_of(bound)}/health").status_code)
        signal.raise_signal(signal.SIGINT)

    serve(make_app(), bound=bound, on_ready=lambda: Thread(target=ask_then_interrupt).start())

    assert answers == [200]
    assert signal.getsignal(signal.SIGINT) is before


def test_no_byte_of_a_user_is_written_to_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter itself tells of every file that is opened for writing, by whatever thread."""
    monkeypatch.chdir(tmp_path)
    written = FilesWritten()
    large = photographs().people[0] + bytes(8 << 20)  # trailing zeros: what a spool would put into a file
    with talking_to(make_app()) as client, written:
        photo = photo_id(client, large)
        client.get(f"/v1/photos/{photo}/people/1/texture.png")
        answer = outcome(client, render_id(client, {**request_for(photo, photo), "attention": True}))
        for name in ("picture", "recipe", "attention"):
            assert client.get(answer[name]).status_code == 200

    assert written.paths == []
    assert list(tmp_path.iterdir()) == []


class FilesWritten:
    """Paths that were opened for writing, or made, while it was entered. Audit hooks stay for ever."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self._is_on = False
        sys.addaudithook(self._heard)

    def __enter__(self) -> FilesWritten:
        self._is_on = True
        return self

    def __exit__(self, *_: object) -> None:
        self._is_on = False

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._is_on:
            return
        if event in ("os.mkdir", "os.rename", "tempfile.mkstemp", "tempfile.mkdtemp"):
            self.paths.append(str(arguments[0]))
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING_FLAGS:
            self.paths.append(str(arguments[0]))


def test_files_that_are_written_are_noticed(tmp_path: Path) -> None:
    with FilesWritten() as written:
        (tmp_path / "a").write_bytes(b"a")

    assert written.paths == [str(tmp_path / "a")]
