"""Photographs that the service brings along, looked at when they are first asked for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mcld.errors import DataError
from mcld.service.desk import Desk
from mcld.service.photographs import KeptPhoto, look_at
from mcld.service.schemas import Example

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamplePhoto:
    """An encoded picture, and what it is an example of."""

    data: bytes
    name: str
    role: Literal["person", "pose"]


class Examples:
    """Puts example photographs onto the shelf, once, for good."""

    def __init__(self, given: Sequence[ExamplePhoto]) -> None:
        self._given = tuple(given)
        self._found: tuple[Example, ...] | None = None
        self._lock = asyncio.Lock()

    async def all(self, desk: Desk) -> tuple[Example, ...]:
        """Those in which somebody was found; of others the log says why not."""
        async with self._lock:
            if self._found is None:
                found = [await self._placed(given, desk=desk) for given in self._given]
                self._found = tuple(example for example in found if example is not None)
            return self._found

    async def _placed(self, given: ExamplePhoto, *, desk: Desk) -> Example | None:
        try:
            kept: KeptPhoto = await desk.by_model(
                lambda: look_at(given.data, name=given.name, engine=desk.engine)
            )
        except DataError as error:
            logger.warning("an example is left out: %s", error)
            return None
        key = desk.photos.put(kept, num_bytes=kept.num_bytes, is_lasting=True)
        return Example(photo=key, name=given.name, role=given.role)
