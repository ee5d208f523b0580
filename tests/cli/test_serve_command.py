from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from mcld.cli.serve import serve_until_interrupted
from mcld.errors import ConfigError
from mcld.service.access import Access
from mcld.service.run import bind
from tests.embedded_engine import embedded_pipeline
from tests.workspaces import CHECKOUT, run_mcld

PATIENCE_S = 60


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--host", "0.0.0.0"), "host: 0.0.0.0 is reached by other machines, which needs a password"),
        (("--password-file", "missing"), "missing: cannot be read as a password"),
        (("--host", "203.0.113.1", "--password-file", "password"), "203.0.113.1:8000 cannot be had"),
        (("nowhere", "--port", "0"), "nowhere: there is no such folder"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    (tmp_path / "password").write_text("correct horse\n")
    said = run_mcld("serve", *arguments, cwd=tmp_path)

    assert said.returncode == 2
    assert said.stderr.startswith("mcld: ")
    assert message in said.stderr
    assert said.stdout == ""


def test_the_address_is_printed_when_requests_are_taken_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    embedded_pipeline().save_pretrained(tmp_path / "model")
    command = [sys.executable, "-m", "mcld", "serve", "model", "--port", "0", "--device", "cpu"]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            address, _, rest = server.stdout.readline().partition(" ")
            assert rest == "(Ctrl-C ends it)\n"
            assert httpx.get(f"{address}/health").json()["status"] == "ok"
            server.send_signal(signal.SIGINT)
            _, errors = server.communicate(timeout=PATIENCE_S)
        finally:
            server.kill()
    assert server.returncode == 0, errors
    assert "Traceback" not in errors


def test_an_address_in_use_is_said_before_a_model_is_loaded() -> None:
    def never(_: Access) -> FastAPI:
        raise AssertionError("the model is loaded")

    with bind("127.0.0.1", port=0) as bound:
        bound.listen()
        port = bound.getsockname()[1]
        with pytest.raises(ConfigError, match="choose another with --port"):
            serve_until_interrupted(never, host="127.0.0.1", port=port, password_file=None, allowed_hosts=())
