"""A mapper whose parts take long enough for something to happen meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic

from mcld.stages.mapper import Item, Mapper, Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused(Generic[Item, Result]):
    """A function that waits first."""

    function: Callable[[Item], Result]
    pause_s: float

    def __call__(self, item: Item) -> Result:
        time.sleep(self.pause_s)
        return self.function(item)


@dataclass(frozen=True, slots=True, kw_only=True)
class PausedMapper:
    """A mapper whose parts take long enough for something to happen."""

    mapper: Mapper
    pause_s: float

    def map(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        *,
        description: str,
        uses_device: bool = False,
    ) -> Iterator[Result]:
        paused = Paused(function=function, pause_s=self.pause_s)
        return self.mapper.map(paused, items, description=description, uses_device=uses_device)
