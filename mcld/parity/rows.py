"""One comparison is one row: what was compared, how far off it is and how far off it may be."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from mcld.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A check and its verdict. `note` says where the error is, if the check is about several values.

    An infinite tolerance makes no check: the error is only told.
    """

    name: str
    error: float
    tolerance: float
    note: str = ""

    @property
    def is_check(self) -> bool:
        """Whether anything is asked of the error."""
        return math.isfinite(self.tolerance)

    @property
    def passed(self) -> bool:
        """False also where the error is NaN, which compares as neither above nor below."""
        return self.error <= self.tolerance


def relative_error(found: Tensor, *, expected: Tensor) -> float:
    """Relative Frobenius error, |found - expected| / |expected|; NaN when either holds a NaN."""
    found, expected = found.detach().double(), expected.double()
    return ratio(float((found - expected).norm()), scale=float(expected.norm()))


def ratio(difference: float, *, scale: float) -> float:
    """`|difference / scale|`, and no error at all where both are zero."""
    if scale == 0.0:
        return math.nan if math.isnan(difference) else 0.0 if difference == 0.0 else math.inf
    return abs(difference / scale)


def compare(name: str, *, found: Tensor, expected: Tensor, tolerance: float, note: str = "") -> Row:
    """A row for two tensors. Raises DataError when their shapes differ."""
    _check_shape(name, found=found, expected=expected)
    error = relative_error(found, expected=expected)
    return Row(name=name, error=error, tolerance=tolerance, note=note)


def compare_exactly(name: str, *, found: Tensor, expected: Tensor, note: str = "") -> Row:
    """A row for values that must be equal: its error is the share of them that are not."""
    _check_shape(name, found=found, expected=expected)
    error = float((found != expected).double().mean())
    return Row(name=name, error=error, tolerance=0.0, note=note)


def _check_shape(name: str, *, found: Tensor, expected: Tensor) -> None:
    if found.shape != expected.shape:
        raise DataError(
            f"{name}: recorded with shape {tuple(expected.shape)}, but the model gives {tuple(found.shape)}; "
            "the folder's config.json and its tensors do not belong together"
        )
