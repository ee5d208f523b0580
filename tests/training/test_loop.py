"""Training resumes bit for bit, learns, reports what happened, and cuts batches into pieces that add up."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from mcld.config import RuntimeParams
from mcld.errors import ConfigError
from mcld.models import MCLD
from mcld.training.loop import train_model
from mcld.training.reports import TrainingProgress
from tests.training.tiny_run import Recorder, TinyBatches, tiny_model, tiny_settings


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class _StopHereError(Exception):
    pass


def _run(
    directory: Path, *, kill_at: int | None = None, epoch_size: int = 6, **train: Any
) -> tuple[TrainingProgress, MCLD, Recorder, TinyBatches]:
    def stop(_kind: str, progress: TrainingProgress) -> None:
        if progress.step == kill_at:
            raise _StopHereError

    model, recorder = tiny_model(), Recorder(then=stop)
    batches = TinyBatches(epoch_size=epoch_size)
    progress = train_model(
        model, batches=batches, settings=tiny_settings(directory, **train), listener=recorder
    )
    return progress, model, recorder, batches


# A save takes as long as several steps of so small a model.
RARE_CHECKPOINTS: dict[str, Any] = {"checkpoint_every_steps": 1000}
Undisturbed = dict[str, tuple[TrainingProgress, MCLD, Recorder, TinyBatches]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """By optimiser. Five samples an epoch, two a step: batches run over the borders of epochs."""
    torch.set_num_threads(1)
    return {
        optimizer: _run(
            tmp_path_factory.mktemp(optimizer), epoch_size=5, optimizer=optimizer, **RARE_CHECKPOINTS
        )
        for optimizer in ("muon", "adamw")
    }


@pytest.mark.parametrize(("step", "optimizer"), [(2, "adamw"), (3, "muon"), (3, "adamw"), (4, "adamw")])
def test_an_interrupted_run_ends_like_an_undisturbed_one_bit_for_bit(
    tmp_path: Path, step: int, optimizer: str, undisturbed: Undisturbed
) -> None:
    straight, straight_model, _, seen = undisturbed[optimizer]
    with pytest.raises(_StopHereError):
        _run(tmp_path, kill_at=step, epoch_size=5, optimizer=optimizer)
    resumed, resumed_model, _, seen_again = _run(
        tmp_path, epoch_size=5, optimizer=optimizer, **RARE_CHECKPOINTS
    )
    assert resumed.losses == straight.losses
    first = seen_again.seen[0][0]
    assert 0 < first <= step
    assert seen_again.seen[: 6 - first] == seen.seen[first:6]
    assert ((0, 4), (1, 0)) in [ids for _, ids in seen.seen]
    for found, expected in ((resumed_model, straight_model), (resumed.average, straight.average)):
        weights = found.state_dict()
        for name, value in expected.state_dict().items():
            assert torch.equal(weights[name], value), name


def test_without_averaging_the_trained_weights_are_the_result(tmp_path: Path) -> None:
    progress, model, _, _ = _run(tmp_path, steps=4, ema=False, **RARE_CHECKPOINTS)
    assert progress.average is model


def test_listeners_are_called_at_their_steps(tmp_path: Path) -> None:
    progress, _, recorder, _ = _run(tmp_path)
    assert recorder.events == ["checkpoint 2", "sample 3", "checkpoint 4", "sample 6", "checkpoint 6"]
    assert [checkpoint.step for checkpoint in progress.saved] == [2, 4, 6]


def test_the_loss_falls_on_repeated_batches(tmp_path: Path) -> None:
    progress, _, _, _ = _run(tmp_path, steps=40, **RARE_CHECKPOINTS)
    assert sum(progress.losses[-10:]) < 0.6 * sum(progress.losses[:10])


def test_a_step_tells_its_figures(tmp_path: Path) -> None:
    progress, _, recorder, _ = _run(tmp_path, warmup_steps=2, **RARE_CHECKPOINTS)
    assert [report.step for report in recorder.reports] == [1, 2, 3, 4, 5, 6]
    assert [report.loss for report in recorder.reports] == progress.losses
    for report in recorder.reports:
        assert report.rows == sum(report.bin_counts) == 2
        assert sum(report.bin_sums) == pytest.approx(report.loss * report.rows)
        assert report.terms.keys() == {"face", "rest"}
        assert all(math.isfinite(term) and term > 0 for term in report.terms.values())
        assert report.gradient_norm > 0
        assert 0 <= report.data_wait_s <= report.seconds
        assert report.memory_bytes > 1e6
        assert not report.skipped
    assert recorder.reports[0].learning_rate == pytest.approx(5e-3)
    assert recorder.reports[1].learning_rate == pytest.approx(1e-2)


def test_reading_ahead_changes_nothing(tmp_path: Path) -> None:
    ahead, _, _, _ = _run(tmp_path / "ahead", **RARE_CHECKPOINTS)
    other, _, _, _ = _run(tmp_path / "other", reads_ahead=False, **RARE_CHECKPOINTS)
    assert ahead.losses == other.losses


@pytest.mark.parametrize("checkpointing", [False, True])
def test_pieces_of_a_batch_add_up_to_it(tmp_path: Path, *, checkpointing: bool) -> None:
    def run(num_pieces: int) -> tuple[list[float], list[float], MCLD]:
        runtime = RuntimeParams(accumulation_steps=num_pieces, gradient_checkpointing=checkpointing)
        settings = tiny_settings(
            tmp_path / str(num_pieces),
            runtime=runtime,
            batch_size=4,
            steps=2,
            optimizer="adamw",
            **RARE_CHECKPOINTS,
        )
        model, recorder = tiny_model(dtype=torch.float64), Recorder()
        progress = train_model(model, batches=TinyBatches(batch_size=4), settings=settings, listener=recorder)
        return progress.losses, [report.gradient_norm for report in recorder.reports], model

    whole, pieces = run(1), run(4)
    torch.testing.assert_close(torch.tensor(pieces[:2]), torch.tensor(whole[:2]), rtol=1e-9, atol=0)
    weights = pieces[2].state_dict()
    for name, value in whole[2].state_dict().items():
        torch.testing.assert_close(weights[name], value, rtol=1e-7, atol=1e-10, msg=name)


def test_a_batch_that_cannot_be_cut_evenly_is_refused_with_the_numbers(tmp_path: Path) -> None:
    settings = tiny_settings(tmp_path, runtime=RuntimeParams(accumulation_steps=3))
    with pytest.raises(
        ConfigError, match=r"train\.batch_size: 2 pairs .* 1 processes .* 3 pieces .*multiple of 3"
    ):
        train_model(tiny_model(), batches=TinyBatches(), settings=settings, listener=Recorder())


def test_graphs_without_a_compiler_are_refused(tmp_path: Path) -> None:
    settings = tiny_settings(tmp_path, runtime=RuntimeParams(cuda_graphs=True))
    with pytest.raises(ConfigError, match=r"runtime\.cuda_graphs.*runtime\.compile"):
        train_model(tiny_model(), batches=TinyBatches(), settings=settings, listener=Recorder())


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_the_schedule_is_the_one_asked_for(tmp_path: Path, schedule: str) -> None:
    _, _, recorder, _ = _run(
        tmp_path, schedule=schedule, steps=5, final_learning_rate_fraction=0.1, **RARE_CHECKPOINTS
    )
    rates = [report.learning_rate / 1e-2 for report in recorder.reports]
    expected = {"cosine": 0.55, "linear": 0.55, "constant": 1.0}
    assert rates[0] == rates[1] == pytest.approx(1.0)
    assert rates[3] == pytest.approx(expected[schedule])
    assert rates[2] == pytest.approx({"cosine": 0.868, "linear": 0.775, "constant": 1.0}[schedule], abs=1e-3)
