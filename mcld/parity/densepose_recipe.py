"""Weights and images by recipe: numbers that every machine makes alike, so that no 340 MB need be kept.

A tensor's numbers are raw bits of PCG64, seeded by its name, as integers in [-2^23, 2^23), then one float32
product and one sum. Uniform, not normal, and no sum of floats: bit for bit the same everywhere. How wide
they spread and around what depends on what follows a layer, so that activations neither die nor explode.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

HALF_RANGE = 2**23
WITH_RELU = math.sqrt(2)  # the usual gain of a layer with a ReLU behind it
# The gain of other layers, by what their names contain; the first that fits counts.
GAINS = {
    "stem": WITH_RELU / 60,  # pixels are large
    "fpn_lateral": 1.0,
    "fpn_output2": 0.4,
    "fpn_output3": 0.6,
    "fpn_output4": 0.8,
    "fpn_output5": 1.2,
    "objectness_logits": 1.5,
    "anchor_deltas": 0.2,
    "cls_score": 1.2,
    "bbox_pred": 0.7,
    "decoder.predictor": 1.0,
    ".ann_index_lowres": 2.0,
    ".index_uv_lowres": 3.0,
}
UV_LAYERS = (".u_lowres", ".v_lowres")
# Around what biases lie, where not around 0; one number, or one for each output.
BIASES: dict[str, tuple[float, ...]] = {
    "cls_score": (-2.0, 2.0),
    "bbox_pred": (0.0, 0.0, 2.0, 2.0),
    "ann_index_lowres": (-0.4, 0.4),
    "u_lowres": (0.5,),
    "v_lowres": (0.5,),
}
# A ReLU before and none behind: the sum of each filter is zero, which takes the common part out.
ZERO_SUM = ("fpn_lateral", "objectness", "deltas", "cls_score", "bbox_pred", "decoder.predictor", "lowres")
TRANSPOSED = "lowres"  # transposed convolutions: outputs are the second axis, and 2 x 2 taps reach each
IMAGE_SIZES_PX = ((1101, 750), (512, 384), (300, 450))  # height, width
NUM_BUMPS = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spread:
    """A tensor's standard deviation, what it lies around, and whether its filters sum to zero."""

    std: float
    around: tuple[float, ...] = (0.0,)
    is_zero_sum: bool = False


def recipe_state(
    shapes: Mapping[str, tuple[int, ...]], *, seed: int, uv_spread: float
) -> dict[str, np.ndarray]:
    """A tensor, float32, for each name and shape. `uv_spread` scales the weights of U and V alone."""
    return {
        name: _tensor(name, shape=shape, seed=seed, uv_spread=uv_spread) for name, shape in shapes.items()
    }


def digest(state: Mapping[str, np.ndarray]) -> str:
    """sha256 of all names and numbers, sorted by name."""
    hashed = hashlib.sha256()
    for name in sorted(state):
        hashed.update(name.encode())
        hashed.update(np.ascontiguousarray(state[name], "<f4").tobytes())
    return hashed.hexdigest()


def recipe_image(index: int) -> np.ndarray:
    """Image 0, 1 or 2, (H, W, 3) uint8 BGR: smooth coloured bumps on a gradient, and noise."""
    height, width = IMAGE_SIZES_PX[index]
    y = (np.arange(height) / height)[:, None, None]
    x = (np.arange(width) / width)[None, :, None]
    numbers = (_integers(77 + index, name="image", count=(NUM_BUMPS + 2) * 7) / HALF_RANGE).reshape(-1, 7)
    image = 110 + 60 * (y - 0.5) * numbers[0, :3] + 60 * (x - 0.5) * numbers[1, :3]
    for bump in numbers[2:]:
        distance = ((y - 0.5 - 0.5 * bump[0]) / (0.25 + 0.15 * bump[2])) ** 2 + (
            (x - 0.5 - 0.5 * bump[1]) / (0.25 + 0.15 * bump[3])
        ) ** 2
        image = image + np.maximum(1 - distance, 0) * 150 * bump[4:7]
    noise = _integers(99 + index, name="noise", count=height * width * 3).reshape(height, width, 3)
    return np.clip(np.floor(image + noise / HALF_RANGE * 8), 0, 255).astype(np.uint8)


def _integers(seed: int, *, name: str, count: int) -> np.ndarray:
    """`count` integers (int64), uniform in [-2^23, 2^23)."""
    bits = np.random.PCG64(zlib.crc32(name.encode()) ^ seed).random_raw((count + 1) // 2)
    return (bits.astype("<u8").view("<u4")[:count] >> 8).astype(np.int64) - HALF_RANGE


def _tensor(name: str, *, shape: tuple[int, ...], seed: int, uv_spread: float) -> np.ndarray:
    spread = _spread(name, shape=shape, uv_spread=uv_spread)
    value = _integers(seed, name=name, count=math.prod(shape)).reshape(shape)
    if spread.is_zero_sum:
        output_axis = 1 if TRANSPOSED in name else 0
        inputs = tuple(axis for axis in range(len(shape)) if axis != output_axis)
        value = value - value.sum(axis=inputs, keepdims=True) // (value.size // shape[output_axis])
    scaled: np.ndarray = value.astype(np.float32) * np.float32(spread.std * math.sqrt(3.0) / HALF_RANGE)
    return scaled + np.asarray(spread.around, np.float32)


def _spread(name: str, *, shape: tuple[int, ...], uv_spread: float) -> _Spread:
    layer, kind = name.split(".")[-2:]
    if kind == "running_var":
        return _Spread(std=0.15, around=(1.0,))
    if kind == "running_mean":
        return _Spread(std=0.10)
    if kind == "bias":
        return _Spread(std=0.02, around=BIASES[layer]) if layer in BIASES else _Spread(std=0.10)
    if len(shape) == 1:  # the scale of a norm; small where a residual branch ends, so that they add up mildly
        is_branch_end = ".conv3." in name
        return _Spread(std=0.03, around=(0.12,)) if is_branch_end else _Spread(std=0.10, around=(1.0,))
    num_inputs = shape[0] * 4 if TRANSPOSED in name and len(shape) == 4 else math.prod(shape[1:])
    gains = GAINS | dict.fromkeys(UV_LAYERS, 2 * uv_spread)
    gain = next((value for part, value in gains.items() if part in name), WITH_RELU)
    return _Spread(std=gain / math.sqrt(num_inputs), is_zero_sum=any(part in name for part in ZERO_SUM))
