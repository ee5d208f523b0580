"""LPIPS: the published files load; values known by hand and from the lpips package."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mcld.errors import WeightsError
from mcld.evaluation.trunks import alexnet, squeezenet
from mcld.evaluation.trunks.inputs import prepare_lpips
from mcld.evaluation.trunks.lpips import SCALE, SHIFT, Lpips, Network, load_lpips, published_heads
from mcld.storage import sha256_of_file
from tests.evaluation.trunks.published_files import (
    recipe_heads,
    recipe_images,
    recipe_weights,
    write_published,
)

# lpips 0.1.4 on torchvision 0.29.1's networks with the recipe's weights, and the published heads.
EXPECTED: dict[Network, list[float]] = {
    "alex": [0.1729054898, 0.1591338366, 0.1797462999],
    "squeeze": [0.1781518757, 0.1592983901, 0.1988663822],
}
NETWORKS: dict[Network, Callable[[], dict[str, Tensor]]] = {
    "alex": alexnet.published_state,
    "squeeze": squeezenet.published_state,
}
Networks = dict[Network, Lpips]


@pytest.fixture(scope="module")
def trunk_paths(tmp_path_factory: pytest.TempPathFactory) -> dict[Network, Path]:
    folder = tmp_path_factory.mktemp("trunks")
    return {
        name: write_published(folder / f"{name}_trunk.pth", state=recipe_weights(state()))
        for name, state in NETWORKS.items()
    }


@pytest.fixture(scope="module")
def networks(trunk_paths: dict[Network, Path]) -> Networks:
    return {
        name: load_lpips(path, heads_path=published_heads_path(name), network=name)
        for name, path in trunk_paths.items()
    }


def published_heads_path(name: Network) -> Path:
    """The published heads, byte for byte: torchmetrics ships them. Python 2 wrote them."""
    spec = find_spec("torchmetrics")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "functional" / "image" / "lpips_models" / f"{name}.pth"


def image_pairs() -> tuple[Tensor, Tensor]:
    first = recipe_images(3, height_px=96, width_px=70)
    return prepare_lpips(first), prepare_lpips(recipe_images(3, height_px=96, width_px=70, seed=1))


@pytest.mark.parametrize("name", NETWORKS)
def test_distances_are_those_of_the_lpips_package(name: Network, networks: Networks) -> None:
    assert networks[name](*image_pairs()).tolist() == pytest.approx(EXPECTED[name], rel=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_equal_images_are_at_no_distance_and_the_order_does_not_matter(
    name: Network, networks: Networks
) -> None:
    first, second = image_pairs()
    assert networks[name](first, first).tolist() == [0.0, 0.0, 0.0]
    forth, back = networks[name](first, second), networks[name](second, first)
    assert back.tolist() == pytest.approx(forth.tolist(), rel=1e-6)
    alone = networks[name](first[1:2], second[1:2])
    assert alone.tolist() == pytest.approx(forth[1:2].tolist(), rel=1e-5)


class _Identity(nn.Module):
    def forward(self, images_BCHW: Tensor) -> list[Tensor]:
        return [images_BCHW]


def test_a_distance_worked_out_by_hand() -> None:
    """Pixels that are (3, 4, 0) and (0, 5, 0) to the trunk: units (.6, .8, 0) and (0, 1, 0)."""
    shift, scale = torch.tensor(SHIFT), torch.tensor(SCALE)
    first = (torch.tensor([3.0, 4.0, 0.0]) * scale + shift)[None, :, None, None].repeat(1, 1, 2, 1)
    second = first.clone()
    second[0, :, 1, 0] = torch.tensor([0.0, 5.0, 0.0]) * scale + shift  # one of two pixels differs
    lpips = Lpips(_Identity(), heads=[torch.tensor([2.0, 10.0, 100.0])])
    expected = (2.0 * 0.6**2 + 10.0 * 0.2**2) / 2
    assert math.isclose(float(lpips(first, second)[0]), expected, rel_tol=1e-5)


@pytest.mark.parametrize(("name", "num_parameters"), [("alex", 61_100_840), ("squeeze", 1_235_496)])
def test_the_names_hold_as_many_parameters_as_are_published(name: Network, num_parameters: int) -> None:
    assert sum(value.numel() for value in NETWORKS[name]().values()) == num_parameters


@pytest.mark.parametrize(
    ("name", "widths"), [("alex", alexnet.ACTIVATION_CHANNELS), ("squeeze", squeezenet.ACTIVATION_CHANNELS)]
)
def test_activations_have_the_channels_of_the_heads(
    name: Network, widths: tuple[int, ...], networks: Networks
) -> None:
    activations = networks[name].trunk(torch.zeros(1, 3, 64, 64))
    assert tuple(value.shape[1] for value in activations) == widths


def test_heads_of_the_other_network_are_refused(trunk_paths: dict[Network, Path]) -> None:
    with pytest.raises(WeightsError, match=r"alex\.pth: .*'lin5\.model\.1\.weight' is missing.*squeeze\.pth"):
        load_lpips(trunk_paths["squeeze"], heads_path=published_heads_path("alex"), network="squeeze")


def test_a_trunk_of_the_other_network_is_refused(trunk_paths: dict[Network, Path]) -> None:
    with pytest.raises(WeightsError, match=r"squeeze_trunk\.pth: .*is missing.*torchvision's AlexNet"):
        load_lpips(trunk_paths["squeeze"], heads_path=published_heads_path("alex"), network="alex")


def test_hashes_are_by_file_name(trunk_paths: dict[Network, Path], tmp_path: Path) -> None:
    heads = write_published(
        tmp_path / "heads.pth", state=recipe_heads(published_heads(squeezenet.ACTIVATION_CHANNELS))
    )
    expected = {"squeeze_trunk.pth": sha256_of_file(trunk_paths["squeeze"]), "heads.pth": "0" * 64}
    with pytest.raises(WeightsError, match=r"heads\.pth: sha256 is .* expected 0000"):
        load_lpips(trunk_paths["squeeze"], heads_path=heads, network="squeeze", expected_sha256=expected)
    expected["heads.pth"] = sha256_of_file(heads)
    load_lpips(trunk_paths["squeeze"], heads_path=heads, network="squeeze", expected_sha256=expected)
