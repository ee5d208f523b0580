"""DensePose on a photograph: its sure people, each alone in a map of the photograph's size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from mcld.conditions.densepose import DensePoseNetwork, network_of
from mcld.conditions.densepose.box_head import Detections
from mcld.conditions.densepose.people import SURE_SCORE, _num_charts
from mcld.conditions.densepose.weights import empty_network
from mcld.inference.photos.densepose_finder import DensePoseFinder
from mcld.inference.photos.finders import Found
from mcld.parity.densepose_recipe import recipe_image, recipe_state

PHOTO_HW = (107, 64)


@pytest.fixture(scope="module")
def network() -> DensePoseNetwork:
    """The real network; its weights by recipe find people in their recipe's images."""
    shapes = {name: tuple(value.shape) for name, value in empty_network().state_dict().items()}
    arrays = recipe_state(shapes, seed=14, uv_spread=0.3)
    state: dict[str, Tensor] = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return network_of(state, place="the recipe")


@pytest.fixture(scope="module")
def found(network: DensePoseNetwork) -> tuple[Found, ...]:
    photo = np.ascontiguousarray(recipe_image(1)[: PHOTO_HW[0], 100 : 100 + PHOTO_HW[1]])
    return DensePoseFinder(network=network, uv_overflow="clamp").find(photo)


@pytest.mark.long
def test_everyone_sure_is_found_alone_in_a_map_of_the_photographs_size(found: tuple[Found, ...]) -> None:
    assert len(found) > 1
    for person in found:
        assert person.iuv.shape == (*PHOTO_HW, 3)
        assert person.iuv.dtype == np.uint8
        assert person.iuv[..., 0].any()
        assert person.iuv[..., 0].max() <= 24
        assert SURE_SCORE < person.score <= 1.0
    assert any((found[0].iuv != other.iuv).any() for other in found[1:])


def detections(*scores: float) -> Detections:
    return Detections(boxes=torch.zeros(len(scores), 4), scores=torch.tensor(scores))


@pytest.mark.parametrize(
    ("scores", "expected"), [((0.9, 0.7, 0.4), 2), ((0.4, 0.3), 1), ((0.9, 0.51, 0.5), 2)]
)
def test_charts_are_of_the_sure_people_or_of_the_likeliest_one(
    scores: tuple[float, ...], expected: int
) -> None:
    assert _num_charts(detections(*scores), wanted="sure") == expected
