"""Score one generated image against its target: likeness, shape and colour by body region.

Every function takes a `ScoredPair` and returns None where the score is undefined there, such as a face
score on a picture without a head; callers count such pairs and never average them in.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mcld.evaluation import similarity
from mcld.evaluation.silhouette import estimate_silhouette

# DensePose parts of each body region; left and right, front and back together. Hands and feet are in none.
REGIONS = {
    "torso": (1, 2),
    "arms": (15, 16, 17, 18, 19, 20, 21, 22),
    "legs": (7, 8, 9, 10, 11, 12, 13, 14),
    "head": (23, 24),
}
MIN_REGION_PIXELS = 16  # fewer say nothing about a region

# Shapes: H W pixels at evaluation size.


@dataclass(frozen=True, kw_only=True)  # without slots: what two scores need is kept
class ScoredPair:
    """What one pair is scored on."""

    image: np.ndarray  # (H, W, 3) uint8 RGB, the image under test
    target: np.ndarray  # (H, W, 3) uint8 RGB, the true target
    target_iuv: np.ndarray  # (H, W, 3) uint8, channels I U V

    @cached_property
    def gaussian_ssims(self) -> tuple[float, float | None]:
        """`ssim` and `ssim_256`, which are computed together."""
        return similarity.both_gaussian_ssims(self.image, target=self.target)


def region_mask(pair: ScoredPair, *, parts: tuple[int, ...]) -> np.ndarray | None:
    """Return the target's pixels of those parts, (H, W) bool; None where too few are in view."""
    is_wanted = np.zeros(256, bool)
    is_wanted[list(parts)] = True
    mask: np.ndarray = is_wanted[pair.target_iuv[..., 0]]  # several times as fast as np.isin
    return mask if int(mask.sum()) >= MIN_REGION_PIXELS else None


def silhouette_iou(pair: ScoredPair) -> float | None:
    """Intersection over union of the image's estimated silhouette with the target's true one."""
    person = pair.target_iuv[..., 0] > 0
    if int(person.sum()) < MIN_REGION_PIXELS:
        return None
    found = estimate_silhouette(pair.image)
    return float((found & person).sum() / (found | person).sum())


def face_ssim(pair: ScoredPair) -> float | None:
    """Mean of the Gaussian SSIM map over the target's head (parts 23 and 24)."""
    mask = region_mask(pair, parts=REGIONS["head"])
    if mask is None:
        return None
    return similarity.gaussian_ssim_in(pair.image, target=pair.target, region=mask)


def face_psnr(pair: ScoredPair) -> float | None:
    """PSNR over the target's head (parts 23 and 24)."""
    mask = region_mask(pair, parts=REGIONS["head"])
    return None if mask is None else similarity.psnr(pair.image, target=pair.target, region=mask)


def colour_error(pair: ScoredPair, *, parts: tuple[int, ...]) -> float | None:
    """Euclidean distance of the mean colours of image and target over the target's region, in [0, 1] RGB.

    Means, not pixels: it asks whether a garment has the right colour, whatever its folds.
    """
    mask = region_mask(pair, parts=parts)
    if mask is None:
        return None
    image_colour, target_colour = pair.image[mask].mean(axis=0), pair.target[mask].mean(axis=0)
    return float(np.linalg.norm(image_colour - target_colour) / 255.0)


def ssim(pair: ScoredPair) -> float | None:
    """Standard SSIM over the whole image."""
    return pair.gaussian_ssims[0]


def ssim_51(pair: ScoredPair) -> float | None:
    """Legacy SSIM with a uniform window of 51 px."""
    return similarity.ssim_51(pair.image, target=pair.target)


def ssim_256(pair: ScoredPair) -> float | None:
    """Legacy Gaussian SSIM with the image's own data range; None where the image is one flat value."""
    return pair.gaussian_ssims[1]


def psnr(pair: ScoredPair) -> float | None:
    """PSNR in dB over the whole image; None where image and target are equal."""
    return similarity.psnr(pair.image, target=pair.target)
