"""Read a pickled dict of NumPy arrays, as detectron2's model zoo publishes weights, without executing it.

`pickle.dump({"model": {name: ndarray, …}, "__author__": …}, file)` of protocol 3 or later, by any NumPy. The
numbers lie within the pickle; an array is a view of those bytes, checked against their number.

Public: `read_pickled_arrays(path)`.
"""

from __future__ import annotations

import math
import mmap
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mcld.errors import WeightsError
from mcld.tensors.pickle_program import Global, UnsafePickleError, Vocabulary, follow, shown

WRAPPER = "model"
NUMBERS = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1")
NATIVE_ORDER = {"little": "<", "big": ">"}[sys.byteorder]
MAX_DIMENSIONS = 32


class _Kind:
    """A dtype. Its byte order comes after it, as its state."""

    def __init__(self, name: object, *_: object) -> None:
        if name not in NUMBERS:
            raise UnsafePickleError(f"its pickle holds an array of {shown(name)}, not of plain numbers")
        self.dtype = np.dtype(str(name))

    def set_state(self, state: object) -> None:
        order = state[1] if isinstance(state, tuple) else None
        if order not in ("|", "=", NATIVE_ORDER):
            raise UnsafePickleError(
                "it was written on a machine of the other byte order: save it on this one"
            )


class _Array:
    """An array. Its numbers come after it, as its state."""

    def __init__(self) -> None:
        self.value: np.ndarray | None = None

    def set_state(self, state: object) -> None:
        if not isinstance(state, tuple):
            raise TypeError
        _, shape, kind, is_fortran, data = state
        self.value = _view(data, kind=kind, shape=shape, order="F" if is_fortran else "C")


def read_pickled_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays by name; a dict `model` around them is taken off.

    Raises WeightsError naming what is wrong, also for anything that a dict of arrays has no need of.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as stream:
            return _arrays(follow(stream, vocabulary=_VOCABULARY))
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: not found") from error
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error}); copy it again") from error
    except (UnsafePickleError, ValueError) as error:  # ValueError: an empty file cannot be mapped
        reason = error if isinstance(error, UnsafePickleError) else "it is empty"
        raise WeightsError(
            f"{path}: {reason}; use a dict of arrays as detectron2's model zoo publishes it, copied whole"
        ) from error


def _arrays(value: object) -> dict[str, np.ndarray]:
    if isinstance(value, dict) and isinstance(value.get(WRAPPER), dict):
        value = value[WRAPPER]
    if not isinstance(value, dict) or not value:
        raise UnsafePickleError(f"it holds {shown(value)}, not a dict of arrays")
    arrays = {}
    for name, item in value.items():
        if not isinstance(name, str) or not isinstance(item, _Array) or item.value is None:
            raise UnsafePickleError(f"it holds {shown(item)} under {shown(name)}, not an array under a name")
        arrays[name] = item.value
    return arrays


def _view(data: object, *, kind: object, shape: object, order: object) -> np.ndarray:
    """The bytes as numbers, not copied. Raises UnsafePickleError when there are more or fewer."""
    if not isinstance(kind, _Kind) or not isinstance(data, bytes | bytearray) or order not in ("C", "F"):
        raise TypeError
    if not isinstance(shape, tuple) or len(shape) > MAX_DIMENSIONS:
        raise TypeError
    if not all(type(length) is int and length >= 0 for length in shape):
        raise TypeError
    if math.prod(shape) * kind.dtype.itemsize != len(data):
        raise UnsafePickleError(f"its array of shape {shape} has {len(data)} bytes: it is damaged")
    return np.frombuffer(data, dtype=kind.dtype).reshape(shape, order="C" if order == "C" else "F")


def _reconstruct(array_class: object, *_: object) -> _Array:
    """numpy.core.multiarray._reconstruct: an array without numbers yet."""
    if array_class != Global("numpy.ndarray"):
        raise TypeError
    return _Array()


def _from_buffer(data: object, kind: object, shape: object, order: object) -> _Array:
    """numpy.core.numeric._frombuffer, of protocol 5."""
    array = _Array()
    array.value = _view(data, kind=kind, shape=shape, order=order)
    return array


def _ordered_dict() -> dict[str | int, object]:
    """collections.OrderedDict, filled afterwards."""
    return {}


def _set_state(target: object, state: object) -> None:
    if isinstance(target, _Kind | _Array):
        target.set_state(state)
    elif not isinstance(target, dict):  # an OrderedDict's attributes say nothing about the arrays
        raise UnsafePickleError(f"its pickle sets attributes of {shown(target)}")


_CALLS: dict[str, Callable[..., object]] = {
    "collections.OrderedDict": _ordered_dict,
    "numpy.dtype": _Kind,
    **{f"numpy.{core}.multiarray._reconstruct": _reconstruct for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _from_buffer for core in ("core", "_core")},
}
_VOCABULARY = Vocabulary(
    calls=_CALLS,
    names=frozenset(("numpy.ndarray",)),
    literals=frozenset(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8")),
    set_state=_set_state,
)
