"""The nouns of the glossary as frozen values; what flows between modules."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from torch import Tensor

# How an IUV map is brought to another size: as labels, or as intensities as the authors do.
IuvResize = Literal["nearest", "bicubic"]
# In which a frozen network computes.
Precision = Literal["float32", "bfloat16", "float16"]
# How an image comes to the model's size: stretched, or in its own aspect on a canvas.
Fit = Literal["squash", "pad"]

# Shapes: B batch, C latent channels, H W pixels at model resolution, h w = H/8 W/8 latent cells,
# D CLIP projection width.


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """One image of the index: a view of an outfit.

    `key` is `outfit_key/view`, e.g. `WOMEN-Dresses-id_00000692-02/1_front`. The image is
    `num_bytes` bytes of the file `path` below the images' folder: all of it, or, where `offset` is not 0, a
    member of a tar. `sha256` is of those bytes. `part` is the number of the column part that holds this
    image's conditions.
    """

    key: str
    outfit_key: str
    view: str
    gender: str
    category: str
    split: str
    path: str
    sha256: str
    num_bytes: int
    height_px: int
    width_px: int
    part: int
    offset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outfit:
    """All images of one person in one garment colour."""

    key: str
    split: str
    images: tuple[ImageRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """An ordered pair of image keys: appearance from `source`, pose and ground truth from `target`."""

    source: str
    target: str
    split: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """An item left out, with a reason a person can act on. `stage` is where it was left out."""

    key: str
    reason: str
    stage: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRecord:
    """What one part (a column's tar, or a shard) holds and what it was made from."""

    index: int
    path: str
    sha256: str
    num_bytes: int
    num_items: int
    fingerprint: str
    exclusions: tuple[Exclusion, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A stage's index, written last: its settings, its parts and its exclusions.

    `files` are outputs beside the parts: their names and sha256. Holds no times and no paths of a machine.
    """

    stage: str
    format_version: int
    settings: dict[str, object]
    parts: tuple[PartRecord, ...]
    counts: dict[str, int] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    @property
    def exclusions(self) -> tuple[Exclusion, ...]:
        """Every exclusion of every part, in part order."""
        return tuple(exclusion for part in self.parts for exclusion in part.exclusions)

    @property
    def num_items(self) -> int:
        """Items kept, over all parts."""
        return sum(part.num_items for part in self.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a stage says at its end: counts, seconds and where the output is."""

    stage: str
    num_items: int
    num_excluded: int
    num_reused: int
    seconds: float
    output: Path
    details: dict[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Latents:
    """What the frozen encoders make of N views and of their UV textures.

    Moments are mean and log-variance stacked on channels, unscaled.
    """

    image_moments: np.ndarray  # (N, 2C, h, w) float16
    texture_moments: np.ndarray  # (N, 2C, h', w') float16
    embeddings: np.ndarray  # (N, 2, D) float32: image, texture


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One decoded pair, ready for batching. Moments are mean and log-variance stacked on channels."""

    pair: Pair
    target_moments: np.ndarray  # (2C, h, w) float32
    target_iuv: np.ndarray  # (H, W, 3) uint8, channels I U V
    texture_moments: np.ndarray  # (2C, h', w') float32
    image_embedding: np.ndarray  # (D,) float32, CLIP of the source image
    texture_embedding: np.ndarray  # (D,) float32, CLIP of the source's UV texture
    face_embedding: np.ndarray  # (face.dim,) float32, zeros where face_found is False
    face_found: bool
    target_hw: tuple[int, int]  # height and width of the target's own image: what its picture is cut back to


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPart:
    """Which rows of every global batch a process takes, and in how many pieces it works them off.

    Rank r of R takes rows r, r + R, r + 2R …; its pieces are consecutive among these.
    """

    rank: int = 0
    num_ranks: int = 1
    num_pieces: int = 1  # accumulation steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Samples stacked; field by field as in `Sample`, with the IUV moved to channels first."""

    pairs: tuple[Pair, ...]
    step: int  # the optimiser step that it belongs to, from 0
    sample_ids: tuple[tuple[int, int], ...]  # (epoch, index in it) by row
    target_moments: Tensor  # (B, 2C, h, w) float32
    target_iuv: Tensor  # (B, 3, H, W) uint8
    texture_moments: Tensor  # (B, 2C, h', w') float32
    image_embedding: Tensor  # (B, D) float32
    texture_embedding: Tensor  # (B, D) float32
    face_embedding: Tensor  # (B, face.dim) float32
    face_found: Tensor  # (B,) bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """All that the denoiser sees besides the noisy latent."""

    target_iuv: Tensor  # (B, 3, H, W) uint8; I, U, V; I = 0 is background
    texture_latent: Tensor  # (B, C, h', w') float; sampled from moments, scaled
    image_embedding: Tensor  # (B, D) float; CLIP of the source image
    texture_embedding: Tensor  # (B, D) float; CLIP of the UV texture
    face_embedding: Tensor  # (B, face.dim) float; zeros where face_found is False
    face_found: Tensor  # (B,) bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A saved point of training that the same command resumes from.

    `step` is the next step to be taken, counted from 0, and so the position in the sample order. `sha256` is
    that of its record, which holds those of all its files; `num_bytes` is the size of these.
    """

    step: int
    path: Path
    sha256: str
    num_bytes: int
    files: dict[str, str]  # sha256 by name
