"""A bounded shelf in memory: what was not used longest leaves, and what is too old leaves anyway."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

Item = TypeVar("Item")

TOKEN_BYTES = 16  # 128 bits of chance: nobody guesses an id


def new_id() -> str:
    """A name that cannot be guessed: 22 letters, digits, - and _."""
    return secrets.token_urlsafe(TOKEN_BYTES)


@dataclass(slots=True, kw_only=True)
class _Place(Generic[Item]):
    item: Item
    num_bytes: int
    used_at: float
    is_lasting: bool


class Shelf(Generic[Item]):
    """Items by id, for any thread. Lasting items neither leave nor count."""

    def __init__(
        self,
        *,
        max_items: int,
        max_bytes: int,
        ttl_s: float,
        clock: Callable[[], float] = time.monotonic,  # in seconds
    ) -> None:
        self._max_items, self._max_bytes, self._ttl_s = max_items, max_bytes, ttl_s
        self._clock = clock
        self._places: OrderedDict[str, _Place[Item]] = OrderedDict()  # unused longest first
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._places)

    def put(self, item: Item, *, num_bytes: int, is_lasting: bool = False) -> str:
        """Keep it and return its id. It stays at least until the next one comes."""
        key = new_id()
        with self._lock:
            self._places[key] = _Place(
                item=item, num_bytes=num_bytes, used_at=self._clock(), is_lasting=is_lasting
            )
            self._drop_old()
            self._drop_surplus(keep=key)
        return key

    def get(self, key: str) -> Item | None:
        """The item, which counts as used now; None when there is none of this id, or no more."""
        with self._lock:
            self._drop_old()
            place = self._places.get(key)
            if place is None:
                return None
            place.used_at = self._clock()
            self._places.move_to_end(key)
            return place.item

    def remove(self, key: str) -> bool:
        """Forget it. False when it was not there; lasting items stay, and are not there in this sense."""
        with self._lock:
            self._drop_old()
            if key not in self._places or self._places[key].is_lasting:
                return False
            del self._places[key]
            return True

    def sweep(self) -> None:
        """Forget what is too old: to be called now and then, for nobody may ask for it again."""
        with self._lock:
            self._drop_old()

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._places.clear()

    def _drop_old(self) -> None:
        oldest = self._clock() - self._ttl_s
        for key in [key for key, place in self._leaving() if place.used_at < oldest]:
            del self._places[key]

    def _drop_surplus(self, *, keep: str) -> None:
        leaving = self._leaving()
        num_items, num_bytes = len(leaving), sum(place.num_bytes for _, place in leaving)
        for key, place in leaving:
            if num_items <= self._max_items and num_bytes <= self._max_bytes:
                return
            if key != keep:
                del self._places[key]
                num_items, num_bytes = num_items - 1, num_bytes - place.num_bytes

    def _leaving(self) -> list[tuple[str, _Place[Item]]]:
        return [(key, place) for key, place in self._places.items() if not place.is_lasting]
