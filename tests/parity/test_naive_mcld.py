"""The naive implementation gives the authors' numbers, so what it records may be trusted."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.authors_order import authors_sample, use_authors_order
from benchmarks.naive_mcld import NaiveMCLD, naive_sample
from mcld.diffusion import NoiseSchedule, ddim_scheduler, sample
from mcld.models import authors_states
from mcld.parity import relative_error, tolerances
from tests.golden import golden_dir
from tests.models.tiny import TINY, tiny_conditions, tiny_latent, tiny_model
from tests.parity.golden_writer import STATE_NAMES, record_prediction, record_sampling
from tests.parity.loss_writer import record_loss
from tests.parity.recording import Recording, copy_model, model_config

NUM_LOSSES = 2  # of the four recorded: the rest costs seconds and shows nothing more


@pytest.fixture(scope="module")
def folder() -> Path:
    return golden_dir("model")


@pytest.fixture(scope="module")
def recording(folder: Path) -> Recording:
    """How the authors' code was run."""
    loss, sampling = read(folder / "loss.json"), read(folder / "sampling.json")
    adamw = loss["results"]["adamw_trajectory"]
    return Recording(
        config=read(folder / "config.json"),
        inference=sampling["scheduler_kwargs"],
        training=sampling["valsched_kwargs"],
        noise_offset=loss["noise_offset"],
        snr_gamma=loss["snr_gamma"],
        adamw={**adamw, "num_losses": NUM_LOSSES},
    )


@pytest.fixture(scope="module")
def model(folder: Path, recording: Recording) -> NaiveMCLD:
    model = NaiveMCLD(model_config(recording))
    model.load_authors_states({name: load_file(folder / f"{name}.safetensors") for name in STATE_NAMES})
    return model


@pytest.fixture(scope="module")
def half_model(model: NaiveMCLD) -> NaiveMCLD:
    return copy_model(model, reference_precision="float16")


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def check(outputs: dict[str, Tensor], *, expected: dict[str, Tensor], tolerance: float) -> None:
    """Everything that the authors' code recorded is there, and near."""
    recorded = {name for name in expected if not name.startswith("in.")}
    assert recorded - outputs.keys() <= {"out.snr_plus_one"}
    for name in recorded & outputs.keys():
        near = tolerances.HALF_REFERENCE if "fp16bank" in name else tolerance
        assert outputs[name].shape == expected[name].shape, name
        assert relative_error(outputs[name], expected=expected[name]) <= near, name


@pytest.mark.parametrize("seed", [1, 2])
def test_predictions_are_the_authors(
    folder: Path, model: NaiveMCLD, half_model: NaiveMCLD, seed: int
) -> None:
    tensors = load_file(folder / f"instancenet_seed{seed}.safetensors")
    outputs = record_prediction(tensors, model=model, half_model=half_model, with_bank=seed == 1)
    check(outputs, expected=tensors, tolerance=tolerances.FORWARD)


def test_sampling_is_the_authors(
    folder: Path, recording: Recording, model: NaiveMCLD, half_model: NaiveMCLD
) -> None:
    tensors = load_file(folder / "sampling.safetensors")
    outputs = record_sampling(tensors, recording=recording, model=model, half_model=half_model)
    check(outputs, expected=tensors, tolerance=tolerances.SAMPLING)


def test_loss_gradients_and_training_are_the_authors(
    folder: Path, recording: Recording, model: NaiveMCLD, half_model: NaiveMCLD
) -> None:
    tensors, expected = load_file(folder / "loss.safetensors"), read(folder / "loss.json")["results"]
    outputs, results = record_loss(tensors, recording=recording, model=model, half_model=half_model)
    gradients = {name: value for name, value in outputs.items() if name.startswith("grad.")}
    check(gradients, expected={name: tensors[name] for name in gradients}, tolerance=tolerances.GRADIENT)
    for name, value in tensors.items():
        if name.startswith("out.") and "model_pred" not in name and name in outputs:
            near = tolerances.HALF_REFERENCE if "fp16bank" in name else tolerances.LOSS
            assert relative_error(outputs[name], expected=value) <= near, name
    for variant in ("cond", "uncond"):
        for key in ("grad_norm_total", "grad_norm_by_module", "grad_norm_per_param"):
            if key in results[variant]:
                norms = expected[variant][key]
                # What has no effect has a gradient of rounding noise, different on every machine.
                noise = 1e-7 * expected[variant]["grad_norm_total"]
                wanted = pytest.approx(norms, rel=tolerances.GRADIENT, abs=noise)
                assert results[variant][key] == wanted, (variant, key)
    losses = expected["adamw_trajectory"]["losses"][:NUM_LOSSES]
    assert results["adamw_trajectory"]["losses"] == pytest.approx(losses, rel=tolerances.GRADIENT)


def test_naive_and_ours_agree_also_without_a_face_and_on_textures_of_another_size() -> None:
    ours = tiny_model()
    naive = NaiveMCLD(TINY)
    naive.load_authors_states(authors_states(ours))
    found = torch.tensor([True, False])
    conditions = dataclasses.replace(tiny_conditions(2, texture_hw=(4, 4)), face_found=found)
    latent, timestep = tiny_latent(2), torch.tensor([3, 998])
    with torch.no_grad():
        expected = naive(latent, timestep=timestep, conditions=conditions)
        v = ours(latent, timestep_B=timestep, conditions=conditions)
    assert relative_error(v, expected=expected) < tolerances.FORWARD
    scheduler = ddim_scheduler(NoiseSchedule())
    prepared = ours.prepare(conditions, with_null=True)
    images = sample(
        lambda latent, timestep: ours.denoise(latent, timestep_B=timestep, prepared=prepared),
        noise_BCHW=latent,
        scheduler=scheduler,
        num_steps=3,
        guidance_scale=3.0,
    )
    expected = naive_sample(
        naive, conditions=conditions, noise=latent, num_steps=3, guidance_scale=3.0, scheduler=scheduler
    )
    assert relative_error(images, expected=expected) < tolerances.SAMPLING


def test_the_authors_order_of_work_gives_the_same_latent() -> None:
    model = NaiveMCLD(TINY)
    model.load_authors_states(authors_states(tiny_model()))
    settings: dict[str, Any] = {
        "conditions": tiny_conditions(2),
        "noise": tiny_latent(2),
        "num_steps": 3,
        "guidance_scale": 3.5,
        "scheduler": ddim_scheduler(NoiseSchedule()),
    }
    expected = naive_sample(model, **settings)
    use_authors_order(model)

    assert relative_error(authors_sample(model, **settings), expected=expected) < 1e-5
