"""The least that an S3 endpoint may be: GET of ranges of a folder's files and their sizes, nothing checked.

It shows what our client costs by itself, where moto's server copies a whole object for every range.
"""

from __future__ import annotations

import multiprocessing
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path

HOST = "127.0.0.1"


@contextmanager
def range_server(directory: Path) -> Iterator[str]:
    """Serve `directory`/bucket/key in a process of its own; yields the endpoint."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(directory, theirs), daemon=True)
    process.start()
    try:
        yield f"http://{HOST}:{ours.recv()}"
    finally:
        process.kill()
        process.join()


def _serve(directory: Path, ready: Connection) -> None:
    class Handler(_Ranges):
        pass

    Handler.directory = directory
    server = ThreadingHTTPServer((HOST, 0), Handler)
    ready.send(server.server_address[1])
    server.serve_forever()


class _Ranges(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    directory: Path

    def do_GET(self) -> None:
        path = self._path()
        size = path.stat().st_size
        first, last = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["Range"] or "").groups()  # type: ignore[union-attr]
        offset, end = int(first), int(last) + 1 if last else size
        num_bytes = end - offset
        self.send_response_only(206)
        self.send_header("Content-Range", f"bytes {offset}-{end - 1}/{size}")
        self._end_headers(num_bytes)
        with path.open("rb") as file:
            while num_bytes > 0:
                sent = os.sendfile(self.connection.fileno(), file.fileno(), offset, num_bytes)
                offset, num_bytes = offset + sent, num_bytes - sent

    def do_HEAD(self) -> None:
        self.send_response_only(200)
        self._end_headers(self._path().stat().st_size)

    def _path(self) -> Path:
        return self.directory / self.path.partition("?")[0].lstrip("/")

    def _end_headers(self, num_bytes: int) -> None:
        self.send_header("Content-Length", str(num_bytes))
        self.send_header("ETag", '"benchmark"')
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: it would be part of what is measured."""
