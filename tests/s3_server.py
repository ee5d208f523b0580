"""An S3 endpoint over real HTTP: moto in a process of its own, behind a proxy that misbehaves on order."""

from __future__ import annotations

import http.client
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import unquote

import boto3
from botocore.config import Config

HOST = "127.0.0.1"
START_TIMEOUT_S = 60.0
LONGEST_STALL_S = 60.0
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "tests",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_EC2_METADATA_DISABLED": "true",  # nobody asks the network for a machine's role
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
ERROR_CODES = {403: "AccessDenied", 500: "InternalError", 503: "SlowDown"}
HOP_HEADERS = frozenset({"connection", "transfer-encoding", "content-length", "date", "server"})
Kind = Literal[
    "status", "reset", "stall", "cut", "stalled_body", "slow_body", "flip", "lose_answer", "ignore_range"
]


@dataclass(slots=True, kw_only=True)
class Fault:
    """What happens to the next `times` requests whose method and address fit, after the first `skip` of them.

    `reset` closes without an answer; `stall` never answers; `cut` closes after `after_bytes` of the body,
    where `stalled_body` goes silent and `flip` alters a byte; `lose_answer` carries the request out and then
    closes.
    """

    kind: Kind
    match: str  # a pattern found in the path with its query
    method: str = "GET"
    times: int = 1
    skip: int = 0
    status: int = 500
    code: str | None = None  # the store's word for it; default: the usual one
    clock_minutes: float = 0  # by which the answer's date is off
    after_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as the proxy saw it."""

    method: str
    path: str
    range: str | None
    num_bytes: int  # of its body


@dataclass(slots=True)
class Script:
    """The faults to come and the requests that came."""

    faults: list[Fault] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    stalled: threading.Event = field(default_factory=threading.Event)  # somebody waits for an answer now
    released: threading.Event = field(default_factory=threading.Event)  # stalls end
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, *faults: Fault) -> None:
        """Forget what was; from now on these faults are to come."""
        with self.lock:
            self.faults[:], self.requests[:] = faults, ()
            self.stalled.clear()
            self.released.clear()

    def take(self, request: Request) -> Fault | None:
        """Note a request, and say what is to happen to it."""
        with self.lock:
            self.requests.append(request)
            for fault in self.faults:
                if fault.times and fault.method == request.method and re.search(fault.match, request.path):
                    if fault.skip:
                        fault.skip -= 1
                        continue
                    fault.times -= 1
                    return fault
        return None

    def of(self, method: str, match: str) -> list[Request]:
        """The requests of a method whose address holds `match`."""
        with self.lock:
            return [found for found in self.requests if found.method == method and match in found.path]


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Server:
    """`endpoint` leads through the faults, `direct` past them."""

    endpoint: str
    direct: str
    script: Script

    def client(self) -> Any:
        """A plain boto3 client that meets no faults."""
        return client_of(self.direct)


def client_of(endpoint: str) -> Any:
    """A plain boto3 client, whatever the environment says."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="tests",
        aws_secret_access_key="secret",
        config=Config(s3={"addressing_style": "path"}),
    )


@contextmanager
def moto_server() -> Iterator[str]:
    """Run moto's server in its own process; yields its address."""
    port = _free_port()
    with subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)],
        env={**os.environ, "S3_UPLOAD_PART_MIN_SIZE": "1"},  # so that small files have parts
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            _wait_until_open(port, process=process)
            yield f"http://{HOST}:{port}"
        finally:
            process.kill()


@contextmanager
def faulty_server() -> Iterator[S3Server]:
    """Moto behind the proxy; its script is empty at first."""
    script = Script()
    with moto_server() as direct:
        upstream = direct.removeprefix("http://")

        class Handler(_Proxy):
            pass

        Handler.script, Handler.upstream = script, upstream
        proxy = ThreadingHTTPServer((HOST, 0), Handler)
        proxy.daemon_threads = True
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        try:
            endpoint = f"http://{HOST}:{proxy.server_address[1]}"
            yield S3Server(endpoint=endpoint, direct=direct, script=script)
        finally:
            script.released.set()
            proxy.shutdown()
            proxy.server_close()


class _Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: Script
    upstream: str

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request = Request(
            method=self.command,
            path=unquote(self.path),
            range=self.headers.get("Range"),
            num_bytes=len(body),
        )
        fault = self.script.take(request)
        if fault is None:
            self._send(*self._forward(body))
        else:
            self._misbehave(fault, body=body)

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815 - the names that http.server calls

    def log_message(self, format: str, *args: object) -> None:
        """Tests read `requests` instead."""

    def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
        connection = http.client.HTTPConnection(self.upstream)
        try:
            connection.request(self.command, self.path, body=body, headers=headers)
            answer = connection.getresponse()
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in HOP_HEADERS}
            data = answer.read()
            length = answer.getheader("Content-Length", str(len(data)))  # of HEAD: that of the object
            return answer.status, {**kept, "Content-Length": length}, data
        finally:
            connection.close()

    def _misbehave(self, fault: Fault, *, body: bytes) -> None:
        if fault.kind == "status":
            code = fault.code or ERROR_CODES[fault.status]
            text = (
                f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>scripted</Message></Error>".encode()
            )
            data = b"" if self.command == "HEAD" else text
            headers = {
                "Content-Type": "application/xml",
                "Content-Length": str(len(data)),
                "Date": self.date_time_string(time.time() + 60 * fault.clock_minutes),
            }
            self._send(fault.status, headers, data)
        elif fault.kind in ("reset", "stall"):
            self._go_silent(waits=fault.kind == "stall")
        elif fault.kind == "ignore_range":
            del self.headers["Range"]
            self._send(*self._forward(body))
        else:
            self._spoil(fault, *self._forward(body))

    def _spoil(self, fault: Fault, status: int, headers: dict[str, str], data: bytes) -> None:
        """Answers whose body is not what it should be."""
        position = fault.after_bytes
        if fault.kind == "lose_answer":
            self._go_silent(waits=False)
        elif fault.kind == "flip":
            altered = data[position] ^ 0xFF
            self._send(status, headers, data[:position] + bytes([altered]) + data[position + 1 :])
        elif fault.kind == "slow_body":
            self._send(status, headers, b"")
            for start in range(0, len(data), max(1, len(data) // 5)):
                time.sleep(0.02)
                self.wfile.write(data[start : start + max(1, len(data) // 5)])
        else:
            self._send(status, headers, data[:position])
            self._go_silent(waits=fault.kind == "stalled_body")

    def _send(self, status: int, headers: dict[str, str], data: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def _go_silent(self, *, waits: bool) -> None:
        if waits:
            self.script.stalled.set()
            self.script.released.wait(LONGEST_STALL_S)
        self.close_connection = True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _wait_until_open(port: int, *, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"moto's server ended with exit code {process.returncode}")
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"moto's server did not open port {port}")
