"""A pair as the authors load it: five files opened, decoded, resized and made ready for CLIP, every time.

Their VAE and CLIP, which then run on each, are not counted. Nothing of `mcld` is computed here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.loader_data import PairFiles

SIZE_PX = 512
CLIP_PX = 224
FACE_DIM = 512
CLIP_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
CLIP_DEVIATION = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)


def naive_batch(files: Sequence[PairFiles]) -> dict[str, Tensor]:
    """The tensors of some pairs, stacked; pictures float32, channels first."""
    return collated(naive_pair(of_pair) for of_pair in files)


def naive_pair(files: PairFiles) -> dict[str, Tensor]:
    """Everything that a training step of theirs is given of one pair."""
    source, target, pose = (resized(opened(path)) for path in (files.source, files.target, files.pose))
    texture = opened(files.texture)
    face = np.zeros(FACE_DIM, np.float32) if files.face is None else np.load(files.face)
    return {
        "target": tensor(target) * 2 - 1,
        "pose": tensor(pose),
        "texture": tensor(texture) * 2 - 1,
        "clip_source": clip_input(source),
        "clip_texture": clip_input(texture),
        "face": torch.from_numpy(face.astype(np.float32)),
    }


def collated(pairs: Iterable[dict[str, Tensor]]) -> dict[str, Tensor]:
    """One tensor a name."""
    given = list(pairs)
    return {name: torch.stack([pair[name] for pair in given]) for name in given[0]}


def opened(path: Path) -> Image.Image:
    """The picture, decoded."""
    with Image.open(path) as image:
        return image.convert("RGB")


def resized(image: Image.Image) -> Image.Image:
    """Squashed to the model's size."""
    return image.resize((SIZE_PX, SIZE_PX), Image.Resampling.BICUBIC)


def tensor(image: Image.Image) -> Tensor:
    """(3, H, W) float32 in 0..1."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


def clip_input(image: Image.Image) -> Tensor:
    """(3, 224, 224) float32: the shorter side to 224, the middle cut out, CLIP's mean and deviation."""
    scale = CLIP_PX / min(image.size)
    width, height = (round(side * scale) for side in image.size)
    small = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - CLIP_PX) // 2, (height - CLIP_PX) // 2
    cut = np.asarray(small.crop((left, top, left + CLIP_PX, top + CLIP_PX)), np.float32) / 255
    return torch.from_numpy((cut - CLIP_MEAN) / CLIP_DEVIATION).permute(2, 0, 1)
