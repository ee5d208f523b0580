"""What may lie behind people, and pictures of nobody: plain, shaded, noisy, blotched and striped.

Shapes: H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

Draw = Callable[[np.random.Generator, int, int], np.ndarray]  # to (H, W, 3) float32, about 0..255


def background(generator: np.random.Generator, *, height_px: int, width_px: int) -> np.ndarray:
    """(H, W, 3) uint8 of one kind, drawn at random; there is nobody in it."""
    draw = KINDS[int(generator.integers(len(KINDS)))]
    return np.clip(draw(generator, height_px, width_px), 0, 255).astype(np.uint8)


def _studio(generator: np.random.Generator, height_px: int, width_px: int) -> np.ndarray:
    """Nearly white paper, as behind the mannequins."""
    shade = 1.0 - generator.uniform(0, 0.06) * _ramp(generator, height_px, width_px)
    return np.asarray(
        shade[..., None] * generator.uniform(240, 254) * np.array([1.0, 0.996, 0.988]), dtype=np.float32
    )


def _plain(generator: np.random.Generator, height_px: int, width_px: int) -> np.ndarray:
    return np.full((height_px, width_px, 3), _colour(generator), np.float32)


def _gradient(generator: np.random.Generator, height_px: int, width_px: int) -> np.ndarray:
    share = _ramp(generator, height_px, width_px)[..., None]
    return np.asarray(share * _colour(generator) + (1 - share) * _colour(generator))


def _noise(generator: np.random.Generator, height_px: int, width_px: int) -> np.ndarray:
    spread = generator.uniform(5, 80)
    noise = generator.normal(0, spread, (height_px, width_px, 3))
    return (_plain(generator, height_px, width_px) + noise).astype(np.float32)


def _blobs(generator: np.random.Generator, height_px: int, width_px: int) -> np.ndarray:
    """Soft blotches of several sizes, as things out of focus make them."""
    picture = _plain(generator, height_px, width_px)
    for cells in (2, 4, 9, 20):
        coarse = generator.normal(0, generator.uniform(5, 45), (cells, cells, 3)).astype(np.float32)
        picture = picture + cv2.resize(coarse, (width_px, height_px), interpolation=cv2.INTER_CUBIC)
    return picture


def _stripes(generator: np.random.Generator, height_px: int, width_px: int) -> np.ndarray:
    turn, period_px = generator.uniform(0, np.pi), generator.uniform(4, 50)
    rows, columns = np.mgrid[:height_px, :width_px]
    wave = np.sin(2 * np.pi * (np.cos(turn) * columns + np.sin(turn) * rows) / period_px)
    share = np.clip(0.5 + generator.uniform(0.5, 4) * wave, 0, 1)[..., None]
    return np.asarray(share * _colour(generator) + (1 - share) * _colour(generator), dtype=np.float32)


def _shapes(generator: np.random.Generator, height_px: int, width_px: int) -> np.ndarray:
    """Things with edges: ellipses, boxes and poles of every colour, some of them upright as people are."""
    picture = np.ascontiguousarray(_gradient(generator, height_px, width_px))
    for _ in range(int(generator.integers(1, 9))):
        middle = (int(generator.integers(width_px)), int(generator.integers(height_px)))
        half = (int(generator.integers(2, width_px // 4)), int(generator.integers(2, height_px // 3)))
        if generator.random() < 0.5:
            turn = float(generator.uniform(0, 180))
            cv2.ellipse(picture, middle, half, turn, 0, 360, _colour(generator).tolist(), -1, cv2.LINE_AA)
        else:
            corners = [(middle[0] - half[0], middle[1] - half[1]), (middle[0] + half[0], middle[1] + half[1])]
            cv2.rectangle(picture, corners[0], corners[1], _colour(generator).tolist(), -1)
    return picture


KINDS: tuple[Draw, ...] = (_studio, _studio, _plain, _gradient, _noise, _blobs, _blobs, _stripes, _shapes)


def _colour(generator: np.random.Generator) -> np.ndarray:
    return generator.uniform(0, 255, 3).astype(np.float32)


def _ramp(generator: np.random.Generator, height_px: int, width_px: int) -> np.ndarray:
    """(H, W) float32, 0..1 along a direction drawn at random."""
    turn = generator.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[:height_px, :width_px]
    along = np.cos(turn) * columns / width_px + np.sin(turn) * rows / height_px
    return np.asarray((along - along.min()) / (np.ptp(along) + 1e-6), dtype=np.float32)
