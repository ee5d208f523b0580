"""Training resumes bit for bit, learns, and stops when the loss is not a number."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
import torch

from mcld.config import DiffusionParams, TrainParams
from mcld.errors import CheckpointError
from mcld.models import MCLD
from mcld.training.loop import TrainingProgress, TrainingSettings, train_model
from mcld.training.step import EmbeddingFacts
from mcld.types import Batch, Pair
from tests.tiny_models import TINY_CONFIG


class FixedBatches:
    """Three different batches an epoch; `scale` damages the targets."""

    num_batches = 3

    def __init__(self, *, scale: float = 1.0) -> None:
        self.scale = scale

    def batches(self, *, start_step: int) -> Iterator[Batch]:
        for step in count(start_step):
            yield self._batch(step // self.num_batches, index=step % self.num_batches)

    def _batch(self, epoch: int, *, index: int) -> Batch:
        generator = torch.Generator().manual_seed(index)
        iuv = torch.randint(0, 25, (2, 3, 32, 16), generator=generator).to(torch.uint8)
        return Batch(
            pairs=(Pair(source="a/1_front", target="a/2_side", split="train"),) * 2,
            step=epoch * self.num_batches + index,
            sample_ids=((epoch, 2 * index), (epoch, 2 * index + 1)),
            target_moments=torch.cat([torch.full((2, 4, 4, 2), 2.0), torch.full((2, 4, 4, 2), -10.0)], dim=1)
            * self.scale,
            target_iuv=iuv,
            texture_moments=torch.randn(2, 8, 4, 4, generator=generator),
            image_embedding=torch.randn(2, 8, generator=generator),
            texture_embedding=torch.randn(2, 8, generator=generator),
            face_embedding=torch.randn(2, 6, generator=generator),
            face_found=torch.tensor([True, False]),
        )


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _run(
    directory: Path, *, num_steps: int, learning_rate: float = 1e-2, scale: float = 1.0, ema: bool = True
) -> tuple[TrainingProgress, MCLD, list[str]]:
    torch.manual_seed(0)
    model = MCLD(TINY_CONFIG)
    train = TrainParams(
        steps=6,
        learning_rate=learning_rate,
        checkpoint_every_steps=2,
        sample_every_steps=3,
        warmup_steps=1,
        ema=ema,
    )
    settings = TrainingSettings(
        train=train.model_copy(update={"steps": num_steps}),
        diffusion=DiffusionParams(),
        scaling_factor=1.0,
        facts=EmbeddingFacts(image_spread=torch.ones(8), blank=None),
        fingerprint="run",
        checkpoint_dir=directory,
    )
    events: list[str] = []
    progress = train_model(
        model,
        batches=FixedBatches(scale=scale),
        settings=settings,
        on_checkpoint=lambda state: events.append(f"checkpoint {state.step}"),
        on_sample=lambda state: events.append(f"sample {state.step}"),
    )
    return progress, model, events


class _StopHereError(Exception):
    pass


def _killed_at(directory: Path, *, step: int) -> None:
    """Train the 6-step run until just after a listener has been called at `step`."""
    torch.manual_seed(0)
    settings = TrainingSettings(
        train=TrainParams(
            steps=6, learning_rate=1e-2, checkpoint_every_steps=2, sample_every_steps=3, warmup_steps=1
        ),
        diffusion=DiffusionParams(),
        scaling_factor=1.0,
        facts=EmbeddingFacts(image_spread=torch.ones(8), blank=None),
        fingerprint="run",
        checkpoint_dir=directory,
    )

    def stop(progress: TrainingProgress) -> None:
        if progress.step == step:
            raise _StopHereError

    with pytest.raises(_StopHereError):
        train_model(
            MCLD(TINY_CONFIG), batches=FixedBatches(), settings=settings, on_checkpoint=stop, on_sample=stop
        )


@pytest.mark.parametrize("step", [2, 3, 4])
def test_an_interrupted_run_ends_like_an_undisturbed_one_bit_for_bit(tmp_path: Path, step: int) -> None:
    straight, straight_model, _ = _run(tmp_path / "straight", num_steps=6)
    _killed_at(tmp_path / "killed", step=step)
    resumed, resumed_model, _ = _run(tmp_path / "killed", num_steps=6)
    assert resumed.losses == straight.losses
    for name, value in straight_model.state_dict().items():
        assert torch.equal(resumed_model.state_dict()[name], value), name
    for name, value in straight.average.state_dict().items():
        assert torch.equal(resumed.average.state_dict()[name], value), name


def test_without_averaging_the_trained_weights_are_the_result(tmp_path: Path) -> None:
    progress, model, _ = _run(tmp_path, num_steps=4, ema=False)
    assert progress.average is model


def test_listeners_are_called_at_their_steps(tmp_path: Path) -> None:
    _, _, events = _run(tmp_path, num_steps=6)
    assert events == ["checkpoint 2", "sample 3", "checkpoint 4", "sample 6", "checkpoint 6"]


def test_the_loss_falls_on_repeated_batches(tmp_path: Path) -> None:
    progress, _, _ = _run(tmp_path, num_steps=40)
    assert sum(progress.losses[-10:]) < 0.6 * sum(progress.losses[:10])


def test_a_loss_that_is_not_a_number_stops_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"not a number at step 1.*train\.learning_rate"):
        _run(tmp_path, num_steps=6, scale=float("nan"))
