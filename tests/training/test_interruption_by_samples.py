"""Looking at samples in the middle of training changes nothing: later bits are as if nobody had looked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mcld.config import GenerateParams
from mcld.diffusion import NoiseSchedule, ddim_scheduler, initial_noise, sample
from mcld.models import MCLD
from mcld.training.loop import TrainingProgress, train_model
from mcld.types import Conditions
from tests.tiny_models import LATENT_CHANNELS, TINY_CONFIG
from tests.training.tiny_run import Recorder, TinyBatches, tiny_settings

NUM_STEPS = 6
Look = Callable[[MCLD, MCLD], None]  # at the model in training, and at its average
Run = tuple[str, list[float]]


def conditions_of(num_rows: int, *, seed: int, latent_hw: tuple[int, int] = (4, 2)) -> Conditions:
    generator = torch.Generator().manual_seed(seed)
    image_hw = (latent_hw[0] * 8, latent_hw[1] * 8)
    return Conditions(
        target_iuv=torch.randint(0, 25, (num_rows, 3, *image_hw), generator=generator).to(torch.uint8),
        texture_latent=torch.randn(num_rows, LATENT_CHANNELS, 4, 4, generator=generator),
        image_embedding=torch.randn(num_rows, 8, generator=generator),
        texture_embedding=torch.randn(num_rows, 8, generator=generator),
        face_embedding=torch.randn(num_rows, 6, generator=generator),
        face_found=torch.arange(num_rows) % 2 == 0,
    )


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def render(
    model: MCLD, *, num_rows: int, latent_hw: tuple[int, int] = (4, 2), compiled: bool = False
) -> None:
    """Three guided steps with a number of rows and a size that training does not have."""
    prepared = model.prepare(conditions_of(num_rows, seed=9, latent_hw=latent_hw), with_null=True)
    denoise = torch.compile(model.denoise, backend="aot_eager", fullgraph=True) if compiled else model.denoise
    noise = initial_noise(range(num_rows), shape_CHW=(LATENT_CHANNELS, *latent_hw))
    latent = sample(
        lambda latent, timestep: denoise(latent, timestep_B=timestep, prepared=prepared),
        noise_BCHW=noise,
        scheduler=ddim_scheduler(NoiseSchedule()),
        num_steps=3,
        guidance_scale=GenerateParams().guidance_scale,
    )
    assert bool(latent.isfinite().all())


def look_at_both(model: MCLD, average: MCLD) -> None:
    render(model, num_rows=2)
    render(average, num_rows=2)


def look_in_another_mode(model: MCLD, average: MCLD) -> None:
    model.eval()
    average.train()
    look_at_both(model, average)
    model.train()
    average.eval()
    model.eval()  # and forgotten


def look_at_other_batches(model: MCLD, average: MCLD) -> None:
    for network in (model, average):
        render(network, num_rows=1)
        render(network, num_rows=5)
        render(network, num_rows=3, latent_hw=(6, 8))


def look_through_the_compiler(model: MCLD, average: MCLD) -> None:
    for network in (model, average):
        render(network, num_rows=2, compiled=True)


def look_in_half_precision_and_draw_random_numbers(model: MCLD, average: MCLD) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        look_at_both(model, average)
    torch.manual_seed(123)
    torch.randn(1000)


def look_with_a_loss(model: MCLD, _average: MCLD) -> None:
    """A validation loss with its graph, which is never walked back."""
    v = model(
        initial_noise(range(2), shape_CHW=(LATENT_CHANNELS, 4, 2)),
        timestep_B=torch.tensor([3, 700]),
        conditions=conditions_of(2, seed=9),
        drop_appearance_B=torch.tensor([True, False]),
    )
    assert v.square().mean().requires_grad


def train(directory: Path, *, look: Look | None, optimizer: str = "adamw", compiled: bool = False) -> Run:
    """The digest of all that the last checkpoint holds, and the losses. `look` is called halfway."""
    torch.manual_seed(0)
    model = MCLD(TINY_CONFIG)
    if compiled:
        torch._dynamo.reset()
        model.denoiser.compile(backend="aot_eager", fullgraph=True)
    settings = tiny_settings(
        directory, steps=NUM_STEPS, checkpoint_every_steps=NUM_STEPS, optimizer=optimizer
    )

    def then(kind: str, progress: TrainingProgress) -> None:
        if kind == "sample" and look is not None and progress.step < NUM_STEPS:
            look(model, progress.average)

    progress = train_model(model, batches=TinyBatches(), settings=settings, listener=Recorder(then=then))
    return _digest(directory), progress.losses


def _digest(directory: Path) -> str:
    """Of all tensors of the last checkpoint: weights, average, losses, optimiser state.

    PyTorch's own generator, which is kept beside them, is drawn from by looks and by nothing in training; and
    a file's header comes in no fixed order.
    """
    digest = hashlib.sha256()
    for path in sorted(directory.rglob(f"step-{NUM_STEPS:06d}/*.safetensors")):
        for name, value in sorted(load_file(path).items()):
            if not name.startswith("generator."):
                digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
                digest.update(value.numpy().tobytes())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Six steps that nobody looked at."""
    torch.set_num_threads(1)
    return train(tmp_path_factory.mktemp("straight"), look=None)


@pytest.mark.parametrize(
    "look",
    [
        look_at_both,
        look_in_another_mode,
        look_at_other_batches,
        pytest.param(look_through_the_compiler, marks=pytest.mark.long),
        look_in_half_precision_and_draw_random_numbers,
        look_with_a_loss,
    ],
)
def test_three_steps_a_look_and_three_steps_equal_six_steps_bit_for_bit(
    tmp_path: Path, look: Look, straight: Run
) -> None:
    assert train(tmp_path, look=look) == straight


def test_a_look_does_not_disturb_muon_either(tmp_path: Path) -> None:
    straight = train(tmp_path / "straight", look=None, optimizer="muon")
    assert train(tmp_path / "interrupted", look=look_at_both, optimizer="muon") == straight


@pytest.mark.long
@pytest.mark.slow
def test_a_look_does_not_disturb_a_compiled_model_either(tmp_path: Path) -> None:
    straight = train(tmp_path / "straight", look=None, compiled=True)
    assert train(tmp_path / "interrupted", look=look_at_other_batches, compiled=True) == straight


def test_the_comparison_would_notice_a_single_bit(tmp_path: Path, straight: Run) -> None:
    @torch.no_grad()
    def touch(model: MCLD, _average: MCLD) -> None:
        weight = model.pose_guider.conv_out.bias
        assert weight is not None
        weight[0] = torch.nextafter(weight[0], torch.tensor(1.0))

    assert train(tmp_path / "touched", look=touch) != straight
