"""Finding the person on a plain background, against drawn shapes and the embedded people's true outlines."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mcld.data.mannequins import render_view, sample_mannequin
from mcld.evaluation.silhouette import estimate_silhouette

Pictures = list[tuple[np.ndarray, np.ndarray]]


def overlap(found: np.ndarray, expected: np.ndarray) -> float:
    return float((found & expected).sum() / (found | expected).sum())


def studio(*, height_px: int = 120, width_px: int = 90) -> np.ndarray:
    """A softly lit wall with a shadow on the floor, (H, W, 3) float."""
    y, x = np.mgrid[0 : 1 : height_px * 1j, 0 : 1 : width_px * 1j]
    shade = 225 + 12 * np.exp(-((x - 0.4) ** 2 + (y - 0.4) ** 2) / 0.5)
    shade *= 1 - 0.15 * np.exp(-(((x - 0.5) / 0.25) ** 2 + ((y - 0.92) / 0.04) ** 2))
    return np.repeat(shade[..., None], 3, axis=2)


def person_mask() -> np.ndarray:
    mask = np.zeros((120, 90), np.uint8)
    cv2.ellipse(mask, (45, 30), (10, 14), 0, 0, 360, 1, -1)
    cv2.rectangle(mask, (30, 42), (60, 110), 1, -1)
    return mask > 0


@pytest.fixture(scope="module")
def people() -> Pictures:
    mannequins = [sample_mannequin(11, index=index) for index in range(6)]
    views = [(person, view) for person in mannequins for view in person.views[:3] if "flat" not in view]
    rendered = [render_view(person, view=view, height_px=192, width_px=132) for person, view in views]
    return [(picture.image, picture.iuv[..., 0] > 0) for picture in rendered]


@pytest.mark.parametrize("colour", [(20, 30, 90), (200, 120, 90), (255, 255, 255), (90, 90, 90)])
def test_a_shape_before_a_lit_wall_with_a_shadow_is_found(colour: tuple[int, int, int]) -> None:
    picture = studio()
    picture[person_mask()] = colour
    assert overlap(estimate_silhouette(picture.astype(np.uint8)), person_mask()) > 0.97


def test_noise_and_blur_leave_the_outline_in_place() -> None:
    picture = studio()
    picture[person_mask()] = (60, 40, 120)
    blurred = cv2.GaussianBlur(picture, (0, 0), 1.5)
    noisy = blurred + np.random.default_rng(0).normal(0, 4, blurred.shape)
    assert overlap(estimate_silhouette(np.clip(noisy, 0, 255).astype(np.uint8)), person_mask()) > 0.93


def test_an_arm_at_the_border_does_not_become_background() -> None:
    picture, mask = studio(), person_mask()
    mask[50:60, :] = True
    picture[mask] = (150, 60, 40)
    assert overlap(estimate_silhouette(picture.astype(np.uint8)), mask) > 0.97


def test_an_empty_wall_has_hardly_any_person() -> None:
    assert estimate_silhouette(studio().astype(np.uint8)).mean() < 0.02


def test_the_embedded_peoples_own_pictures_are_found(people: Pictures) -> None:
    overlaps = [overlap(estimate_silhouette(image), person) for image, person in people]
    assert np.mean(overlaps) >= 0.93


def test_coarse_noisy_copies_as_a_model_makes_them_are_found(people: Pictures) -> None:
    generator = np.random.default_rng(0)
    overlaps = []
    for image, person in people:
        small = cv2.resize(image, None, fx=0.55, fy=0.55, interpolation=cv2.INTER_AREA)
        coarse = cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_CUBIC).astype(float)
        blotches = cv2.GaussianBlur(generator.normal(0, 1, image.shape), (0, 0), 2.5)
        copy = np.clip(coarse + 2.5 * blotches / blotches.std(), 0, 255).astype(np.uint8)
        overlaps.append(overlap(estimate_silhouette(copy), person))
    assert np.mean(overlaps) >= 0.88
