"""Bodies of requests, read within bounds of size and time; nothing of them touches a disk."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import HTTPException, Query, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcld.service.desk import AtDesk
from mcld.service.limits import Limits

UPLOAD_PATHS = frozenset({"/v1/photos", "/v1/pictures"})
OCTETS = "application/octet-stream"

FileName = Annotated[
    str, Query(min_length=1, max_length=255, description="The file's name, for messages and recipes.")
]

# How the service's description shows such a body.
PICTURE_BODY = {
    "requestBody": {
        "required": True,
        "description": "The picture's bytes, as they are in its file.",
        "content": {
            media_type: {"schema": {"type": "string", "format": "binary"}}
            for media_type in ("image/jpeg", "image/png", "image/webp", OCTETS)
        },
    }
}


class BodyLimit:
    """Middleware: refuses a body that is too large, by its announced length or while it comes in."""

    def __init__(self, app: ASGIApp, *, limits: Limits) -> None:
        self._app, self._limits = app, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, counting its bytes."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_upload = scope["path"] in UPLOAD_PATHS
        bound = self._limits.max_upload_bytes if is_upload else self._limits.max_json_bytes
        num_bytes = 0

        async def counted() -> Message:
            nonlocal num_bytes
            message = await receive()
            num_bytes += len(message.get("body", b""))
            if num_bytes > bound:
                raise too_large(bound)
            return message

        await self._app(scope, counted, send)


async def read_upload(request: Request, desk: AtDesk) -> bytes:
    """A picture's bytes. Raises HTTPException 408, 413 and 415."""
    media_type = request.headers.get("content-type", OCTETS).partition(";")[0].strip().lower()
    if not media_type.startswith("image/") and media_type != OCTETS:
        raise HTTPException(
            415,
            f"'{media_type[:100]}' is no type of a picture; send its bytes as image/jpeg, image/png or "
            f"{OCTETS}",
        )
    bound = desk.limits.max_upload_bytes
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > bound:
        raise too_large(bound)
    async with desk.upload_slots:
        try:
            async with asyncio.timeout(desk.limits.upload_timeout_s):
                return await request.body()
        except TimeoutError as error:
            seconds = desk.limits.upload_timeout_s
            raise HTTPException(
                408, f"the picture was not there within {seconds:g} s; send it again"
            ) from error


def too_large(bound: int) -> HTTPException:
    """413, naming the bound."""
    shown = f"{bound >> 20} MiB" if bound >= 1 << 20 else f"{bound} bytes"
    return HTTPException(413, f"more than {shown} are not taken; send a smaller picture")
