"""The network with weights by recipe: it finds people in its recipe's images, and is nobody's property."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mcld.conditions.densepose import DensePoseNetwork, network_of
from mcld.conditions.densepose.weights import empty_network
from mcld.parity.densepose_recipe import recipe_state


@pytest.fixture(scope="session")
def state() -> dict[str, Tensor]:
    shapes = {name: tuple(value.shape) for name, value in empty_network().state_dict().items()}
    arrays = recipe_state(shapes, seed=14, uv_spread=0.3)
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


@pytest.fixture(scope="session")
def network(state: dict[str, Tensor]) -> DensePoseNetwork:
    return network_of(state, place="the recipe")
