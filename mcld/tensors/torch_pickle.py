"""The words of PyTorch's pickles: tensors are views into storages, which lie outside the pickle.

Public: `interpret(stream)`, `Interpreted`, `StoredTensor`, `StorageReference`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from mcld.tensors.pickle_program import Global, Stream, UnsafePickleError, Vocabulary, follow, shown

DTYPES = {
    "Float": torch.float32,
    "Double": torch.float64,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
}
# Values of globals: a dtype for typed storages and for dtypes themselves, bytes for untyped storages.
TYPED_STORAGES = {
    f"{module}.{name}Storage": dtype for module in ("torch", "torch.cuda") for name, dtype in DTYPES.items()
}
UNTYPED_STORAGES = ("torch.storage.UntypedStorage", "torch.UntypedStorage")
DTYPE_NAMES = {str(dtype): dtype for dtype in DTYPES.values()}


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageReference:
    """A run of numbers kept outside the pickle under `key`; an untyped one counts bytes and has no dtype."""

    key: str
    dtype: torch.dtype | None
    num_elements: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """A view into a storage, in elements of `dtype`. Nothing of it has been checked against the storage."""

    storage: StorageReference
    dtype: torch.dtype
    offset: object
    size: object
    stride: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreted:
    """What a pickle describes, and every storage that it mentions, by key."""

    value: object
    storages: dict[str, StorageReference]


def interpret(stream: Stream) -> Interpreted:
    """Follow one pickle; the stream then stands behind it. Raises UnsafePickleError."""
    storages: dict[str, StorageReference] = {}

    def refer(identity: Any) -> StorageReference:  # noqa: ANN401 - whatever the pickle says
        """A persistent id: ('storage', class, key, device, number of elements), in old files also a view."""
        kind, storage_class, key, _, num_elements, *view = identity
        if kind != "storage" or not isinstance(storage_class, Global) or view not in ([], [None]):
            raise UnsafePickleError(f"its pickle refers to {shown(kind)} outside itself, not to a storage")
        if not isinstance(key, str) or not isinstance(num_elements, int) or num_elements < 0:
            raise TypeError
        reference = StorageReference(
            key=key, dtype=_storage_dtype(storage_class.name), num_elements=num_elements
        )
        if storages.setdefault(key, reference) != reference:
            raise UnsafePickleError(f"its pickle describes the storage {shown(key)} in two ways")
        return reference

    vocabulary = Vocabulary(
        calls=_CALLS, names=_NAMES, literals=_LITERALS, set_state=_drop_metadata, refer=refer
    )
    return Interpreted(value=follow(stream, vocabulary=vocabulary), storages=storages)


def _drop_metadata(target: object, state: object) -> None:
    """Attributes of a state dict, its `_metadata`, say nothing about the tensors."""
    if not isinstance(target, dict):
        raise UnsafePickleError(f"its pickle sets attributes of {shown(target)}")


def _storage_dtype(name: str) -> torch.dtype | None:
    if name not in TYPED_STORAGES and name not in UNTYPED_STORAGES:
        raise UnsafePickleError(f"its pickle takes {shown(name)} for a storage")
    return TYPED_STORAGES.get(name)


def _tensor(
    storage: StorageReference,
    offset: object,
    size: object,
    stride: object,
    requires_grad: object = False,
    hooks: object = None,
    metadata: object = None,
) -> StoredTensor:
    """torch._utils._rebuild_tensor and _rebuild_tensor_v2. `requires_grad` and hooks belong to training."""
    if storage.dtype is None or metadata:  # metadata: conjugated or negated views
        raise TypeError
    return StoredTensor(storage=storage, dtype=storage.dtype, offset=offset, size=size, stride=stride)


def _untyped_tensor(
    storage: StorageReference,
    offset: object,
    size: object,
    stride: object,
    requires_grad: object,
    hooks: object,
    dtype: Global,
    metadata: object = None,
) -> StoredTensor:
    """torch._utils._rebuild_tensor_v3."""
    if storage.dtype is not None or metadata:
        raise TypeError
    return StoredTensor(
        storage=storage, dtype=DTYPE_NAMES[dtype.name], offset=offset, size=size, stride=stride
    )


def _parameter(data: StoredTensor, requires_grad: object, hooks: object) -> StoredTensor:
    """torch._utils._rebuild_parameter: a parameter is its tensor."""
    return data


def _ordered_dict(pairs: object = None) -> dict[str | int, object]:
    """collections.OrderedDict, filled afterwards, or by Python 2 at once: dicts keep their order too."""
    if pairs is None:
        return {}
    if not isinstance(pairs, list):
        raise TypeError
    filled: dict[str | int, object] = {}
    for key, value in pairs:
        if not isinstance(key, str | int):
            raise TypeError
        filled[key] = value
    pairs.clear()  # moved, not copied: copies of one list could be asked for without end
    return filled


def _size(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """torch.Size of a tuple. Copying anything else could be asked for without end."""
    if not isinstance(values, tuple):
        raise TypeError
    return values


_CALLS: dict[str, Callable[..., object]] = {
    "collections.OrderedDict": _ordered_dict,
    "torch.Size": _size,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _untyped_tensor,
    "torch._utils._rebuild_parameter": _parameter,
}
# Text as Python 2 wrote it: LPIPS's published heads are such files.
_LITERALS = frozenset(("SHORT_BINSTRING", "BINSTRING"))
_NAMES = frozenset((*TYPED_STORAGES, *UNTYPED_STORAGES, *DTYPE_NAMES))
