"""Refuse conditions and latents that do not fit a model, before any work, naming field, value and bound.

Shapes and dtypes are looked at on every call, which costs nothing. Values (NaN, part ids out of range) need
the numbers themselves, and so wait for a GPU: `check_values` is for sampling, never for the training loop.

Shapes: B rows, C latent channels, H W latent size.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mcld.errors import DataError
from mcld.models.config import ModelConfig
from mcld.types import Conditions, IuvResize

LAST_PART = 24
# Dimensions of each field; the axis at which its width stands is the second.
NUM_DIMENSIONS = {
    "target_iuv": 4,
    "texture_latent": 4,
    "image_embedding": 2,
    "texture_embedding": 2,
    "face_embedding": 2,
    "face_found": 1,
}
FLOATS = ("texture_latent", "image_embedding", "texture_embedding", "face_embedding")


def check_conditions(conditions: Conditions, *, config: ModelConfig) -> None:
    """Raises DataError when shapes or dtypes are not those of one batch for a model of `config`."""
    _check_dimensions(conditions)
    _check_rows(conditions)
    _check_widths(conditions, config=config)
    for name, expected in (("target_iuv", torch.uint8), ("face_found", torch.bool)):
        dtype = getattr(conditions, name).dtype
        if dtype != expected:
            raise DataError(f"conditions.{name}: dtype {dtype}, but it must be {expected}")
    size = tuple(conditions.target_iuv.shape[2:])
    if any(side == 0 or side % config.pose_factor for side in size):
        raise DataError(f"conditions.target_iuv: size {size} is not a multiple of {config.pose_factor}")


def check_latent(latent_BCHW: Tensor, *, conditions: Conditions, config: ModelConfig) -> None:
    """Raises DataError when a noisy latent does not belong to these conditions."""
    channels, latent_size = latent_BCHW.shape[1], tuple(latent_BCHW.shape[2:])
    if channels != config.latent_channels:
        raise DataError(f"noisy latent: {channels} channels, but this model has {config.latent_channels}")
    size = tuple(conditions.target_iuv.shape[2:])
    expected = tuple(side * config.pose_factor for side in latent_size)
    if size != expected:
        raise DataError(f"conditions.target_iuv: size {size}, but a latent of {latent_size} needs {expected}")
    if len(latent_BCHW) != len(conditions.target_iuv):
        raise DataError(
            f"noisy latent: {len(latent_BCHW)} rows, but the conditions have {len(conditions.target_iuv)}"
        )


def check_prepared_latent(latent_BCHW: Tensor, *, pose_feature_BPHW: Tensor) -> None:
    """Raises DataError when a noisy latent does not belong to the conditions that were prepared."""
    found, wanted = _rows_and_size(latent_BCHW), _rows_and_size(pose_feature_BPHW)
    if found != wanted:
        raise DataError(
            f"noisy latent: {found[0]} rows of size {found[1:]}, but the conditions were prepared for "
            f"{wanted[0]} rows of size {wanted[1:]} (null rows included)"
        )


def check_values(conditions: Conditions, *, iuv_resize: IuvResize) -> None:
    """Raises DataError for NaN, infinity or a part id above 24, naming field and row. Waits for a GPU."""
    wrong = {name: ~getattr(conditions, name).flatten(1).isfinite().all(1) for name in FLOATS}
    # Bicubic resizing overshoots: 25 and 26 are then no mistake.
    if iuv_resize == "nearest":
        wrong["target_iuv"] = conditions.target_iuv[:, 0].flatten(1).amax(1) > LAST_PART
    table = torch.stack(list(wrong.values())).cpu()
    if not bool(table.any()):
        return
    field, row = (int(index) for index in table.nonzero()[0])
    name = list(wrong)[field]
    if name == "target_iuv":
        part = int(conditions.target_iuv[row, 0].max())
        raise DataError(
            f"conditions.target_iuv: row {row} has part id {part}, above {LAST_PART}; "
            "its channels must be I, U, V"
        )
    value = getattr(conditions, name)[row].flatten()
    raise DataError(
        f"conditions.{name}: row {row} holds {float(value[~value.isfinite()][0])}; "
        "every number must be finite"
    )


def _check_dimensions(conditions: Conditions) -> None:
    for name, expected in NUM_DIMENSIONS.items():
        shape = tuple(getattr(conditions, name).shape)
        if len(shape) != expected:
            raise DataError(
                f"conditions.{name}: shape {shape}, but it needs {expected} dimensions, rows first"
            )


def _check_rows(conditions: Conditions) -> None:
    rows = {name: len(getattr(conditions, name)) for name in NUM_DIMENSIONS}
    num_rows = rows["target_iuv"]
    if num_rows == 0:
        raise DataError("conditions.target_iuv: 0 rows; give at least one")
    for name, found in rows.items():
        if found != num_rows:
            raise DataError(f"conditions.{name}: {found} rows, but conditions.target_iuv has {num_rows}")


def _check_widths(conditions: Conditions, *, config: ModelConfig) -> None:
    for name, expected in (
        ("image_embedding", config.cross_attention_dim),
        ("texture_embedding", config.cross_attention_dim),
        ("face_embedding", config.face.embedding_dim),
        ("texture_latent", config.latent_channels),
        ("target_iuv", 3),
    ):
        width = getattr(conditions, name).shape[1]
        if width != expected:
            raise DataError(f"conditions.{name}: width {width}, but this model was built for {expected}")


def _rows_and_size(value: Tensor) -> tuple[int, int, int]:
    return value.shape[0], value.shape[2], value.shape[3]
