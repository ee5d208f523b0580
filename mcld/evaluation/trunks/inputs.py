"""What each protocol feeds its network: 8-bit images to a prepared batch, on the device of the images.

    prepare_a          fid_a             bilinear to 299 x 299 without antialias, ImageNet's scale "undone"
    prepare_fid        fid, kid          bilinear to 299 x 299 without antialias, to [-1, 1]
    prepare_clean_fid  clean_fid         bicubic to 299 x 299 with antialias, not rounded, (x - 128) / 128
    prepare_lpips      lpips_*           as large as it is, to [-1, 1]

All take (B, H, W, 3) uint8 RGB, an array or a tensor, and return (B, 3, H', W') float32.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mcld.evaluation.trunks.inception import INPUT_SIZE_PX

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
SIZE = (INPUT_SIZE_PX, INPUT_SIZE_PX)


def prepare_a(images_BHWC: np.ndarray | Tensor) -> Tensor:
    """Protocol A: x * (std / .5) + (mean - .5) / .5 per channel, on [0, 1].

    Torchvision's `transform_input`, which expects images normalised by ImageNet's mean and deviation. The
    papers hand it [0, 1], so that a normalisation is undone that never was: this is the quantity they print.
    """
    resized_BCHW = _bilinear(_unit_range(images_BHWC))
    std = torch.tensor(IMAGENET_STD, device=resized_BCHW.device)[:, None, None]
    mean = torch.tensor(IMAGENET_MEAN, device=resized_BCHW.device)[:, None, None]
    return resized_BCHW * (std / 0.5) + (mean - 0.5) / 0.5


def prepare_fid(images_BHWC: np.ndarray | Tensor) -> Tensor:
    """As pytorch-fid."""
    return 2.0 * _bilinear(_unit_range(images_BHWC)) - 1.0


def prepare_clean_fid(images_BHWC: np.ndarray | Tensor) -> Tensor:
    """As clean-fid 0.1.35 (Parmar et al. 2022): Pillow's filter, clipped to 0 and 255, not rounded.

    PyTorch's antialiased bicubic is the same filter, and does a batch at once. Pillow's weights are float64.
    """
    levels_BCHW = _channels_first(images_BHWC).double()
    resized_BCHW = F.interpolate(levels_BCHW, size=SIZE, mode="bicubic", antialias=True)
    return (resized_BCHW.float().clamp(0.0, 255.0) - 128.0) / 128.0


def prepare_lpips(images_BHWC: np.ndarray | Tensor) -> Tensor:
    """As the lpips package's `im2tensor`."""
    return _channels_first(images_BHWC) / 127.5 - 1.0


def _channels_first(images_BHWC: np.ndarray | Tensor) -> Tensor:
    # A copy of an array: it may be read-only, which no tensor can be.
    levels = images_BHWC if isinstance(images_BHWC, Tensor) else torch.from_numpy(np.array(images_BHWC))
    assert levels.dtype == torch.uint8
    assert levels.ndim == 4
    assert levels.shape[3] == 3
    return levels.permute(0, 3, 1, 2).float()


def _unit_range(images_BHWC: np.ndarray | Tensor) -> Tensor:
    return _channels_first(images_BHWC) / 255.0


def _bilinear(images_BCHW: Tensor) -> Tensor:
    return F.interpolate(images_BCHW, size=SIZE, mode="bilinear", align_corners=False)
