"""Two processes save together and load what any number has saved, held whole (DDP) or in shares (FSDP2)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from mcld.training.checkpoint import CheckpointStore
from mcld.training.checkpoint_tensors import tensors_of
from tests.torchrun import run_two
from tests.training.checkpoint_states import tiny_state

WORKER_PATH = Path(__file__).with_name("checkpoint_worker.py")
RUN = "run"
WAYS = ["replicated", "sharded"]
Tensors = dict[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What two processes left: the folder, whole tensors by way, and events by rank."""

    folder: Path
    tensors: dict[str, Tensors]
    events: list[dict[str, Any]]


def open_store(directory: Path) -> CheckpointStore:
    return CheckpointStore.open(directory, fingerprint=RUN, keep_last=2, keep_every=0, facts={})


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = tmp_path_factory.mktemp("checkpoints")
    store, state = open_store(folder / "plain"), tiny_state(num_steps=3)
    store.save(state, step=4)
    store.finish()
    finished = run_two(str(WORKER_PATH), str(folder))
    assert finished.returncode == 0, finished.stderr
    by_way: dict[str, Tensors] = {
        "last-plain": {name: value.clone() for name, value in tensors_of(state).items()}
    }
    for key, value in load_file(folder / "results.safetensors").items():
        way, _, name = key.partition("/")
        by_way.setdefault(way, {})[name] = value
    events = json.loads((folder / "events.json").read_text())
    return Outcome(folder=folder, tensors=by_way, events=events)


def assert_same(found: Tensors, expected: Tensors) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype, name
        assert torch.equal(found[name], value), name


@pytest.mark.slow
@pytest.mark.parametrize("source", ["plain", *WAYS])
@pytest.mark.parametrize("way", WAYS)
def test_two_processes_load_what_any_number_has_saved(outcome: Outcome, source: str, way: str) -> None:
    assert [events[f"step-{source}-{way}"] for events in outcome.events] == [4, 4]
    assert_same(outcome.tensors[f"{source}-{way}"], outcome.tensors[f"last-{source}"])


@pytest.mark.slow
def test_one_process_loads_what_two_replicas_saved_and_says_so(
    outcome: Outcome, caplog: pytest.LogCaptureFixture
) -> None:
    state = tiny_state(seed=9)
    with caplog.at_level("INFO"):
        assert open_store(outcome.folder / "replicated").resume(state) == 4
    assert "saved by 2 processes, now there are 1" in caplog.text
    assert_same(tensors_of(state), outcome.tensors["last-replicated"])


@pytest.mark.slow
def test_one_process_loads_the_shares_of_two_and_agrees_on_what_is_damaged(outcome: Outcome) -> None:
    state = tiny_state(seed=9)
    assert open_store(outcome.folder / "sharded").resume(state) == 3  # the newest was damaged
    assert_same(tensors_of(state), outcome.tensors["first-sharded"])


@pytest.mark.slow
def test_all_processes_pass_over_a_checkpoint_of_which_one_saw_the_damage(outcome: Outcome) -> None:
    assert [events["step-damaged"] for events in outcome.events] == [3, 3]
    assert_same(outcome.tensors["damaged"], outcome.tensors["first-sharded"])


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_collectives_of_training_go_on_beside_a_save(outcome: Outcome, way: str) -> None:
    expected = [2.0 * number + 1.0 for number in range(20)]
    assert [events[f"sums-{way}"] for events in outcome.events] == [expected, expected]


@pytest.mark.slow
def test_what_both_processes_hold_is_written_once_and_by_turns(outcome: Outcome) -> None:
    names_by_rank: list[list[str]] = [[], []]
    num_bytes = [0, 0]
    for path in (outcome.folder / "replicated" / RUN / "step-000004").glob("*.safetensors"):
        rank = int(path.name.split("-")[1]) - 1
        with safe_open(path, framework="pt") as file:
            names_by_rank[rank] += file.keys()
            num_bytes[rank] += sum(file.get_tensor(name).nbytes for name in file.keys())  # noqa: SIM118
    assert not set(names_by_rank[0]) & set(names_by_rank[1])
    generators = {"generator.00000", "generator.00001"}
    assert {*names_by_rank[0], *names_by_rank[1]} == {*outcome.tensors["last-replicated"], *generators}
    assert abs(num_bytes[0] - num_bytes[1]) < 100


@pytest.mark.slow
def test_a_disk_that_is_full_for_one_process_fails_both_and_leaves_nothing(outcome: Outcome) -> None:
    for events in outcome.events:
        assert "step-000005" in events["full"]
        assert "cannot be written" in events["full"]
    left = sorted(path.name for path in (outcome.folder / "replicated" / RUN).iterdir())
    assert left == ["step-000003", "step-000004"]
