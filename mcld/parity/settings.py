"""Read values out of JSON files, saying which key of which file is missing or of the wrong kind."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from mcld.errors import DataError

REMEDY = "copy the folder again, or record it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A JSON object and where it stands: `place` is a file, and the keys that lead to the object."""

    place: str
    values: Mapping[str, object]

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def section(self, key: str) -> Settings:
        """The object under `key`. Raises DataError, as all of these do, when it is not there or not one."""
        value = self._value(key)
        if not isinstance(value, dict):
            raise self._unfit(key, value, "an object")
        return Settings(place=f"{self.place}: {key}", values=value)

    def integer(self, key: str, *, minimum: int = 1) -> int:
        """A whole number, at least `minimum`."""
        value = self._value(key)
        if not _is_integer(value) or value < minimum:
            raise self._unfit(key, value, f"a whole number from {minimum} on")
        return value

    def integers(self, key: str, *, minimum: int = 1, may_be_empty: bool = False) -> tuple[int, ...]:
        """A list of whole numbers, each at least `minimum`."""
        value = self._value(key)
        if not isinstance(value, list) or not (value or may_be_empty):
            raise self._unfit(key, value, "a list of whole numbers")
        if not all(_is_integer(item) and item >= minimum for item in value):
            raise self._unfit(key, value, f"a list of whole numbers from {minimum} on")
        return tuple(value)

    def number(self, key: str) -> float:
        """A number, and a finite one."""
        value = self._value(key)
        if not _is_number(value):
            raise self._unfit(key, value, "a finite number")
        return float(value)

    def numbers(self, key: str) -> tuple[float, ...]:
        """A list of finite numbers, and one of them at least."""
        value = self._value(key)
        if not isinstance(value, list) or not value or not all(map(_is_number, value)):
            raise self._unfit(key, value, "a list of finite numbers")
        return tuple(float(item) for item in value)

    def flag(self, key: str) -> bool:
        """True or false."""
        value = self._value(key)
        if not isinstance(value, bool):
            raise self._unfit(key, value, "true or false")
        return value

    def choice(self, key: str, *, choices: tuple[str, ...]) -> str:
        """One of a few words."""
        value = self._value(key)
        if not isinstance(value, str) or value not in choices:
            raise self._unfit(key, value, f"one of {', '.join(choices)}")
        return value

    def number_by_name(self, key: str) -> dict[str, float]:
        """An object whose values are numbers."""
        section = self.section(key)
        return {name: section.number(name) for name in section.values}

    def _value(self, key: str) -> object:
        if key not in self.values:
            raise DataError(f"{self.place}: no '{key}'; {REMEDY}")
        return self.values[key]

    def _unfit(self, key: str, value: object, wanted: str) -> DataError:
        return DataError(
            f"{self.place}: '{key}' is {json.dumps(value)[:80]}, which is not {wanted}; {REMEDY}"
        )


def read_settings(path: Path) -> Settings:
    """The object in a JSON file. Raises DataError when the file is missing or damaged."""
    try:
        values = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); {REMEDY}") from error
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON ({error}); {REMEDY}") from error
    if not isinstance(values, dict):
        raise DataError(f"{path}: holds no JSON object; {REMEDY}")
    return Settings(place=str(path), values=values)


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
