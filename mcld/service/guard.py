"""Middleware that asks `access` before anything else, and that counts and marks every answer."""

from __future__ import annotations

import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcld.service.access import Access, is_from_elsewhere
from mcld.service.metrics import Metrics
from mcld.service.problems import problem

READING = frozenset({"GET", "HEAD", "OPTIONS"})
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
}
UNKNOWN_ROUTE = "other"  # one for all: anybody can make up addresses


class Guard:
    """Refuses who may not ask. Every answer gets the headers that keep browsers from guessing and keeping."""

    def __init__(self, app: ASGIApp, *, access: Access, metrics: Metrics) -> None:
        self._app, self._access, self._metrics = app, access, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _mark(MutableHeaders(scope=message), path=scope["path"])
            await send(message)

        try:
            await (self._refusal(scope) or self._app)(scope, receive, marked)
        finally:
            self._metrics.count_request(
                route=getattr(scope.get("route"), "path", "") or UNKNOWN_ROUTE,
                method=scope["method"],
                status=status,
                seconds=time.perf_counter() - start,
            )

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if not self._access.knows(headers.get("host", "")):
            return problem(
                400, "this service is not known by that name; start it with --allowed-host NAME to allow it"
            )
        if scope["method"] not in READING and is_from_elsewhere(headers):
            return problem(403, "this request comes from another site's page, which may change nothing here")
        if not self._access.admits(headers.get("authorization")):
            challenge = {"WWW-Authenticate": 'Basic realm="mcld", charset="UTF-8"'}
            return problem(401, "a password is needed, and this is not it", headers=challenge)
        return None


def _mark(headers: MutableHeaders, *, path: str) -> None:
    for name, value in HEADERS.items():
        headers.setdefault(name, value)
    if path.startswith("/v1/"):  # people's pictures stay in no cache
        headers.setdefault("Cache-Control", "no-store")
