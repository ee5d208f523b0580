"""What cannot go on ends with a sentence in every process, and soon; what can is skipped and counted."""

from __future__ import annotations

import logging
import math
import signal
from pathlib import Path

import pytest
import torch

from mcld.errors import CheckpointError
from mcld.training.loop import train_model
from tests.torchrun import TIMEOUT_S
from tests.training.real_processes import plan_of, start_alone, start_two_ranks, told
from tests.training.tiny_run import Recorder, TinyBatches, tiny_model, tiny_settings

BATCHES = {"batch_size": 4, "epoch_size": 10}
TRAIN = {"batch_size": 4, "optimizer": "adamw"}


def test_a_step_whose_loss_is_no_number_changes_nothing_and_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its sample is named; the run with the step left out has the same weights."""
    model, recorder = tiny_model(), Recorder()
    damaged = TinyBatches(damaged=frozenset({(0, 2)}))  # in the second step
    before: list[torch.Tensor] = []
    settings = tiny_settings(tmp_path, sample_every_steps=1)

    def keep(kind: str, _progress: object) -> None:
        if kind == "sample":
            before.append(next(model.parameters()).detach().clone())

    recorder = Recorder(then=keep)
    with caplog.at_level(logging.WARNING):
        progress = train_model(model, batches=damaged, settings=settings, listener=recorder)
    assert [math.isnan(loss) for loss in progress.losses] == [False, True, False, False, False, False]
    assert [report.skipped for report in recorder.reports] == [False, True, False, False, False, False]
    assert torch.equal(before[0], before[1]), "nothing changed in the skipped step"
    assert not torch.equal(before[1], before[2])
    assert "not a number at step 2" in caplog.text
    assert "0:2" in caplog.text


def test_too_many_in_a_row_stop_the_training_and_keep_the_last_checkpoint(tmp_path: Path) -> None:
    from_third_on = frozenset(
        (epoch, index) for epoch in range(9) for index in range(99) if (epoch, index) > (0, 3)
    )
    settings = tiny_settings(tmp_path, max_skipped_steps=3)
    with pytest.raises(
        CheckpointError, match=r"at step 5, the last of 3 skipped in a row.*train\.learning_rate"
    ):
        train_model(
            tiny_model(), batches=TinyBatches(damaged=from_third_on), settings=settings, listener=Recorder()
        )
    assert list(tmp_path.rglob("step-000002/record.json"))


@pytest.mark.slow
def test_running_out_of_memory_says_what_was_held_and_what_to_lower(tmp_path: Path) -> None:
    case = {"directory": str(tmp_path), "batches": BATCHES, "train": TRAIN, "fault": [0, "squeeze", 1]}
    process = start_alone(plan_of(tmp_path, cases=[case]))
    _, errors = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 2, errors
    message = told(tmp_path)["message"]
    assert "4 rows at once in this process, at 32 x 16 pixels, do not fit into memory" in message
    for remedy in (
        "runtime.accumulation_steps (1)",
        "runtime.gradient_checkpointing",
        "train.batch_size (4)",
    ):
        assert remedy in message


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["kill", "stall"])
def test_a_process_without_its_other_ends_with_a_sentence(tmp_path: Path, kind: str) -> None:
    """Also where no agent watches; a stalled one is given up after `runtime.collective_timeout_s`."""
    case = {
        "directory": str(tmp_path),
        "batches": BATCHES,
        "train": TRAIN,
        "runtime": {"collective_timeout_s": 5},
        "fault": [1, kind, 2],
    }
    first, second = start_two_ranks(plan_of(tmp_path, cases=[case]))
    try:
        _, errors = first.communicate(timeout=TIMEOUT_S)
    finally:
        second.kill()
        second.communicate()
    assert first.returncode == 2, errors
    message = told(tmp_path)["message"]
    assert "process 0 of 2 lost another one, or waited longer than 5 s for it" in message
    assert "repeat the command to go on" in message
    if kind == "kill":
        assert second.returncode == -signal.SIGKILL
