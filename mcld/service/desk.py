"""What all requests share: the engine, its queue, and what is kept in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, HTTPException, Request
from pydantic import ValidationError

from mcld.errors import DataError
from mcld.inference.engine import Engine
from mcld.inference.recipe import Machine
from mcld.inference.settings import RenderSettings
from mcld.service.edit_requests import EditRequest
from mcld.service.edits import NamedEdits, named_edits
from mcld.service.limits import Limits
from mcld.service.metrics import Metrics
from mcld.service.photographs import KeptPhoto, KeptPicture
from mcld.service.queue import WorkQueue
from mcld.service.rendering import Rendered
from mcld.service.shelf import Shelf

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Made once for a service; everything in it may be used from any thread."""

    engine: Engine
    model: str  # the folder, as the user named it
    machine: Machine
    defaults: RenderSettings
    limits: Limits
    metrics: Metrics
    queue: WorkQueue[Rendered]
    photos: Shelf[KeptPhoto]
    pictures: Shelf[KeptPicture]
    upload_slots: asyncio.Semaphore

    async def by_model(self, task: Callable[[], Value]) -> Value:
        """What a task in the model's thread gives. Raises what it raises, QueueFullError, ClosedError."""
        return await asyncio.wrap_future(self.queue.do(task))

    def photo(self, photo_id: str) -> KeptPhoto:
        """Raises HTTPException 404 where it is not, or not any more."""
        kept = self.photos.get(photo_id)
        if kept is None:
            raise gone("photograph", photo_id, ttl_s=self.limits.photo_ttl_s)
        return kept

    def picture(self, picture_id: str) -> KeptPicture:
        """Raises HTTPException 404 where it is not, or not any more."""
        kept = self.pictures.get(picture_id)
        if kept is None:
            raise gone("picture", picture_id, ttl_s=self.limits.photo_ttl_s)
        return kept

    def edits(self, wanted: Sequence[EditRequest]) -> NamedEdits:
        """Edits with what they name. Raises HTTPException 404, and DataError."""
        return named_edits(
            wanted, max_edits=self.limits.max_edits, photo_of=self.photo, picture_of=self.picture
        )

    def settings(self, wanted: RenderSettings) -> RenderSettings:
        """What is left out is as the defaults say. Raises DataError where the two do not go together."""
        given = wanted.model_dump(exclude_unset=True)
        try:
            return RenderSettings.model_validate({**self.defaults.model_dump(), **given})
        except ValidationError as error:
            raise DataError(f"settings: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from error


def gone(what: str, key: str, *, ttl_s: float) -> HTTPException:
    """404: there is no such thing, or not any more."""
    return HTTPException(
        404,
        f"there is no {what} '{key}'; it may have expired (what nobody uses is forgotten "
        f"after {ttl_s:g} s, and the oldest go when there are many); send it again",
    )


def desk_of(request: Request) -> Desk:
    """The desk of the service that a request came to."""
    desk = request.app.state.desk
    assert isinstance(desk, Desk)
    return desk


AtDesk = Annotated[Desk, Depends(desk_of)]
