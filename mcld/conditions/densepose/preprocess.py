"""From an image to the network's input: resize, reorder the channels, subtract the mean, pad.

Shapes: B images of one size, H W network size, padded to multiples of 32.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

SHORT_SIDE_PX, MAX_LONG_SIDE_PX = 800, 1333
MULTIPLE = 32  # the coarsest level of the pyramid that others are added to
MEAN_BGR = (103.53, 116.28, 123.675)


def network_size(height_px: int, width_px: int) -> tuple[int, int]:
    """Height and width at which the network sees an image: short side 800, but the long one at most 1333."""
    scale = SHORT_SIDE_PX / min(height_px, width_px)
    if height_px < width_px:
        height, width = float(SHORT_SIDE_PX), scale * width_px
    else:
        height, width = scale * height_px, float(SHORT_SIDE_PX)
    if max(height, width) > MAX_LONG_SIDE_PX:
        shrink = MAX_LONG_SIDE_PX / max(height, width)
        height, width = height * shrink, width * shrink
    return max(int(height + 0.5), 1), max(int(width + 0.5), 1)


def resize(image: np.ndarray) -> np.ndarray:
    """An (H, W, 3) uint8 image at network size, by Pillow's antialiased bilinear, as in training."""
    height_px, width_px = network_size(*image.shape[:2])
    return np.asarray(Image.fromarray(image).resize((width_px, height_px), Image.Resampling.BILINEAR))


def network_input(resized: Sequence[np.ndarray], *, device: torch.device | str = "cpu") -> Tensor:
    """RGB images of one size, already resized, as (B, 3, H, W) float32: BGR, mean subtracted, then padded."""
    rgb = torch.from_numpy(np.stack(resized)).to(device)
    mean = torch.tensor(MEAN_BGR, device=device).view(1, 3, 1, 1)
    pixels = rgb.permute(0, 3, 1, 2).flip(1).float() - mean
    height, width = pixels.shape[2:]
    return F.pad(pixels, (0, -width % MULTIPLE, 0, -height % MULTIPLE))
