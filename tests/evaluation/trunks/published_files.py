"""Files as they are published, with weights by a recipe: for each name and shape always the same numbers.

They are NumPy's, so that other implementations of the networks can be given the very same weights.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

CLASSIFIERS = ("fc.", "AuxLogits.", "classifier.")


def recipe_weights(wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Random numbers that keep activations about as large from layer to layer; zeros for the classifiers."""
    state = {}
    for name, like in wanted.items():
        generator = np.random.default_rng(zlib.crc32(name.encode()))
        shape = tuple(like.shape)
        if name.startswith(CLASSIFIERS) or not like.is_floating_point():
            values = np.zeros(shape, np.float16 if name.startswith("classifier.") else np.float32)
        elif name.endswith(("bn.weight", "running_var")):
            values = generator.uniform(0.5, 1.5, shape).astype(np.float32)
        elif len(shape) == 4:
            scale = np.float32((2.0 / np.prod(shape[1:])) ** 0.5)
            values = generator.standard_normal(shape, dtype=np.float32) * scale
        else:
            values = generator.normal(0.0, 0.1, shape).astype(np.float32)
        state[name] = torch.from_numpy(values)
    return state


def recipe_heads(wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of LPIPS's heads, none negative."""
    return {
        name: torch.from_numpy(
            np.random.default_rng(zlib.crc32(name.encode()))
            .uniform(0, 1, tuple(like.shape))
            .astype("float32")
        )
        for name, like in wanted.items()
    }


def recipe_images(num_images: int, *, height_px: int, width_px: int, seed: int = 0) -> Tensor:
    """(B, H, W, 3) uint8: smooth, with a little noise."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height_px, :width_px]
    images = []
    for _ in range(num_images):
        phase, speed = generator.uniform(0, 6.3, (2, 3))
        waves = np.sin(rows[..., None] * speed / 20 + columns[..., None] / 15 + phase)
        images.append(127.5 + 100 * waves + generator.normal(0, 8, waves.shape))
    return torch.from_numpy(np.clip(np.stack(images), 0, 255).astype(np.uint8))


def write_published(path: Path, *, state: Mapping[str, Tensor]) -> Path:
    """As `torch.save` of a state dict."""
    torch.save(dict(state), path)
    return path
