"""SSIM variants and PSNR, against scikit-image and against values known in closed form."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from mcld.evaluation import similarity


def pair_of_images(*, seed: int, height_px: int = 96, width_px: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """A smooth picture and a disturbed copy, (H, W, 3) uint8."""
    generator = np.random.default_rng(seed)
    noise = generator.integers(0, 256, (height_px, width_px, 3)).astype(np.uint8)
    target = cv2.GaussianBlur(noise, (0, 0), 3 + seed)
    disturbed = target + generator.integers(-25, 26, target.shape) + generator.integers(-10, 10)
    return np.clip(disturbed, 0, 255).astype(np.uint8), target


@pytest.mark.parametrize("seed", range(3))
def test_ssim_equals_scikit_image(seed: int) -> None:
    image, target = pair_of_images(seed=seed)
    expected = structural_similarity(
        target,
        image,
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
    )
    assert similarity.ssim(image, target=target) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("size", [(11, 11), (12, 40), (300, 13)])
def test_gaussian_ssims_equal_scikit_image_at_any_size(size: tuple[int, int]) -> None:
    image, target = pair_of_images(seed=1, height_px=size[0], width_px=size[1])
    own_range = float(image.max()) - float(image.min())
    found = similarity.both_gaussian_ssims(image, target=target)
    for value, data_range in zip(found, (255.0, own_range), strict=True):
        expected = structural_similarity(
            target.astype(float),
            image.astype(float),
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=data_range,
        )
        assert value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("corner", [(0, 0), (30, 20), (76, 60)])
def test_ssim_in_a_region_is_the_whole_maps_mean_there(corner: tuple[int, int]) -> None:
    image, target = pair_of_images(seed=2)
    region = np.zeros(image.shape[:2], bool)
    region[corner[0] : corner[0] + 20, corner[1] : corner[1] + 20] = True
    region[corner[0] + 3, corner[1] + 4] = False
    whole = similarity.gaussian_ssim_map(image, target=target, data_range=255.0)
    found = similarity.gaussian_ssim_in(image, target=target, region=region)
    assert found == pytest.approx(float(whole[region].mean()), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_ssim_256_equals_scikit_image_with_the_images_own_range(seed: int) -> None:
    image, target = pair_of_images(seed=seed)
    expected = structural_similarity(
        target.astype(float),
        image.astype(float),
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=float(image.max()) - float(image.min()),
    )
    assert similarity.ssim_256(image, target=target) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("size", [(51, 51), (67, 52), (84, 200), (310, 53)])
def test_ssim_51_equals_scikit_image_at_any_size_and_contrast(size: tuple[int, int]) -> None:
    generator = np.random.default_rng(1)
    black = np.zeros((*size, 3), np.uint8)
    noise = generator.choice(np.array([0, 255], np.uint8), (*size, 3))
    for image, target in ((black, noise), (noise, 255 - noise), (black, black), (black, 255 - black)):
        expected = structural_similarity(
            target / 255.0, image / 255.0, channel_axis=2, win_size=51, data_range=1.0
        )
        assert similarity.ssim_51(image, target=target) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_ssim_51_equals_scikit_image(seed: int) -> None:
    image, target = pair_of_images(seed=seed)
    expected = structural_similarity(
        target / 255.0, image / 255.0, channel_axis=2, win_size=51, data_range=1.0
    )
    assert similarity.ssim_51(image, target=target) == pytest.approx(expected, abs=1e-6)


def test_ssim_map_equals_scikit_images_full_map() -> None:
    image, target = pair_of_images(seed=1)
    _, expected = structural_similarity(
        target,
        image,
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        full=True,
    )
    found = similarity.gaussian_ssim_map(image, target=target, data_range=255.0)
    assert np.abs(found - expected).max() < 1e-6


def test_psnr_equals_scikit_image() -> None:
    image, target = pair_of_images(seed=2)
    expected = peak_signal_noise_ratio(target / 255.0, image / 255.0, data_range=1.0)
    assert similarity.psnr(image, target=target) == pytest.approx(expected, abs=1e-6)


def test_psnr_of_an_error_of_one_tenth_is_twenty_decibels() -> None:
    target = np.zeros((8, 8, 3), np.uint8)
    image = np.full_like(target, 51)  # 51 / 255 = 0.2
    assert similarity.psnr(image, target=target) == pytest.approx(-20 * np.log10(0.2))
    region = np.zeros((8, 8), bool)
    region[:2] = True
    image[2:] = 255
    assert similarity.psnr(image, target=target, region=region) == pytest.approx(-20 * np.log10(0.2))


def test_ssim_of_two_flat_images_is_wangs_luminance_term() -> None:
    dark, light = np.full((64, 64, 3), 100, np.uint8), np.full((64, 64, 3), 150, np.uint8)
    c1 = (0.01 * 255) ** 2
    expected = (2 * 100 * 150 + c1) / (100**2 + 150**2 + c1)
    assert similarity.ssim(dark, target=light) == pytest.approx(expected, abs=1e-6)


def test_equal_images_score_one_and_have_no_psnr() -> None:
    image, _ = pair_of_images(seed=0)
    assert similarity.ssim(image, target=image) == pytest.approx(1.0)
    assert similarity.ssim_256(image, target=image) == pytest.approx(1.0)
    assert similarity.ssim_51(image, target=image) == pytest.approx(1.0)
    assert similarity.psnr(image, target=image) is None


def test_ssim_256_of_a_flat_image_is_undefined() -> None:
    _, target = pair_of_images(seed=0)
    assert similarity.ssim_256(np.full_like(target, 7), target=target) is None
