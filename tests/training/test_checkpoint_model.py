"""A checkpoint's model is the one that samples were made with: averaged, where training keeps an average."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mcld.errors import CheckpointError
from mcld.training.checkpoint_model import load_checkpoint_model
from mcld.training.loop import train_model
from mcld.training.reports import TrainingProgress
from tests.tiny_models import TINY_CONFIG
from tests.training.tiny_run import Recorder, TinyBatches, tiny_model, tiny_settings

RUN = "run"


def _train(directory: Path, *, ema: bool) -> dict[int, dict[str, Tensor]]:
    """The weights that samples were made with at each checkpoint, by step."""
    seen: dict[int, dict[str, Tensor]] = {}

    def keep(kind: str, progress: TrainingProgress) -> None:
        if kind == "checkpoint":
            seen[progress.step] = copy.deepcopy(progress.average.state_dict())

    settings = dataclasses.replace(
        tiny_settings(directory, ema=ema), record={"model": TINY_CONFIG.to_dict(), "params": {"seed": 0}}
    )
    train_model(
        tiny_model(), batches=TinyBatches(epoch_size=6), settings=settings, listener=Recorder(then=keep)
    )
    return seen


@pytest.mark.parametrize("ema", [True, False])
def test_the_model_is_the_one_that_samples_were_made_with(tmp_path: Path, ema: bool) -> None:
    expected = _train(tmp_path, ema=ema)
    for step in (4, 6):
        found = load_checkpoint_model(tmp_path, fingerprint=RUN, step=step)
        assert (found.step, found.facts["params"]) == (step, {"seed": 0})
        weights = found.model.state_dict()
        assert weights.keys() == expected[step].keys()
        assert all(torch.equal(value, expected[step][name]) for name, value in weights.items())
    assert any(not torch.equal(expected[4][name], value) for name, value in expected[6].items())


def test_a_step_that_was_not_kept_is_an_error_that_lists_those_that_were(tmp_path: Path) -> None:
    _train(tmp_path, ema=True)
    with pytest.raises(
        CheckpointError, match=r"no checkpoint of step 2; there are: 4, 6\. runtime\.keep_last"
    ):
        load_checkpoint_model(tmp_path, fingerprint=RUN, step=2)
    with pytest.raises(CheckpointError, match=r"no checkpoint of step 6; there are: none"):
        load_checkpoint_model(tmp_path, fingerprint="another", step=6)


def test_a_damaged_checkpoint_is_not_loaded(tmp_path: Path) -> None:
    _train(tmp_path, ema=True)
    [file, *_] = sorted(tmp_path.rglob("step-000006/*.safetensors"))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"step-000006/shard-.*is damaged"):
        load_checkpoint_model(tmp_path, fingerprint=RUN, step=6)
