from __future__ import annotations

import signal
from pathlib import Path
from threading import Thread

import httpx
import pytest
from fastapi import FastAPI

from mcld.cli.serve import serve_until_interrupted
from mcld.errors import ConfigError
from mcld.service.access import Access
from mcld.service.run import bind
from tests.service.service import make_app
from tests.workspaces import run_mcld


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


def test_the_address_is_printed_when_requests_are_taken_and_ctrl_c_ends_it(
    capfd: pytest.CaptureFixture[str],
) -> None:
    answers: list[int] = []

    def application(access: Access) -> FastAPI:
        Thread(target=ask_when_printed).start()
        return make_app(access=access)

    def ask_when_printed() -> None:
        printed = ""
        while "Ctrl-C" not in printed:
            printed += capfd.readouterr().out
        address = printed.partition(" ")[0]
        answers.append(httpx.get(f"{address}/health").status_code)
        signal.raise_signal(signal.SIGINT)

    serve_until_interrupted(application, host="127.0.0.1", port=0, password_file=None, allowed_hosts=())

    assert answers == [200]


def test_an_address_in_use_is_said_before_a_model_is_loaded() -> None:
    def never(_: Access) -> FastAPI:
        raise AssertionError("the model is loaded")

    with bind("127.0.0.1", port=0) as bound:
        bound.listen()
        port = bound.getsockname()[1]
        with pytest.raises(ConfigError, match="choose another with --port"):
            serve_until_interrupted(never, host="127.0.0.1", port=port, password_file=None, allowed_hosts=())
