"""A checkpoint is a snapshot, whole or not there; the newest valid one of the same run wins."""

from __future__ import annotations

import logging
import resource
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from mcld.errors import CheckpointError, DataError
from mcld.storage import read_json
from mcld.training.checkpoint import CheckpointStore, TrainingState
from mcld.training.checkpoint_tensors import tensors_of
from tests.training.checkpoint_states import tiny_state, train

RUN = "a" * 64


def open_store(
    directory: Path, *, keep_last: int = 2, keep_every: int = 0, run: str = RUN
) -> CheckpointStore:
    return CheckpointStore.open(
        directory, fingerprint=run, keep_last=keep_last, keep_every=keep_every, facts={"run_id": "7"}
    )


def save_steps(directory: Path, *, steps: list[int], run: str = RUN, keep_every: int = 0) -> TrainingState:
    """The state after the last of the steps, each of which is saved."""
    store = open_store(directory, run=run, keep_every=keep_every)
    state = tiny_state()
    done = 0
    for step in steps:
        train(state, num_steps=step - done)
        done = step
        store.save(state, step=step)
    store.finish()
    return state


def copies_of(state: TrainingState) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in tensors_of(state).items()}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype, name
        assert torch.equal(found[name], value), name


def folders(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.glob("*/*"))


def test_a_resumed_state_is_the_saved_one_and_continues_bit_for_bit(tmp_path: Path) -> None:
    saved = save_steps(tmp_path, steps=[3])
    resumed = tiny_state(seed=9)
    assert open_store(tmp_path).resume(resumed) == 3
    assert_same(copies_of(resumed), copies_of(saved))
    train(saved, num_steps=3)
    train(resumed, num_steps=3)
    assert_same(copies_of(resumed), copies_of(saved))


def test_steps_taken_right_after_save_do_not_leak_into_it(tmp_path: Path) -> None:
    store, state = open_store(tmp_path), tiny_state(num_steps=1)
    expected = copies_of(state)
    store.save(state, step=1)
    for value in tensors_of(state).values():
        value.zero_()
    store.finish()
    resumed = tiny_state(seed=9)
    open_store(tmp_path).resume(resumed)
    assert_same(copies_of(resumed), expected)


def test_pytorchs_generator_is_kept(tmp_path: Path) -> None:
    save_steps(tmp_path, steps=[1])
    expected = torch.randn(3)
    torch.manual_seed(99)
    open_store(tmp_path).resume(tiny_state())
    assert torch.equal(torch.randn(3), expected)


def test_channels_last_weights_keep_their_layout_and_values(tmp_path: Path) -> None:
    def convolution(seed: int) -> TrainingState:
        torch.manual_seed(seed)
        network = nn.Conv2d(3, 4, 3)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # nn.Module.to takes it
        return TrainingState(modules={"model": network}, optimizers={})

    saved, resumed = convolution(0), convolution(1)
    store = open_store(tmp_path)
    store.save(saved, step=1)
    store.finish()
    open_store(tmp_path).resume(resumed)
    assert_same(copies_of(resumed), copies_of(saved))
    weight = resumed.modules["model"].get_parameter("weight")
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_only_safetensors_and_a_record_are_written(tmp_path: Path) -> None:
    store, state = open_store(tmp_path), tiny_state(num_steps=1)
    store.save(state, step=1)
    store.finish()
    (checkpoint,) = store.saved
    names = {path.name for path in checkpoint.path.iterdir()}
    assert names == {*checkpoint.files, "record.json"}
    stored: set[str] = set()
    for name in checkpoint.files:
        with safe_open(checkpoint.path / name, framework="pt") as file:
            stored |= set(file.keys())
    assert stored == {*tensors_of(state), "generator.00000"}
    record = read_json(checkpoint.path / "record.json")
    assert isinstance(record, dict)
    assert record["step"] == 1
    assert record["facts"] == {"run_id": "7"}
    assert record["num_processes"] == 1


def test_a_state_of_many_files_comes_back(tmp_path: Path) -> None:
    store = CheckpointStore.open(
        tmp_path, fingerprint=RUN, keep_last=2, keep_every=0, facts={}, file_bytes=64
    )
    saved = tiny_state(num_steps=2)
    store.save(saved, step=2)
    store.finish()
    assert len(list((tmp_path / RUN[:16] / "step-000002").glob("*.safetensors"))) > 3
    resumed = tiny_state(seed=9)
    open_store(tmp_path).resume(resumed)
    assert_same(copies_of(resumed), copies_of(saved))


@pytest.mark.parametrize("damage", ["a byte", "cut", "missing", "record", "no record"])
def test_a_damaged_newest_checkpoint_is_passed_over_with_a_warning(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    save_steps(tmp_path, steps=[10, 20])
    newest = tmp_path / RUN[:16] / "step-000020"
    path = newest / "record.json" if "record" in damage else next(newest.glob("*00001-of*.safetensors"))
    content = path.read_bytes()
    changed = {"a byte": content[:-1] + bytes([content[-1] ^ 1]), "cut": content[:-8], "record": content[:-9]}
    if damage in changed:
        path.write_bytes(changed[damage])
    else:
        path.unlink()
    expected = tiny_state(num_steps=10)
    resumed = tiny_state(seed=9)
    with caplog.at_level(logging.WARNING):
        assert open_store(tmp_path).resume(resumed) == 10
    assert str(path) in caplog.text
    assert_same(copies_of(resumed), copies_of(expected))


def test_a_damaged_checkpoint_is_replaced_when_its_step_comes_again_and_counts_for_nothing(
    tmp_path: Path,
) -> None:
    save_steps(tmp_path, steps=[10, 20])
    damaged = next((tmp_path / RUN[:16] / "step-000020").glob("*.safetensors"))
    damaged.write_bytes(b"")
    store, state = open_store(tmp_path, keep_last=2), tiny_state(seed=9)
    assert store.resume(state) == 10
    for step in (12, 14):
        store.save(state, step=step)
    store.finish()
    assert [name[-6:] for name in folders(tmp_path)] == ["000012", "000014", "000020"]
    store.save(state, step=20)
    store.finish()
    assert open_store(tmp_path).resume(tiny_state()) == 20


def test_the_newest_are_kept_and_every_so_many_steps(tmp_path: Path) -> None:
    save_steps(tmp_path, steps=[1, 2, 3, 4, 5, 6, 7], keep_every=3)
    assert [int(name[-6:]) for name in folders(tmp_path)] == [3, 6, 7]


def test_a_step_that_is_saved_is_not_written_again(tmp_path: Path) -> None:
    state = save_steps(tmp_path, steps=[2])
    store = open_store(tmp_path)
    assert store.resume(state) == 2
    before = (tmp_path / RUN[:16] / "step-000002").stat().st_ino
    store.save(state, step=2)
    store.finish()
    assert (tmp_path / RUN[:16] / "step-000002").stat().st_ino == before


def test_another_run_is_not_used_and_keeps_its_newest_checkpoint_and_its_milestones(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_steps(tmp_path, steps=[2, 3, 4, 5], keep_every=2)
    with caplog.at_level(logging.WARNING):
        store = open_store(tmp_path, run="b" * 64)
    assert store.resume(tiny_state()) == 0
    assert [int(name[-6:]) for name in folders(tmp_path)] == [2, 4, 5]
    store.save(tiny_state(), step=1)
    store.finish()
    with caplog.at_level(logging.WARNING):
        open_store(tmp_path, run="c" * 64)
    assert "2 other runs" in caplog.text
    assert "delete what you no longer need" in caplog.text
    assert [int(name[-6:]) for name in folders(tmp_path)] == [2, 4, 5, 1]


def test_what_another_run_has_beyond_that_goes_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_steps(tmp_path, steps=[2, 3])
    with caplog.at_level(logging.WARNING):
        open_store(tmp_path, run="b" * 64)
    assert [int(name[-6:]) for name in folders(tmp_path)] == [3]
    assert "removed all but the newest (step 2)" in caplog.text


def test_leftovers_of_killed_runs_are_removed(tmp_path: Path) -> None:
    for run in (RUN, "b" * 64):
        leftover = tmp_path / run[:16] / ".step-000004.tmp"
        leftover.mkdir(parents=True)
        (leftover / "shard-00001-model-00001-of-00001.safetensors").write_bytes(b"half")
    open_store(tmp_path)
    assert not list(tmp_path.rglob(".step*"))


def test_another_shape_or_name_is_an_error_that_says_so(tmp_path: Path) -> None:
    save_steps(tmp_path, steps=[1])
    with pytest.raises(CheckpointError, match=r"step-000001.*'module\.average\.average\.first.*\(5.*\(6"):
        open_store(tmp_path).resume(tiny_state(width=6))
    state = tiny_state()
    state.modules["extra"] = nn.Linear(1, 1)
    with pytest.raises(CheckpointError, match=r"'module\.extra\.bias' is missing"):
        open_store(tmp_path).resume(state)
    del state.modules["extra"], state.modules["average"]
    with pytest.raises(CheckpointError, match=r"'module\.average.*' is not of this model; .* and \d+ more"):
        open_store(tmp_path).resume(state)


def test_a_full_disk_is_told_at_the_next_call_and_leaves_the_one_before(tmp_path: Path) -> None:
    store, state = open_store(tmp_path), tiny_state(num_steps=1)
    store.save(state, step=1)
    store.finish()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    try:
        store.save(state, step=2)
        with pytest.raises(
            DataError, match=r"step-000002.*cannot be written.*runtime\.keep_last_checkpoints"
        ):
            store.save(state, step=3)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert folders(tmp_path) == [f"{RUN[:16]}/step-000001"]
    store.save(state, step=3)
    store.finish()
    assert open_store(tmp_path).resume(tiny_state()) == 3


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / RUN[:16]).write_text("in the way")
    store = open_store(tmp_path)
    store.save(tiny_state(), step=1)
    with pytest.raises(DataError, match="cannot be written"):
        store.finish()
