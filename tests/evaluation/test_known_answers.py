"""Every metric of the registry has a known answer here: a new one without fails."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from mcld.evaluation.frechet import FeatureStatistics
from mcld.evaluation.judge import cosine
from mcld.evaluation.metrics import METRICS, metric_named
from mcld.evaluation.scores import REGIONS, ScoredPair
from mcld.evaluation.set_scores import RealImages, set_score
from mcld.evaluation.trunks import Lpips

HEIGHT_PX, WIDTH_PX = 80, 64
RECTANGLE = (slice(20, 60), slice(16, 48))  # of one body part
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # of SSIM at a data range of 255 (Wang et al. 2004)


def flat(level: int) -> np.ndarray:
    return np.full((HEIGHT_PX, WIDTH_PX, 3), level, np.uint8)


def person(*, on: int, colour: tuple[int, int, int]) -> np.ndarray:
    image = flat(on)
    image[RECTANGLE] = colour
    return image


def score(name: str, *, image: np.ndarray, target: np.ndarray, part: int = 24) -> float:
    iuv = np.zeros((HEIGHT_PX, WIDTH_PX, 3), np.uint8)
    iuv[RECTANGLE] = (part, 128, 128)
    function = metric_named(name).function
    assert function is not None
    value = function(ScoredPair(image=image, target=target, target_iuv=iuv))
    assert value is not None
    return value


def of_flat_images(name: str) -> None:
    """Without any variance SSIM is its luminance term; the data range is 255."""
    expected = (2 * 100 * 140 + C1) / (100**2 + 140**2 + C1)
    assert score(name, image=flat(100), target=flat(140)) == pytest.approx(expected, abs=1e-5)


def ssim_with_the_images_own_range(name: str) -> None:
    """An image less its own negative about 127.5 has the opposite covariance; an equal one scores 1."""
    stripes = flat(0)
    stripes[::2] = 255
    assert score(name, image=stripes, target=stripes) == pytest.approx(1.0)
    assert score(name, image=stripes, target=255 - stripes) == pytest.approx(-1.0, abs=0.01)


def psnr_of_a_step(name: str) -> None:
    expected = 20 * math.log10(255 / 51)
    assert score(name, image=flat(100), target=flat(151)) == pytest.approx(expected, abs=1e-4)


def face_psnr_of_a_step_in_the_head(name: str) -> None:
    image, target = person(on=0, colour=(100, 100, 100)), person(on=255, colour=(151, 151, 151))
    expected = 20 * math.log10(255 / 51)  # what is around the head does not count
    assert score(name, image=image, target=target) == pytest.approx(expected, abs=1e-4)


def half_a_person(name: str) -> None:
    target = person(on=240, colour=(200, 20, 20))
    half = target.copy()
    half[20:60, 32:48] = 240
    assert score(name, image=half, target=target, part=1) == pytest.approx(0.5, abs=0.03)


def colours_three_and_four_apart(name: str) -> None:
    part = REGIONS[name.removeprefix("colour_error_")][0]
    image, target = person(on=0, colour=(130, 100, 100)), person(on=9, colour=(100, 140, 100))
    assert score(name, image=image, target=target, part=part) == pytest.approx(50 / 255)


def features(*, mean: float, num_images: int = 64) -> np.ndarray:
    """(N, 2) whose covariance is the identity and whose mean is (mean, 0), exactly."""
    angles = 2 * np.pi * np.arange(num_images) / num_images
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.sqrt(2 * (num_images - 1) / num_images)
    shifted: np.ndarray = (circle + np.array([mean, 0.0])).astype(np.float32)
    return shifted


def frechet_of_shifted_gaussians(name: str) -> None:
    """Equal covariances: the distance is the square of the shift. Twice the spread adds tr(C) of one."""
    train = FeatureStatistics.of(features(mean=0.0))
    real = RealImages.of({name: features(mean=0.0)}, names=[name], train=train)
    assert set_score(name, {name: features(mean=3.0)}, real=real).value == pytest.approx(9.0, abs=1e-4)
    wide = {name: 2 * features(mean=0.0)}
    assert set_score(name, wide, real=real).value == pytest.approx(2.0, abs=1e-4)


def kernel_distance_by_hand(name: str) -> None:
    """Two sets of two, D = 1: the mean kernel within each less twice that between, k(x, y) = (xy + 1)^3."""
    found, real = np.array([[1.0], [2.0]], np.float32), np.array([[0.0], [3.0]], np.float32)
    within = (2.0 + 1) ** 3 + (0.0 + 1) ** 3
    between = np.mean([(x * y + 1) ** 3 for x in (1, 2) for y in (0, 3)])
    value = set_score(name, {"fid": found}, real=RealImages.of({"fid": real}, names=[name])).value
    assert value == pytest.approx(within - 2 * between)


def lpips_of_one_layer(name: str) -> None:
    """A trunk that hands on its input: half the squared distance of unit vectors, weighed by 0.5."""

    class Same(torch.nn.Module):
        def forward(self, images_BCHW: torch.Tensor) -> list[torch.Tensor]:
            return [images_BCHW[:, :2]]

    lpips = Lpips(Same(), heads=[torch.tensor([0.5, 0.5])])
    shift, scale = lpips.shift, lpips.scale
    right = torch.tensor([1.0, 0.0, 0.0])[:, None, None].expand(3, 4, 4)
    down = torch.tensor([0.0, 1.0, 0.0])[:, None, None].expand(3, 4, 4)
    distance = lpips((right * scale + shift)[None], (down * scale + shift)[None])
    assert float(distance) == pytest.approx(1.0, abs=1e-5)  # (1 + 1) * 0.5
    assert metric_named(name).direction == "lower"


def cosine_of_sixty_degrees(name: str) -> None:
    assert cosine(np.array([2.0, 0.0]), np.array([0.5, math.sqrt(0.75)])) == pytest.approx(0.5)
    assert metric_named(name).direction == "higher"


KNOWN_ANSWERS: dict[str, Callable[[str], None]] = {
    "ssim": of_flat_images,
    "ssim_51": of_flat_images,
    "ssim_256": ssim_with_the_images_own_range,
    "psnr": psnr_of_a_step,
    "face_ssim": of_flat_images,
    "face_psnr": face_psnr_of_a_step_in_the_head,
    "silhouette_iou": half_a_person,
    **{f"colour_error_{region}": colours_three_and_four_apart for region in REGIONS},
    "fid_a": frechet_of_shifted_gaussians,
    "fid": frechet_of_shifted_gaussians,
    "clean_fid": frechet_of_shifted_gaussians,
    "kid": kernel_distance_by_hand,
    "lpips_alex": lpips_of_one_layer,
    "lpips_squeeze": lpips_of_one_layer,
    "face_cosine_target": cosine_of_sixty_degrees,
    "face_cosine_source": cosine_of_sixty_degrees,
}


@pytest.mark.parametrize("name", [metric.name for metric in METRICS])
def test_the_metric_gives_its_known_answer(name: str) -> None:
    KNOWN_ANSWERS[name](name)
