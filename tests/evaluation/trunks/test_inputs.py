"""What each protocol feeds its network, against values known by hand and against Pillow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from mcld.evaluation.trunks.inputs import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    prepare_a,
    prepare_clean_fid,
    prepare_fid,
    prepare_lpips,
)
from tests.evaluation.trunks.published_files import recipe_images


def plain(colour: tuple[int, int, int]) -> torch.Tensor:
    return torch.tensor(colour, dtype=torch.uint8).expand(1, 8, 6, 3)


def test_protocol_a_undoes_a_normalisation_that_never_was() -> None:
    prepared = prepare_a(plain((0, 102, 255)))
    expected = [
        value * std / 0.5 + (mean - 0.5) / 0.5
        for value, mean, std in zip((0.0, 0.4, 1.0), IMAGENET_MEAN, IMAGENET_STD, strict=True)
    ]
    assert expected == pytest.approx([-0.03, 0.0912, 0.262])
    assert prepared.shape == (1, 3, 299, 299)
    assert prepared[0, :, 150, 20].tolist() == pytest.approx(expected, abs=1e-6)
    assert float(prepared.std(dim=(2, 3)).max()) < 1e-6


def test_pytorch_fids_input_is_twice_the_image_less_one() -> None:
    assert prepare_fid(plain((0, 102, 255)))[0, :, 3, 4].tolist() == pytest.approx([-1.0, -0.2, 1.0])


def test_clean_fids_input_is_centred_at_128() -> None:
    prepared = prepare_clean_fid(plain((0, 128, 255)))
    assert prepared[0, :, 3, 4].tolist() == pytest.approx([-1.0, 0.0, 127 / 128], abs=1e-6)


def test_arrays_are_taken_too_also_such_as_cannot_be_written_to() -> None:
    image = recipe_images(1, height_px=20, width_px=10).numpy()
    image.flags.writeable = False
    assert torch.equal(prepare_fid(image), prepare_fid(torch.from_numpy(image.copy())))


def test_lpips_input_keeps_its_size() -> None:
    prepared = prepare_lpips(plain((0, 51, 255)))
    assert prepared.shape == (1, 3, 8, 6)
    assert prepared[0, :, 0, 0].tolist() == pytest.approx([-1.0, -0.6, 1.0])


def test_bilinear_takes_two_neighbours_and_no_more() -> None:
    """Without antialias: from 598 columns every output lies between two, their mean; the rest is not seen."""
    columns = torch.arange(598) % 2 * 200
    image = columns.to(torch.uint8)[None, None, :, None].expand(1, 598, 598, 3)
    assert torch.allclose(prepare_fid(image), torch.tensor(2 * 100 / 255 - 1), atol=1e-6)
    lonely = torch.zeros(1, 897, 897, 3, dtype=torch.uint8)
    lonely[:, :, 0::3] = 255  # columns that no output column is nearest to: 897 = 3 * 299
    assert float(prepare_fid(lonely).max()) == -1.0


@pytest.mark.parametrize("size", [(512, 352), (256, 176), (299, 299), (40, 30)])
def test_clean_fids_resize_is_pillows(size: tuple[int, int]) -> None:
    image = recipe_images(1, height_px=size[0], width_px=size[1])
    channels = [Image.fromarray(image[0, ..., c].numpy().astype(np.float32)) for c in range(3)]
    resized = np.stack([np.asarray(c.resize((299, 299), Image.Resampling.BICUBIC)) for c in channels])
    expected = (resized.clip(0, 255) - 128) / 128
    assert np.abs(prepare_clean_fid(image)[0].numpy() - expected).max() < 1e-6
