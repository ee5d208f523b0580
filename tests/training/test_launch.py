"""Ranks are started, stopped, lost and started again; how they ended is told in one sentence."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mcld.config import RuntimeParams
from mcld.errors import ConfigError, WorkerError
from mcld.training.launch import launch
from mcld.training.placement import Placement

REPOSITORY_DIR = Path(__file__).resolve().parents[2]
PATIENCE_S = 120

pytestmark = pytest.mark.slow


def _launch(directory: Path, way: str, *, max_restarts: int = 0) -> None:
    job_dir = directory / "job"
    launch(
        ["-m", "tests.training.launch_rank", str(job_dir), way],
        placement=Placement(num_processes=2),
        runtime=RuntimeParams(max_restarts=max_restarts, num_workers=2),
        job_dir=job_dir,
    )


def test_two_ranks_meet_and_end(tmp_path: Path) -> None:
    _launch(tmp_path, "end")
    assert [(tmp_path / f"sum-{rank}").read_text() for rank in range(2)] == ["3.0 of 2"] * 2


def test_two_machines_meet_at_the_address_of_the_first(tmp_path: Path) -> None:
    """Here: two agents of one rank each, as two machines would start them."""
    port = _free_port()
    agents = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                "from pathlib import Path; from mcld.config import RuntimeParams;"
                "from mcld.training.launch import launch; from mcld.training.placement import placement_of;"
                f"runtime = RuntimeParams(num_processes=1, num_nodes=2, rendezvous='localhost:{port}');"
                f"job_dir = Path({str(tmp_path / f'node{node}' / 'job')!r});"
                "launch(['-m', 'tests.training.launch_rank', str(job_dir), 'end'],"
                " placement=placement_of(runtime), runtime=runtime, job_dir=job_dir)",
            ],
            cwd=REPOSITORY_DIR,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY_DIR), "MCLD_NODE_RANK": str(node)},
        )
        for node in range(2)
    ]
    assert [agent.wait(PATIENCE_S) for agent in agents] == [0, 0]
    sums = [(tmp_path / f"node{node}" / f"sum-{node}").read_text() for node in range(2)]
    assert sums == ["3.0 of 2"] * 2


@pytest.mark.parametrize("way", ["die", "die-while-saving"])
def test_a_lost_rank_ends_all_and_is_named_whatever_the_other_was_at(tmp_path: Path, way: str) -> None:
    with pytest.raises(WorkerError, match=r"process 1 was ended by SIGKILL.*repeat the command"):
        _launch(tmp_path, way)


def test_a_rank_that_lost_a_worker_of_its_own_says_so(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match=r"^loader worker 3 was ended by SIGKILL$"):
        _launch(tmp_path, "lose-a-worker")


def test_a_crashed_rank_ends_all_and_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match=r"process 1 ended with exit code 1"):
        _launch(tmp_path, "crash")


def test_lost_ranks_are_started_again_if_asked_for(tmp_path: Path) -> None:
    _launch(tmp_path, "die-once", max_restarts=1)
    assert (tmp_path / "sum-1").read_text() == "3.0 of 2"


def test_an_error_for_the_user_keeps_its_kind_and_sentence_and_is_not_tried_again(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^train\.batch_size: 7 does not fit$"):
        _launch(tmp_path, "refuse", max_restarts=5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_reaches_the_ranks_and_none_outlives_its_command(
    tmp_path: Path, number: signal.Signals
) -> None:
    command = subprocess.Popen(
        [sys.executable, "-m", "tests.training.launch_command", str(tmp_path), "wait"],
        cwd=REPOSITORY_DIR,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY_DIR)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _wait_for(lambda: all((tmp_path / f"waiting-{rank}").exists() for rank in range(2)))
        ranks = [int(path.read_text()) for path in (tmp_path / "job").glob("rank-*.pid")]
        assert len(ranks) == 2
        command.send_signal(number)
        _, errors = command.communicate(timeout=PATIENCE_S)
    finally:
        command.kill()
    if number == signal.SIGTERM:
        assert "TrainingStoppedError: stopped by SIGTERM after step 3" in errors
    _wait_for(lambda: not any(_is_alive(rank) for rank in ranks))


def _is_alive(process_id: int) -> bool:
    """Whether a process runs; one that has ended and waits to be noticed does not."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def _free_port() -> int:
    import socket

    with socket.socket() as listening:
        listening.bind(("localhost", 0))
        return int(listening.getsockname()[1])
