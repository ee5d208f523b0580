"""Images reach the network at the size, in the order and with the padding it was trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import pytest
import torch

from mcld.conditions.densepose.preprocess import network_input, network_size, resize
from mcld.parity.densepose_recipe import recipe_image
from tests.golden import golden_dir, read_golden_json


@pytest.mark.parametrize(
    ("image", "network"),
    [
        ((1101, 750), (1174, 800)),
        ((750, 1101), (800, 1174)),
        ((256, 256), (800, 800)),
        ((1101, 400), (1333, 484)),  # the long side decides
        ((10, 10), (800, 800)),
        ((1, 5000), (1, 1333)),
    ],
)
def test_the_short_side_is_800_unless_the_long_side_would_pass_1333(
    image: tuple[int, int], network: tuple[int, int]
) -> None:
    assert network_size(*image) == network


def test_sizes_and_pixels_are_detectron2s() -> None:
    recorded = read_golden_json(golden_dir("densepose") / "resize.json")
    for height, width, *network in recorded["shapes_h_w_to_h_w"]:
        assert network_size(height, width) == tuple(network)
    images: dict[str, Callable[[], np.ndarray]] = {
        "image(0)[:, :400]": lambda: recipe_image(0)[:, :400],
        "np.repeat(np.repeat(image(0), 2, 0), 2, 1)[:, ::-1]": lambda: np.repeat(
            np.repeat(recipe_image(0), 2, axis=0), 2, axis=1
        )[:, ::-1],
        "image(2)[::3, ::3]": lambda: recipe_image(2)[::3, ::3],
    }
    for name, pixels in recorded["pixels"].items():
        resized = resize(np.ascontiguousarray(images[name.split("  ")[0]]()))
        assert list(resized.shape[:2]) == pixels["out"]
        assert hashlib.sha256(resized.tobytes()).hexdigest() == pixels["sha256"]


def test_the_input_is_bgr_without_the_mean_and_its_padding_is_zero() -> None:
    image = np.zeros((33, 40, 3), dtype=np.uint8)
    image[..., 0] = 200  # red
    pixels = network_input([image, image])
    assert pixels.shape == (2, 3, 64, 64)
    expected = torch.tensor([-103.53, -116.28, 200 - 123.675])
    assert torch.allclose(pixels[1, :, 32, 39], expected)
    assert not pixels[:, :, 33:].any()
    assert not pixels[:, :, :, 40:].any()
