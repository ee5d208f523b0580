"""What the service counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from mcld.service.jobs import State

REQUEST_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
RENDER_BUCKETS_S = (0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 40, 80, 160, 320, 640)
MEDIA_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """Of one service: its own registry, so that several in one process do not mix."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "mcld_http_requests",
            "Requests by route, method and status.",
            ("route", "method", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "mcld_http_request_seconds",
            "From a request's first byte to its answer's last.",
            ("route",),
            buckets=REQUEST_BUCKETS_S,
            registry=self._registry,
        )
        self._renders = Counter("mcld_renders", "Renders by outcome.", ("outcome",), registry=self._registry)
        self._render_seconds = Histogram(
            "mcld_render_seconds",
            "Of a picture that was made, from its start.",
            buckets=RENDER_BUCKETS_S,
            registry=self._registry,
        )
        self._queued = Gauge("mcld_queue_length", "Renders that wait.", registry=self._registry)
        for outcome in ("done", "failed", "cancelled"):
            self._renders.labels(outcome)  # shown as 0 until there is one

    def count_request(self, *, route: str, method: str, status: int, seconds: float) -> None:
        """Of an answered request; `route` is a pattern, never an address with ids."""
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def count_render(self, state: State, seconds: float) -> None:
        """Of a render that is over."""
        self._renders.labels(state).inc()
        if state == "done":
            self._render_seconds.observe(seconds)

    def watch_queue(self, length: Callable[[], int]) -> None:
        """Ask `length` whenever somebody reads the metrics."""
        self._queued.set_function(length)

    def text(self) -> bytes:
        """All of it in Prometheus' format."""
        return generate_latest(self._registry)
