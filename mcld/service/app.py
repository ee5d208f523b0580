"""The service, put together: an engine in, an ASGI application out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI

import mcld
from mcld.devices import precision_of
from mcld.inference.engine import Engine
from mcld.inference.recipe import machine_of
from mcld.service import about, photos, previews, renders
from mcld.service.access import Access
from mcld.service.desk import Desk
from mcld.service.examples import ExamplePhoto, Examples
from mcld.service.guard import Guard
from mcld.service.limits import Limits
from mcld.service.metrics import Metrics
from mcld.service.photographs import KeptPhoto, KeptPicture
from mcld.service.problems import add_handlers
from mcld.service.queue import WorkQueue
from mcld.service.rendering import Rendered
from mcld.service.shelf import Shelf
from mcld.service.uploads import BodyLimit

SWEEP_S = 30.0  # between two looks at what is too old
DESCRIPTION = (
    "Send photographs, see who is in them, and have one person rendered in another's pose. Nothing is "
    "written to a disk; photographs and pictures are forgotten when nobody uses them."
)


def create_app(
    engine: Engine,
    *,
    model: str,  # its folder, as the user named it
    access: Access | None = None,  # None: this machine alone, without a password
    limits: Limits | None = None,  # None: the usual ones
    examples: Sequence[ExamplePhoto] = (),
) -> FastAPI:
    """The application. Its thread runs from its start to its end; pages may be added before the start.

    There are no pages of documentation, which would load scripts from elsewhere: `/openapi.json` says all.
    """
    desk = desk_for(engine, model=model, limits=limits or Limits())
    app = FastAPI(
        title="MCLD",
        version=mcld.__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=_at_work,
    )
    app.state.desk, app.state.examples = desk, Examples(examples)
    for part, tag in (
        (about, "about"),
        (photos, "photographs"),
        (previews, "renders"),
        (renders, "renders"),
    ):
        app.include_router(part.router, tags=[tag])
    add_handlers(app)
    app.add_middleware(BodyLimit, limits=desk.limits)
    app.add_middleware(Guard, access=access or Access(), metrics=desk.metrics)
    return app


def desk_for(engine: Engine, *, model: str, limits: Limits) -> Desk:
    """Empty shelves, and a queue that does not work yet."""
    metrics = Metrics()
    queue = WorkQueue[Rendered](
        max_waiting=limits.max_queue,
        timeout_s=limits.render_timeout_s,
        max_kept=limits.max_kept_renders,
        ttl_s=limits.render_ttl_s,
        on_end=metrics.count_render,
    )
    metrics.watch_queue(lambda: queue.num_queued)
    max_bytes, ttl_s = limits.max_shelf_bytes, limits.photo_ttl_s
    precision = precision_of(engine.pipeline.dtype)
    return Desk(
        engine=engine,
        model=model,
        machine=machine_of(device=str(engine.pipeline.device), precision=precision),
        defaults=engine.defaults,
        limits=limits,
        metrics=metrics,
        queue=queue,
        photos=Shelf[KeptPhoto](max_items=limits.max_photos, max_bytes=max_bytes, ttl_s=ttl_s),
        pictures=Shelf[KeptPicture](max_items=limits.max_pictures, max_bytes=max_bytes, ttl_s=ttl_s),
        upload_slots=asyncio.Semaphore(limits.max_uploads),
    )


@asynccontextmanager
async def _at_work(app: FastAPI) -> AsyncIterator[None]:
    """Between start and end: the model's thread works, and what is too old is forgotten."""
    desk = app.state.desk
    assert isinstance(desk, Desk)
    desk.queue.start()
    sweeping = asyncio.create_task(_sweep(desk))
    try:
        yield
    finally:
        sweeping.cancel()
        desk.queue.close()
        await asyncio.to_thread(desk.queue.join)
        desk.photos.clear()
        desk.pictures.clear()


async def _sweep(desk: Desk) -> None:
    while True:
        await asyncio.sleep(SWEEP_S)
        for kept in (desk.photos, desk.pictures, desk.queue):
            kept.sweep()
