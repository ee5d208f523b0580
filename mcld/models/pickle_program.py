"""Follow the program in a PyTorch pickle without running it: tensors and plain values come out, nothing else.

A pickle is a program for a small stack machine that may import and call anything. Python's `pickle` obeys it.
Here `pickletools` merely lists its instructions, and those few that a state dict needs are carried out on
plain values. A global is a name on a list below, or an error: nothing is imported, no object's method runs.

Public: `interpret(stream)`, `Interpreted`, `StoredTensor`, `StorageReference`, `UnsafePickleError`.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

import torch

MAX_INTEGER_BITS = 128  # sizes need 64, the magic number of old files 80
SHOWN_CHARACTERS = 80
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


class UnsafePickleError(Exception):
    """The pickle wants more than a state dict needs, or is no pickle. The message is a clause."""


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


@dataclass(frozen=True, slots=True)
class _Global:
    name: str


def shown(value: object) -> str:
    """A value for an error message: one short line, however long, deep or odd the value."""
    if isinstance(value, _Global):
        value = value.name
    text = repr(value) if isinstance(value, str | int | float) else f"a {type(value).__name__}"
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def interpret(stream: BinaryIO) -> Interpreted:
    """Follow one pickle; the stream then stands behind it. Raises UnsafePickleError."""
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            machine.obey(opcode.name, argument)
        return Interpreted(value=machine.stack.pop(), storages=machine.storages)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        # Too short a stack, an unknown memo, wrong arguments, bytes that are no instruction or end too early.
        raise UnsafePickleError("its pickle is damaged or cut off") from error


class _Machine:
    """The stack machine's state. Instructions that are not named here are refused."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, object] = {}
        self.storages: dict[str, StorageReference] = {}

    def obey(self, name: str, argument: Any) -> None:  # noqa: ANN401 - as pickletools types it
        """Carry out one instruction."""
        if name in _LITERALS:
            self.stack.append(_bounded(argument))
        elif name in _FRESH:
            self.stack.append(_FRESH[name]())
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[len(self.memo) if name == "MEMOIZE" else argument] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name == "GLOBAL":
            self.stack.append(_known_global(argument.replace(" ", ".", 1)))
        elif name in _ACTIONS:
            _ACTIONS[name](self)
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise UnsafePickleError(f"its pickle uses the instruction {name}, which no state dict needs")

    def above_mark(self) -> list[Any]:
        """Pop everything down to the last mark; in order."""
        items = []
        while (item := self.stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    def make_tuple(self, length: int) -> None:
        """The last `length` values become one."""
        items = [self.stack.pop() for _ in range(length)]
        self.stack.append(tuple(reversed(items)))

    def set_items(self, items: list[Any]) -> None:
        """Put keys and values into the dict below them."""
        target = self.stack[-1]
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(target, dict) or not isinstance(key, str | int):
                raise UnsafePickleError(f"its pickle stores under the key {shown(key)}, not a name or number")
            target[key] = value

    def extend(self, items: list[Any]) -> None:
        """Put values into the list below them."""
        target = self.stack[-1]
        if not isinstance(target, list):
            raise TypeError
        target.extend(items)

    def name_global(self) -> None:
        """A global whose module and name are on the stack."""
        name, module = self.stack.pop(), self.stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise TypeError
        self.stack.append(_known_global(f"{module}.{name}"))

    def reduce(self) -> None:
        """What Python would call: one of our own functions, or an error."""
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, _Global) or function.name not in _CALLS:
            raise UnsafePickleError(f"its pickle calls {shown(function)}, which no state dict needs")
        self.stack.append(_CALLS[function.name](*arguments))

    def set_state(self) -> None:
        """Attributes: a state dict's `_metadata`, which says nothing about the tensors."""
        self.stack.pop()
        if not isinstance(self.stack[-1], dict):
            raise UnsafePickleError(f"its pickle sets attributes of {shown(self.stack[-1])}")

    def refer_to_storage(self) -> None:
        """A persistent id: ('storage', class, key, device, number of elements), in old files also a view."""
        kind, storage_class, key, _, num_elements, *view = self.stack.pop()
        if kind != "storage" or not isinstance(storage_class, _Global) or view not in ([], [None]):
            raise UnsafePickleError(f"its pickle refers to {shown(kind)} outside itself, not to a storage")
        if not isinstance(key, str) or not isinstance(num_elements, int) or num_elements < 0:
            raise TypeError
        reference = StorageReference(
            key=key, dtype=_storage_dtype(storage_class.name), num_elements=num_elements
        )
        if self.storages.setdefault(key, reference) != reference:
            raise UnsafePickleError(f"its pickle describes the storage {shown(key)} in two ways")
        self.stack.append(reference)


def _bounded(literal: object) -> object:
    if isinstance(literal, int) and literal.bit_length() > MAX_INTEGER_BITS:
        raise UnsafePickleError(f"its pickle holds a number of {literal.bit_length()} bits")
    return literal


def _known_global(name: str) -> _Global:
    if name in _CALLS or name in TYPED_STORAGES or name in UNTYPED_STORAGES or name in DTYPE_NAMES:
        return _Global(name)
    raise UnsafePickleError(
        f"its pickle asks for {shown(name)}, which no state dict needs; it was not executed"
    )


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
    dtype: _Global,
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


def _ordered_dict() -> dict[str | int, object]:
    """collections.OrderedDict, filled afterwards: Python's dicts keep their order too."""
    return {}


def _size(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """torch.Size of a tuple. Copying anything else could be asked for without end."""
    if not isinstance(values, tuple):
        raise TypeError
    return values


_MARK = object()
_CALLS: dict[str, Callable[..., object]] = {
    "collections.OrderedDict": _ordered_dict,
    "torch.Size": _size,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _untyped_tensor,
    "torch._utils._rebuild_parameter": _parameter,
}
_LITERALS = frozenset(
    (
        *("NONE", "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
        *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    )
)
_FRESH: dict[str, Callable[[], object]] = {
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "MARK": lambda: _MARK,
}
_ACTIONS: dict[str, Callable[[_Machine], None]] = {
    "TUPLE": lambda machine: machine.stack.append(tuple(machine.above_mark())),
    "TUPLE1": lambda machine: machine.make_tuple(1),
    "TUPLE2": lambda machine: machine.make_tuple(2),
    "TUPLE3": lambda machine: machine.make_tuple(3),
    "SETITEM": lambda machine: machine.set_items([machine.stack.pop(), machine.stack.pop()][::-1]),
    "SETITEMS": lambda machine: machine.set_items(machine.above_mark()),
    "APPEND": lambda machine: machine.extend([machine.stack.pop()]),
    "APPENDS": lambda machine: machine.extend(machine.above_mark()),
    "STACK_GLOBAL": _Machine.name_global,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.set_state,
    "BINPERSID": _Machine.refer_to_storage,
}
