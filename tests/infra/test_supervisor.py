"""A supervisor starts again what dies, and leaves nothing behind, however it ends."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from infra.stack.service import Service
from infra.stack.settings import StackError
from infra.stack.supervisor import Supervised

TIMEOUT_S = 60.0


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Up: both of its services have started."""
    command = [sys.executable, "-m", "tests.infra.tiny_stack", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    _wait_for((tmp_path / "up").exists)
    yield process
    process.kill()
    process.communicate()


def test_what_dies_is_started_again_and_the_end_leaves_nobody(
    tiny: subprocess.Popen[str], tmp_path: Path
) -> None:
    first = int((tmp_path / "first").read_text())
    (tmp_path / "first").unlink()
    psutil.Process(first).kill()
    _wait_for((tmp_path / "first").exists)
    family = _family(tiny.pid)
    assert first not in {process.pid for process in family}

    tiny.send_signal(signal.SIGTERM)
    said, _ = tiny.communicate(timeout=TIMEOUT_S)
    assert "first: ended (signal SIGKILL); starting it again in 1 s" in said
    assert not [process for process in family if _is_alive(process)]
    assert (tmp_path / "saved").exists()  # work is told before the service that it works for


def test_services_end_with_a_supervisor_that_was_killed(tiny: subprocess.Popen[str], tmp_path: Path) -> None:
    services = [psutil.Process(int((tmp_path / name).read_text())) for name in ("first", "second")]
    strays = [process for process in _family(tiny.pid) if process not in services]
    tiny.kill()
    tiny.wait()
    psutil.wait_procs(services, timeout=TIMEOUT_S)
    assert not [process for process in services if _is_alive(process)]
    for stray in strays:  # nobody is left who could end the shells' children
        with suppress(psutil.NoSuchProcess):
            stray.kill()


def test_a_service_that_does_not_start_is_an_error_with_the_end_of_its_log(tmp_path: Path) -> None:
    service = Service(
        name="database",
        command=["sh", "-c", "echo cannot read it; exit 3"],
        environment={"PATH": "/usr/bin:/bin"},
        address="",
        is_ready=lambda: False,
    )
    log_path = tmp_path / "database.log"
    member = Supervised(service=service, working_dir=tmp_path, log_path=log_path)
    with pytest.raises(StackError, match=r"database: ended \(exit code 3\);.*ends with: cannot read it"):
        while True:
            member.tick()


def _family(pid: int) -> list[psutil.Process]:
    return [found for found in psutil.Process(pid).children(recursive=True) if _is_alive(found)]


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
