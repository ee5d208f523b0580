"""Loss, gradients and four optimiser steps equal the authors'."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn

from mcld.diffusion import (
    NoiseSchedule,
    VLoss,
    add_noise,
    face_cells,
    face_weighted_v_loss,
    signal_levels,
    signal_to_noise,
    v_target,
)
from mcld.models import MCLD
from tests.golden import (
    golden_conditions,
    golden_dir,
    golden_model,
    golden_tensors,
    read_golden_json,
    relative_error,
)

LOSS_TOLERANCE = 1e-5
GRADIENT_TOLERANCE = 1e-4


def golden_loss(model: MCLD, *, tensors: dict[str, Tensor], with_reference: bool = True) -> VLoss:
    conditions = golden_conditions(tensors)
    latent, timestep = tensors["in.latents"], tensors["in.timesteps"]
    noise = tensors["in.noise"] + 0.05 * tensors["in.noise_offset_noise"]
    alpha_bar = signal_levels(NoiseSchedule())[timestep]
    v = model(
        add_noise(latent, noise_BCHW=noise, alpha_bar_B=alpha_bar),
        timestep_B=timestep,
        conditions=conditions,
        drop_reference_B=None if with_reference else torch.ones(len(latent), dtype=torch.bool),
    )
    return face_weighted_v_loss(
        v,
        target_v_BCHW=v_target(latent, noise_BCHW=noise, alpha_bar_B=alpha_bar),
        signal_to_noise_B=signal_to_noise(alpha_bar),
        face_B1HW=face_cells(conditions.target_iuv, latent_hw=(latent.shape[2], latent.shape[3])),
    )


def parts_of(model: MCLD) -> dict[str, nn.Module]:
    assert model.face_projector is not None
    return {
        "reference_unet": model.reference_net.unet,
        "denoising_unet": model.denoiser.unet,
        "pose_guider": model.pose_guider,
        "image_proj_model": model.face_projector,
    }


def gradient_norm(parameters: Iterable[nn.Parameter]) -> float:
    squares = [
        parameter.grad.double().square().sum() for parameter in parameters if parameter.grad is not None
    ]
    return float(torch.stack(squares).sum().sqrt()) if squares else 0.0


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    return golden_tensors("loss.safetensors")


def test_noising_target_and_face_mask_equal_the_authors(tensors: dict[str, Tensor]) -> None:
    latent = tensors["in.latents"]
    noise = tensors["in.noise"] + 0.05 * tensors["in.noise_offset_noise"]
    alpha_bar = signal_levels(NoiseSchedule())[tensors["in.timesteps"]]
    noisy = add_noise(latent, noise_BCHW=noise, alpha_bar_B=alpha_bar)
    target = v_target(latent, noise_BCHW=noise, alpha_bar_B=alpha_bar)
    mask = face_cells(golden_conditions(tensors).target_iuv, latent_hw=(latent.shape[2], latent.shape[3]))
    assert relative_error(noisy, expected=tensors["out.noisy_latents"]) < LOSS_TOLERANCE
    assert relative_error(target, expected=tensors["out.target"]) < LOSS_TOLERANCE
    assert torch.equal(mask, tensors["out.face_mask"])


@pytest.mark.parametrize(("variant", "with_reference"), [("cond", True), ("uncond", False)])
def test_loss_and_gradients_equal_the_authors(
    tensors: dict[str, Tensor], variant: str, with_reference: bool
) -> None:
    model = golden_model()
    loss = golden_loss(model, tensors=tensors, with_reference=with_reference)
    assert relative_error(loss.total, expected=tensors[f"out.{variant}.loss"]) < LOSS_TOLERANCE
    assert relative_error(loss.per_row, expected=tensors[f"out.{variant}.per_sample"]) < LOSS_TOLERANCE

    torch.autograd.backward(loss.total)
    expected = read_golden_json(golden_dir("model") / "loss.json")["results"][variant]
    assert gradient_norm(model.parameters()) == pytest.approx(
        expected["grad_norm_total"], rel=GRADIENT_TOLERANCE
    )
    for name, part in parts_of(model).items():
        norm = expected["grad_norm_by_module"][name]
        assert gradient_norm(part.parameters()) == pytest.approx(norm, rel=GRADIENT_TOLERANCE), name


def test_gradients_of_single_parameters_equal_the_authors(tensors: dict[str, Tensor]) -> None:
    model = golden_model()
    torch.autograd.backward(golden_loss(model, tensors=tensors).total)
    ours = {
        f"{part}.{name}": p.grad for part, m in parts_of(model).items() for name, p in m.named_parameters()
    }
    for name, expected in tensors.items():
        if name.startswith("grad."):
            gradient = ours[name.removeprefix("grad.")]
            assert gradient is not None
            assert relative_error(gradient, expected=expected) < GRADIENT_TOLERANCE, name
    norms = read_golden_json(golden_dir("model") / "loss.json")["results"]["cond"]["grad_norm_per_param"]
    largest = max(norms.values())
    for name, norm in norms.items():
        gradient = ours[name]
        # What we do not compute has, in the authors' code, a gradient of rounding noise at most.
        found = 0.0 if gradient is None else float(gradient.norm())
        assert found == pytest.approx(norm, rel=GRADIENT_TOLERANCE, abs=1e-6 * largest), name


def test_four_optimiser_steps_equal_the_authors(tensors: dict[str, Tensor]) -> None:
    expected = read_golden_json(golden_dir("model") / "loss.json")["results"]["adamw_trajectory"]
    model = golden_model()
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(
        parameters,
        lr=expected["lr"],
        betas=tuple(expected["betas"]),
        eps=expected["eps"],
        weight_decay=expected["weight_decay"],
    )
    losses: list[float] = []
    for _ in expected["losses"]:
        optimiser.zero_grad()
        loss = golden_loss(model, tensors=tensors)
        losses.append(loss.total.item())
        torch.autograd.backward(loss.total)
        torch.nn.utils.clip_grad_norm_(parameters, expected["max_grad_norm"])
        optimiser.step()
    assert losses == pytest.approx(expected["losses"], rel=GRADIENT_TOLERANCE)
