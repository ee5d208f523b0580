"""The whole network: batches equal single images, nobody is no error, and speed-ups change nothing.

Images are small here: the network takes any size, and only `resize` insists on 800 pixels.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from mcld.conditions.densepose import (
    DensePoseNetwork,
    People,
    PersonChoice,
    best_iuv,
    find_people_in_resized,
    iuv_of,
    network_of,
)
from mcld.conditions.densepose.box_head import Detections
from mcld.conditions.densepose.network import fuse_norms
from mcld.conditions.densepose.people import _charts_by_image, _chosen_first
from mcld.conditions.densepose.preprocess import network_input
from mcld.conditions.densepose.weights import empty_network
from mcld.parity.densepose_recipe import recipe_image

SIZE = (160, 128)
IMAGE_HW = (80, 64)


def small_image(index: int) -> np.ndarray:
    """A piece of a recipe image, (160, 128, 3) uint8."""
    return np.ascontiguousarray(recipe_image(1)[index * 150 : index * 150 + SIZE[0], 100 : 100 + SIZE[1]])


def find(network: DensePoseNetwork, *images: np.ndarray, max_charts: int | None = 1) -> list[People]:
    return find_people_in_resized(network, resized=images, image_hw=IMAGE_HW, max_charts=max_charts)


@pytest.fixture(scope="module")
def pair(network: DensePoseNetwork) -> list[People]:
    """Two images at once."""
    return find(network, small_image(0), small_image(1))


def test_a_batch_gives_what_single_images_give(network: DensePoseNetwork, pair: list[People]) -> None:
    for index, together in enumerate(pair):
        alone = find(network, small_image(index))[0]
        # One that is just likely enough may be there once and not again.
        assert abs(len(alone.detections.scores) - len(together.detections.scores)) <= 1
        assert torch.allclose(alone.detections.scores[:3], together.detections.scores[:3], atol=1e-5)
        assert torch.allclose(alone.detections.boxes[0], together.detections.boxes[0], atol=1e-2)
        assert alone.charts is not None
        assert together.charts is not None
        assert torch.allclose(alone.charts.fine, together.charts.fine, atol=1e-3)
        assert torch.allclose(alone.charts.u, together.charts.u, atol=1e-4)
        first, second = (best_iuv(people, uv_overflow="clamp") for people in (alone, together))
        assert first is not None
        assert second is not None
        assert first.shape == (*IMAGE_HW, 3)
        assert (first != second).mean() < 0.01
    assert not torch.allclose(pair[0].detections.scores[0], pair[1].detections.scores[0], atol=1e-4)


def test_people_are_best_first_and_lie_in_their_image(pair: list[People]) -> None:
    height, width = IMAGE_HW
    for people in pair:
        scores, boxes = people.detections.scores, people.detections.boxes
        assert (scores.diff() <= 0).all()
        assert (scores > 0.05).all()
        assert (boxes >= 0).all()
        assert (boxes <= torch.tensor([width, height, width, height])).all()


def test_more_people_can_have_charts_and_the_best_ones_stay_the_same(
    network: DensePoseNetwork, pair: list[People]
) -> None:
    people = find(network, small_image(0), max_charts=2)[0]
    assert people.charts is not None
    assert pair[0].charts is not None
    assert people.charts.u.shape == (2, 25, 112, 112)
    assert torch.allclose(people.charts.u[:1], pair[0].charts.u, atol=1e-4)
    best, second = (iuv_of(people, row=row, uv_overflow="clamp") for row in (0, 1))
    assert (best != second).any()


def test_an_image_without_a_person_has_no_iuv_map(
    network: DensePoseNetwork, state: dict[str, Tensor]
) -> None:
    bias = "roi_heads.box_predictor.cls_score.bias"
    timid = network_of(state | {bias: torch.tensor([-30.0, 30.0])}, place="the recipe")
    for people in find(timid, small_image(0), small_image(1)):
        assert len(people.detections.scores) == 0
        assert people.charts is None
        assert best_iuv(people, uv_overflow="clamp") is None


@torch.inference_mode()
def test_charts_go_to_the_images_whose_people_they_are_of(network: DensePoseNetwork) -> None:
    features = network.features(network_input([small_image(0), small_image(1)]))
    box = torch.tensor([[10.0, 10.0, 90.0, 120.0]])
    nobody, somebody = _charts_by_image(network, features=features, boxes=[box[:0], box])
    alone = _charts_by_image(network, features=tuple(f[1:] for f in features), boxes=[box])[0]
    assert nobody is None
    assert somebody is not None
    assert alone is not None
    assert torch.allclose(somebody.fine, alone.fine, atol=1e-3)


@torch.inference_mode()
def test_fused_norms_are_the_same_function(network: DensePoseNetwork, state: dict[str, Tensor]) -> None:
    plain = empty_network()
    plain.load_state_dict(state, assign=True)
    pixels = network_input([small_image(0)])
    expected, found = plain.features(pixels), network.features(pixels)
    for level, feature in zip(expected, found, strict=True):
        assert torch.allclose(level, feature, atol=1e-4)
    with torch.random.fork_rng(devices=[]):
        fuse_norms(plain)
    assert not any("running_var" in name for name in plain.state_dict())


def test_half_precision_finds_the_same_person(state: dict[str, Tensor], pair: list[People]) -> None:
    half = network_of(state, place="the recipe", dtype=torch.bfloat16)
    people = find(half, small_image(0))[0]
    assert people.charts is not None
    assert people.charts.u.dtype == torch.float32
    assert abs(float(people.detections.scores[0] - pair[0].detections.scores[0])) < 0.05


def test_of_several_sure_people_the_biggest_is_chosen_and_the_others_stay_in_order() -> None:
    scores = torch.tensor([0.9, 0.8, 0.7, 0.4])
    sides = (10.0, 30.0, 20.0, 90.0)  # the largest of all is not sure enough
    found = Detections(boxes=torch.tensor([[0.0, 0.0, side, side] for side in sides]), scores=scores)
    rows = torch.tensor([0, 2, 3, 5])
    chosen, chosen_rows = _chosen_first(found, rows, person="biggest")
    assert chosen_rows.tolist() == [2, 0, 3, 5]
    assert chosen.boxes[:, 2].tolist() == [30.0, 10.0, 20.0, 90.0]
    assert torch.equal(chosen.scores, scores[[1, 0, 2, 3]])


@pytest.mark.parametrize(("person", "scores"), [("best-score", (0.9, 0.8)), ("biggest", (0.4, 0.3))])
def test_the_best_score_is_chosen_where_asked_or_where_nobody_is_sure(
    person: PersonChoice, scores: tuple[float, float]
) -> None:
    found = Detections(
        boxes=torch.tensor([[0.0, 0.0, 5.0, 5.0], [0.0, 0.0, 9.0, 9.0]]), scores=torch.tensor(scores)
    )
    chosen, rows = _chosen_first(found, torch.tensor([0, 1]), person=person)
    assert rows.tolist() == [0, 1]
    assert torch.equal(chosen.boxes, found.boxes)


def test_nobody_is_nobody_whoever_is_chosen() -> None:
    nobody = Detections(boxes=torch.zeros(0, 4), scores=torch.zeros(0))
    assert len(_chosen_first(nobody, torch.zeros(0, dtype=torch.long), person="biggest")[1]) == 0
