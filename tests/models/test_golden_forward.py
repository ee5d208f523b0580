"""The forward pass equals the authors' on tiny random nets: parts, features and prediction."""

from __future__ import annotations

import pytest
import torch

from mcld.models import MCLD
from tests.golden import golden_conditions, golden_model, golden_tensors, relative_error

FORWARD_TOLERANCE = 2e-5
HALF_BANK_TOLERANCE = 2e-3
FILES = ("instancenet_seed1.safetensors", "instancenet_seed2.safetensors")


@pytest.fixture(scope="module")
def model() -> MCLD:
    return golden_model()


@pytest.mark.parametrize("file_name", FILES)
@torch.no_grad()
def test_pose_features_and_face_tokens_equal_the_authors(model: MCLD, file_name: str) -> None:
    tensors = golden_tensors(file_name)
    conditions = golden_conditions(tensors)
    pose = model.pose_guider(conditions.target_iuv)
    assert model.face_projector is not None
    face = model.face_projector(conditions.face_embedding)
    assert relative_error(pose, expected=tensors["out.pose_fea"]) < FORWARD_TOLERANCE
    assert relative_error(face, expected=tensors["out.face_tokens"]) < FORWARD_TOLERANCE


@torch.no_grad()
def test_every_reference_feature_equals_the_authors_by_block_name(model: MCLD) -> None:
    tensors = golden_tensors(FILES[0])
    conditions = golden_conditions(tensors)
    features = model.reference_net(
        conditions.texture_latent, image_token_K1D=conditions.image_embedding[:, None]
    )
    expected = {
        name.removeprefix("bank."): value for name, value in tensors.items() if name.startswith("bank.")
    }
    assert features.keys() == expected.keys()
    errors = {name: relative_error(features[name], expected=expected[name]) for name in expected}
    assert max(errors.values()) < FORWARD_TOLERANCE, errors


@pytest.mark.parametrize("file_name", FILES)
@torch.no_grad()
def test_prediction_equals_the_authors_with_and_without_reference(model: MCLD, file_name: str) -> None:
    tensors = golden_tensors(file_name)
    conditions = golden_conditions(tensors)
    latent, timestep = tensors["in.noisy_latents"], tensors["in.timesteps"]
    conditioned = model(latent, timestep_B=timestep, conditions=conditions)
    without = model(
        latent,
        timestep_B=timestep,
        conditions=conditions,
        drop_reference_B=torch.ones(len(latent), dtype=torch.bool),
    )
    assert relative_error(conditioned, expected=tensors["out.model_pred_cond_fp32bank"]) < FORWARD_TOLERANCE
    assert relative_error(without, expected=tensors["out.model_pred_uncond"]) < FORWARD_TOLERANCE


@torch.no_grad()
def test_reference_rounded_to_float16_equals_the_authors_as_shipped() -> None:
    model = golden_model(reference_precision="float16")
    tensors = golden_tensors(FILES[0])
    conditioned = model(
        tensors["in.noisy_latents"], timestep_B=tensors["in.timesteps"], conditions=golden_conditions(tensors)
    )
    expected = tensors["out.model_pred_cond_fp16bank"]
    assert relative_error(conditioned, expected=expected) < HALF_BANK_TOLERANCE
    # The two variants differ by 2e-4: this close, the rounding is really there.
    assert relative_error(conditioned, expected=expected) < 1e-4
