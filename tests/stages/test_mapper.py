"""Mappers keep order, pass errors on, and say when a worker dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mcld.config import RuntimeParams
from mcld.errors import DataError, WorkerError
from mcld.stages.mapper import THREAD_VARIABLES, LocalMapper, Mapper, SerialMapper, local_mapper
from tests.workspaces import CHECKOUT


def square(number: int) -> int:
    return number * number


def refuse(number: int) -> int:
    if number == 2:
        raise DataError("item 2 is bad; repair it")
    return number


def die(number: int) -> int:
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("mapper", [SerialMapper(), LocalMapper(num_workers=1), LocalMapper(num_workers=2)])
def test_results_come_in_order_and_errors_as_raised(mapper: Mapper) -> None:
    assert list(mapper.map(square, range(5), description="squares")) == [0, 1, 4, 9, 16]
    with pytest.raises(DataError, match="item 2 is bad"):
        list(mapper.map(refuse, range(4), description="refuse"))


def test_dead_worker_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(
        WorkerError, match=r"texture: a worker process died .*lower runtime\.num_workers \(now 2\)"
    ):
        list(LocalMapper(num_workers=2).map(die, range(4), description="texture"))


def test_a_dead_worker_of_a_device_names_the_size_of_its_batches() -> None:
    mapper = LocalMapper(num_workers=2, device_ids=("0", "1"))
    with pytest.raises(WorkerError, match=r"latents: a worker process died .*lower latents\.batch_size"):
        list(mapper.map(die, range(4), description="latents", uses_device=True))


def place_of_worker(_: int) -> tuple[str | None, str | None, int]:
    time.sleep(0.2)  # so that one worker cannot do all
    return os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get("OMP_NUM_THREADS"), os.getpid()


def test_work_for_devices_runs_in_one_process_a_device_that_sees_it_alone() -> None:
    mapper = LocalMapper(num_workers=4, device_ids=("0", "GPU-7f"))
    found = set(mapper.map(place_of_worker, range(6), description="densepose", uses_device=True))
    assert {(device_id, num_threads) for device_id, num_threads, _ in found} == {("0", "2"), ("GPU-7f", "2")}
    assert len({pid for *_, pid in found}) == 2


@pytest.mark.parametrize("device_ids", [(), ("0",)])
def test_work_for_no_or_one_device_stays_in_this_process(device_ids: tuple[str, ...]) -> None:
    mapper = LocalMapper(num_workers=2, device_ids=device_ids)
    found = list(mapper.map(place_of_worker, range(2), description="densepose", uses_device=True))
    assert {pid for *_, pid in found} == {os.getpid()}


def test_forbidding_gpus_leaves_no_device() -> None:
    assert local_mapper(RuntimeParams(num_workers=3, device="cpu")) == LocalMapper(
        num_workers=3, device_ids=()
    )


SCRIPT = """
import os, sys, time
import torch
from mcld.stages.mapper import LocalMapper

def threads(_):
    time.sleep(0.2)
    return torch.get_num_threads()

if __name__ == "__main__":
    mapper = LocalMapper(num_workers=6, device_ids=("0", "1"))
    print(set(mapper.map(threads, range(2), description="latents", uses_device=True)))
"""


def test_workers_of_a_script_that_imports_torch_first_keep_to_their_threads(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    for name in THREAD_VARIABLES:
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, str(path)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "{3}", done.stderr
