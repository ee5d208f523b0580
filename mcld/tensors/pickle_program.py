"""Follow the program in a pickle without running it: plain values come out, and what a vocabulary makes.

A pickle is a program for a small stack machine that may import and call anything. Python's `pickle` obeys it.
Here `pickletools` merely lists its instructions, and those few that a state dict needs are carried out on
plain values. A global is a word of the vocabulary, or an error: nothing is imported, no object's method runs.

Public: `follow(stream, *, vocabulary)`, `Vocabulary`, `Global`, `UnsafePickleError`, `shown`.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

MAX_INTEGER_BITS = 128  # sizes need 64, the magic number of old files 80
SHOWN_CHARACTERS = 80


class UnsafePickleError(Exception):
    """The pickle wants more than a state dict needs, or is no pickle. The message is a clause."""


class Stream(Protocol):
    """What `pickletools` needs: an open file, bytes in memory, a mapped file."""

    def read(self, size: int, /) -> bytes:
        """The next bytes."""
        ...

    def readline(self) -> bytes:
        """The next line."""
        ...


@dataclass(frozen=True, slots=True)
class Global:
    """A name that the pickle would import."""

    name: str


def _refuse_state(target: object, state: object) -> None:
    raise UnsafePickleError(f"its pickle sets attributes of {shown(target)}")


def _refuse_reference(identity: object) -> object:
    raise UnsafePickleError("its pickle refers to what lies outside it, which no state dict needs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """What one kind of file may ask for.

    `calls` are carried out in the place of what they name; `names` may only be handed to them. All these
    functions are ours. They get whatever the pickle has, and raise TypeError or ValueError where it is unfit.
    """

    calls: Mapping[str, Callable[..., object]]
    names: frozenset[str] = frozenset()
    literals: frozenset[str] = frozenset()  # instructions that hold a value, beside the usual ones
    set_state: Callable[[object, object], None] = _refuse_state
    refer: Callable[[object], object] = _refuse_reference  # a persistent id: something outside the pickle


def shown(value: object) -> str:
    """A value for an error message: one short line, however long, deep or odd the value."""
    if isinstance(value, Global):
        value = value.name
    text = repr(value) if isinstance(value, str | int | float) else f"a {type(value).__name__}"
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def follow(stream: Stream, *, vocabulary: Vocabulary) -> object:
    """The value of one pickle; the stream then stands behind it. Raises UnsafePickleError."""
    machine = _Machine(vocabulary)
    try:
        for opcode, argument, _ in pickletools.genops(stream):  # type: ignore[arg-type]  # reads, no more
            machine.obey(opcode.name, argument)
        return machine.stack.pop()
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        # Too short a stack, an unknown memo, wrong arguments, bytes that are no instruction or end too early.
        raise UnsafePickleError("its pickle is damaged or cut off") from error


class _Machine:
    """The stack machine's state. Instructions that are not named here are refused."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.stack: list[Any] = []
        self.memo: dict[int, object] = {}

    def obey(self, name: str, argument: Any) -> None:  # noqa: ANN401 - as pickletools types it
        """Carry out one instruction."""
        if name in _LITERALS or name in self.vocabulary.literals:
            self.stack.append(_bounded(argument))
        elif name in _FRESH:
            self.stack.append(_FRESH[name]())
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[len(self.memo) if name == "MEMOIZE" else argument] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name == "GLOBAL":
            self.push_global(argument.replace(" ", ".", 1))
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

    def push_global(self, name: str) -> None:
        """A word of the vocabulary, or an error."""
        if name not in self.vocabulary.calls and name not in self.vocabulary.names:
            raise UnsafePickleError(
                f"its pickle asks for {shown(name)}, which no state dict needs; it was not executed"
            )
        self.stack.append(Global(name))

    def name_global(self) -> None:
        """A global whose module and name are on the stack."""
        name, module = self.stack.pop(), self.stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise TypeError
        self.push_global(f"{module}.{name}")

    def reduce(self) -> None:
        """What Python would call: one of our own functions, or an error."""
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Global) or function.name not in self.vocabulary.calls:
            raise UnsafePickleError(f"its pickle calls {shown(function)}, which no state dict needs")
        self.stack.append(self.vocabulary.calls[function.name](*arguments))

    def set_state(self) -> None:
        """Attributes of the value below them."""
        state = self.stack.pop()
        self.vocabulary.set_state(self.stack[-1], state)

    def refer(self) -> None:
        """Something outside the pickle."""
        self.stack.append(self.vocabulary.refer(self.stack.pop()))


def _bounded(literal: object) -> object:
    if isinstance(literal, int) and literal.bit_length() > MAX_INTEGER_BITS:
        raise UnsafePickleError(f"its pickle holds a number of {literal.bit_length()} bits")
    return literal


_MARK = object()
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
    "BINPERSID": _Machine.refer,
}
