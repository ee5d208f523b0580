"""Faster, and the same numbers."""

from __future__ import annotations

import copy

import torch

from mcld.config import RuntimeParams
from mcld.models import MCLD
from mcld.models.acceleration import fast_attention, use_channels_last
from mcld.training.acceleration import make_fast
from mcld.types import Conditions
from tests.tiny_models import TINY_CONFIG


def predict(model: MCLD) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    conditions = Conditions(
        target_iuv=torch.randint(0, 25, (2, 3, 32, 16), generator=generator).to(torch.uint8),
        texture_latent=torch.randn(2, 4, 4, 4, generator=generator),
        image_embedding=torch.randn(2, 8, generator=generator),
        texture_embedding=torch.randn(2, 8, generator=generator),
        face_embedding=torch.randn(2, 6, generator=generator),
        face_found=torch.tensor([True, False]),
    )
    latent = torch.randn(2, 4, 4, 2, generator=generator)
    v: torch.Tensor = model(latent, timestep_B=torch.tensor([3, 900]), conditions=conditions)
    return v


def tiny_model() -> MCLD:
    torch.manual_seed(0)
    return MCLD(TINY_CONFIG)


def test_channels_last_weights_predict_the_same() -> None:
    model = tiny_model()
    other = copy.deepcopy(model)
    use_channels_last(other)
    assert other.denoiser.unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(predict(other), predict(model), rtol=1e-4, atol=1e-5)
    assert other.state_dict().keys() == model.state_dict().keys()


def test_on_a_processor_nothing_changes_unless_compiling_is_asked_for() -> None:
    model = tiny_model()
    before = predict(model)
    make_fast(model, device=torch.device("cpu"), runtime=RuntimeParams())
    with fast_attention(torch.device("cpu")):
        assert torch.equal(predict(model), before)
