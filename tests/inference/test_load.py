"""An exported folder as an engine, accelerated as asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mcld.errors import ConfigError
from mcld.inference.acceleration import Acceleration
from mcld.inference.load import load_engine
from mcld.inference.photos.finders import Found
from mcld.inference.photos.preparation import Preparation
from tests.embedded_engine import embedded_pipeline

CPU = torch.device("cpu")


class Nobody:
    """Finds nobody."""

    def find(self, photo: np.ndarray) -> tuple[Found, ...]:
        return ()


def no_finders(_: Preparation) -> tuple[Nobody, None]:
    return Nobody(), None


def is_channels_last(weight: torch.Tensor) -> bool:
    return weight.is_contiguous(memory_format=torch.channels_last)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "model"
    embedded_pipeline().save_pretrained(path)
    return path


def test_models_are_as_they_were_saved_unless_acceleration_is_asked_for(folder: Path) -> None:
    plain = load_engine(folder, finders_for=no_finders, device=CPU).pipeline
    fast = load_engine(
        folder,
        finders_for=no_finders,
        device=CPU,
        acceleration=Acceleration(channels_last=True, vae_slicing=True),
    ).pipeline
    kernels = [
        pipeline.model.denoiser.unet.down_blocks[0].resnets[0].conv1.weight for pipeline in (plain, fast)
    ]
    assert [is_channels_last(kernel) for kernel in kernels] == [False, True]
    assert torch.equal(*kernels)
    assert [pipeline.vae.use_slicing for pipeline in (plain, fast)] == [False, True]


def test_an_acceleration_that_the_vae_cannot_have_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="vae_tiling: tiles of 48 px"):
        load_engine(folder, finders_for=no_finders, device=CPU, acceleration=Acceleration(vae_tiling=True))
