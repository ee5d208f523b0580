"""Everything that can be wrong with a request, as a sentence and a status."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from mcld.errors import ConfigError, DataError, MCLDError
from mcld.service.jobs import ClosedError, QueueFullError
from mcld.service.schemas import Problem

logger = logging.getLogger(__name__)

MAX_SHOWN = 60  # letters of a value that is told back
DESCRIPTIONS = {
    400: "The request cannot be read.",
    401: "The password is missing or wrong.",
    403: "The request comes from another site's page.",
    404: "There is no such thing, or it has expired.",
    408: "The body did not come in time.",
    413: "The body is too large.",
    415: "The body is no picture by its type.",
    422: "The request, or the picture, is not usable; the sentence says why.",
    429: "The queue is full; Retry-After says when to ask again.",
    503: "The service is ending.",
}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The answers of these statuses, for the service's description; those that all have are added."""
    return {
        status: {"model": Problem, "description": DESCRIPTIONS[status]}
        for status in sorted({400, 401, 403, *statuses})
    }


def problem(
    status: int,
    detail: str,
    *,
    errors: list[dict[str, Any]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """A refusal."""
    content: dict[str, Any] = {"detail": _printable(detail), **({"errors": errors} if errors else {})}
    return JSONResponse(content, status_code=status, headers=headers)


def add_handlers(app: FastAPI) -> None:
    """Have all errors answered in this way."""
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(MCLDError, _not_usable)
    app.add_exception_handler(QueueFullError, _full)
    app.add_exception_handler(ClosedError, _closed)
    app.add_exception_handler(Exception, _failed)


def sentence_of(errors: list[dict[str, Any]]) -> str:
    """The first thing that is wrong: field, value and bound."""
    first = errors[0]
    place = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    value = repr(first.get("input"))
    shown = value if len(value) <= MAX_SHOWN else f"{value[:MAX_SHOWN]}…"
    given = "" if first["type"] in ("missing", "json_invalid") else f"{shown}, but "
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    reason = str(first["msg"]).removeprefix("Value error, ")
    return f"{place or 'the request'}: {given}{reason[:1].lower()}{reason[1:]}{more}"


def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    detail = str(error.detail)
    if error.status_code in (404, 405) and detail == HTTPStatus(error.status_code).phrase:  # the router's
        detail = f"{request.method} of this address is not known; /openapi.json lists all addresses"
    return problem(error.status_code, detail, headers=error.headers)


def _not_valid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors = list(error.errors())
    # Without "input" and "ctx": they hold whatever was sent, which JSON may not be able to say.
    listed = [
        {"type": one["type"], "loc": [_plain(part) for part in one["loc"]], "msg": _printable(one["msg"])}
        for one in errors
    ]
    return problem(422, sentence_of(errors), errors=listed)


def _not_usable(_: Request, error: Exception) -> JSONResponse:
    is_users = isinstance(error, (DataError, ConfigError))
    return problem(422 if is_users else 503, str(error))


def _full(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, QueueFullError)
    seconds = error.retry_after_s
    return problem(
        429,
        f"too much is waiting already; ask again in {seconds} s",
        headers={"Retry-After": str(seconds)},
    )


def _closed(_: Request, __: Exception) -> JSONResponse:
    return problem(503, "the service is ending; ask again when it was started anew")


def _failed(_: Request, __: Exception) -> JSONResponse:
    return problem(500, "the service failed; its log says why")


def _plain(part: object) -> str | int:
    return part if isinstance(part, int) else _printable(str(part))


def _printable(text: str) -> str:
    """Half of a surrogate pair, which JSON can carry in, has no bytes to be carried out with."""
    return text.encode("utf-8", "replace").decode()
