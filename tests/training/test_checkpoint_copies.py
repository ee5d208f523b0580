"""Copies of checkpoints in a store: a machine without any goes on from them; no fault stops a training."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from mcld.errors import StorageError
from mcld.storage.transfer import upload_file
from mcld.training.checkpoint import CheckpointStore, TrainingState
from mcld.training.checkpoint_copies import CheckpointCopies
from mcld.training.checkpoint_tensors import tensors_of
from tests.s3_server import Fault
from tests.stores import Store
from tests.training.checkpoint_states import tiny_state, train

RUN = "a" * 64


def copies_in(store: Store) -> CheckpointCopies:
    return CheckpointCopies(folder=store.folder.below("run"), fingerprint=RUN, keep_last=2, keep_every=0)


def open_store(directory: Path, *, store: Store) -> CheckpointStore:
    return CheckpointStore.open(
        directory, fingerprint=RUN, keep_last=2, keep_every=0, facts={}, copies=copies_in(store)
    )


def save_steps(directory: Path, *, store: Store, steps: list[int]) -> tuple[CheckpointStore, TrainingState]:
    """Each copied before the next one is made; and the state after the last one."""
    checkpoints, state = open_store(directory, store=store), tiny_state()
    done = 0
    for step in steps:
        train(state, num_steps=step - done)
        done = step
        checkpoints.save(state, step=step)
        checkpoints.close()
    return checkpoints, state


def resumed_step(directory: Path, *, store: Store, expected: TrainingState | None = None) -> int:
    """Where a run goes on in this folder; that its state then is the expected one."""
    state = tiny_state(seed=9)
    step = open_store(directory, store=store).resume(state)
    if expected is not None:
        wanted = tensors_of(expected)
        assert all(value.equal(wanted[name]) for name, value in tensors_of(state).items())
    return step


def folder_names(store: Store) -> set[str]:
    return {name.split("/")[1] for name in store.names()}


def test_a_machine_without_checkpoints_goes_on_from_the_newest_copy(store: Store, tmp_path: Path) -> None:
    store.script.begin(Fault(kind="status", status=503, method="PUT", match="step-000002", times=2))
    checkpoints, state = save_steps(tmp_path / "one", store=store, steps=[1, 2, 3])
    assert checkpoints.copies is not None
    assert (checkpoints.copies.num_sent, checkpoints.copies.num_failed) == (3, 0)
    assert folder_names(store) == {"step-000002", "step-000003"}  # as many as stay here
    sent = [request.path.rpartition("/")[2] for request in store.script.of("PUT", "step-000003")]
    assert sent[-1] == "record.json"

    store.script.begin(Fault(kind="cut", match="step-000003/shard", after_bytes=100, times=2))
    assert resumed_step(tmp_path / "two", store=store, expected=state) == 3
    store.script.begin()
    assert resumed_step(tmp_path / "two", store=store, expected=state) == 3
    assert not store.script.of("GET", "shard")  # it is here now


def test_a_refusal_is_counted_and_the_next_checkpoint_is_sent(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store.script.begin(Fault(kind="status", status=403, method="PUT", match="step-000002/record", times=1))
    checkpoints, _ = save_steps(tmp_path / "one", store=store, steps=[1, 2])
    assert checkpoints.copies is not None
    assert (checkpoints.copies.num_sent, checkpoints.copies.num_failed) == (1, 1)
    assert "step 2 is not copied (1 so far): s3://" in caplog.text
    assert "access denied (HTTP 403" in caplog.text
    assert resumed_step(tmp_path / "two", store=store) == 1  # half a copy is none

    checkpoints, _ = save_steps(tmp_path / "one", store=store, steps=[3, 4])
    assert folder_names(store) == {"step-000003", "step-000004"}  # halves go, too


def test_the_better_one_of_a_checkpoint_and_its_copy_is_used(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, state = save_steps(tmp_path / "one", store=store, steps=[1, 2])
    path = next((tmp_path / "one").glob("*/step-000002/shard-*"))
    path.write_bytes(path.read_bytes()[:-1])
    assert resumed_step(tmp_path / "one", store=store, expected=state) == 2
    assert "is damaged" in caplog.text

    name = f"run/step-000002/{path.name}"
    store.put(name, store.folder.read(name)[::-1])
    caplog.clear()
    assert resumed_step(tmp_path / "two", store=store) == 1
    assert "step-000002" in caplog.text
    assert "it is not used" in caplog.text

    record = json.loads(store.folder.read("run/step-000001/record.json"))
    record["files"] = {"../../elsewhere": {"num_bytes": 1, "sha256": "0" * 64}}
    (tmp_path / "record.json").write_text(json.dumps(record))
    upload_file(tmp_path / "record.json", folder=store.folder, name="run/step-000001/record.json")
    assert resumed_step(tmp_path / "three", store=store) == 0
    assert "names '../../elsewhere'" in caplog.text


def test_without_an_answer_nobody_starts_anew_but_who_has_a_checkpoint_goes_on(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_steps(tmp_path / "one", store=store, steps=[1])
    away = Fault(kind="status", status=503, match="list-type", times=100)
    store.script.begin(replace(away))
    with pytest.raises(StorageError, match="gave up after 4 tries"):
        resumed_step(tmp_path / "two", store=store)
    with caplog.at_level(logging.WARNING):
        assert resumed_step(tmp_path / "one", store=store) == 1
    assert "the newest checkpoint here is used" in caplog.text
