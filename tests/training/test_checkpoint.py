"""A checkpoint is whole or not there; the newest valid one of the same run wins."""

import logging
from pathlib import Path

import pytest
import torch
from torch import nn

from mcld.training.checkpoint import TrainingState, load_checkpoint, newest_checkpoint, save_checkpoint


def _trained_state(*, seed: int, num_steps: int) -> TrainingState:
    torch.manual_seed(seed)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    for _ in range(num_steps):
        optimizer.zero_grad()
        model(torch.ones(4, 3)).square().sum().backward()
        optimizer.step()
    return TrainingState(modules={"model": model}, optimizers={"adamw": optimizer})


def test_a_loaded_state_continues_bit_for_bit(tmp_path: Path) -> None:
    straight = _trained_state(seed=0, num_steps=6)
    halfway = _trained_state(seed=0, num_steps=3)
    save_checkpoint(tmp_path, step=3, state=halfway, fingerprint="a")
    resumed = _trained_state(seed=9, num_steps=0)
    checkpoint = newest_checkpoint(tmp_path, fingerprint="a")
    assert checkpoint is not None
    load_checkpoint(checkpoint, state=resumed)
    model = resumed.modules["model"]
    for _ in range(3):
        resumed.optimizers["adamw"].zero_grad()
        model(torch.ones(4, 3)).square().sum().backward()
        resumed.optimizers["adamw"].step()
    for name, value in straight.modules["model"].state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name


def test_a_damaged_newest_checkpoint_is_passed_over_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = _trained_state(seed=0, num_steps=1)
    save_checkpoint(tmp_path, step=10, state=state, fingerprint="a")
    newest = save_checkpoint(tmp_path, step=20, state=state, fingerprint="a")
    path = newest.path / "state.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with caplog.at_level(logging.WARNING):
        found = newest_checkpoint(tmp_path, fingerprint="a")
    assert found is not None
    assert found.step == 10
    assert "step-000020" in caplog.text
    assert "damaged" in caplog.text


def test_a_checkpoint_of_another_run_is_not_used(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, step=1, state=_trained_state(seed=0, num_steps=1), fingerprint="a")
    assert newest_checkpoint(tmp_path, fingerprint="b") is None


def test_only_the_last_two_are_kept(tmp_path: Path) -> None:
    state = _trained_state(seed=0, num_steps=1)
    for step in (1, 2, 3, 4):
        save_checkpoint(tmp_path, step=step, state=state, fingerprint="a")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000003", "step-000004"]
