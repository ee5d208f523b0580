"""Read a published file of weights for a trunk: the right file, its exact names and shapes, whole numbers.

Public: `read_weights(path, *, wanted, origin, expected_sha256)`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from mcld.errors import WeightsError
from mcld.storage import sha256_of_file
from mcld.tensors.files import check_fit, read_tensors

# A counter of training steps beside every batch norm: old files lack it, and no output needs it.
STEP_COUNTER = ".num_batches_tracked"
# PyTorch's hub: "the filename should follow filename-<sha256>.ext, the first eight or more digits".
_PUBLISHED_NAME = re.compile(r".*-([0-9a-f]{8,64})\.[a-z]+")
logger = logging.getLogger(__name__)


def read_weights(
    path: Path, *, wanted: Mapping[str, Tensor], origin: str, expected_sha256: str | None
) -> dict[str, Tensor]:
    """The tensors of the file, float32, without counters of training steps.

    `wanted` has every name and shape of the published file, classifiers included; `origin` says where to get
    it. Raises WeightsError naming the file, and what is missing, unexpected, of another shape or no number.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: not found; put there {origin}")
    _check_sha256(path, expected=expected_sha256, origin=origin)
    state = {name: value for name, value in read_tensors([path]).items() if not name.endswith(STEP_COUNTER)}
    expected = {name: value for name, value in wanted.items() if not name.endswith(STEP_COUNTER)}
    check_fit(state, wanted=expected, place=str(path), remedy=f"use {origin}")
    return {name: value.float() for name, value in state.items()}


def check_finite(state: Mapping[str, Tensor], *, path: Path, origin: str) -> None:
    """Raises WeightsError when a weight is NaN or infinite. Apart: it reads every number it is given."""
    for name, value in state.items():
        if not bool(value.isfinite().all()):
            raise WeightsError(
                f"{path}: '{name}' holds NaN or infinity: the file is damaged; copy {origin} again"
            )


def _check_sha256(path: Path, *, expected: str | None, origin: str) -> None:
    published = _PUBLISHED_NAME.fullmatch(path.name)
    if expected is None and published is None:
        return
    found = sha256_of_file(path)
    if expected is not None and found != expected:
        raise WeightsError(
            f"{path}: sha256 is {found}, expected {expected} by evaluate.expected_sha256; the file is "
            f"damaged or another one: copy {origin} again"
        )
    if expected is None and published is not None and not found.startswith(published[1]):
        logger.warning(
            "%s: its sha256 does not begin with %s, as its name says; it may be damaged: copy it again, or "
            "set evaluate.expected_sha256: %s if it is right",
            path,
            published[1],
            found,
        )
