"""Addresses that say what the service is: its health, its numbers, its model, its examples."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import get_args

from fastapi import APIRouter, Request, Response

from mcld.inference.editing import REGIONS
from mcld.inference.settings import SchedulerName
from mcld.service.desk import AtDesk
from mcld.service.examples import Examples
from mcld.service.metrics import MEDIA_TYPE
from mcld.service.photos import photo_answer
from mcld.service.problems import documented
from mcld.service.schemas import Example, Health, ModelAnswer, PhotoAnswer, ServiceLimits

router = APIRouter()


@router.get("/health", summary="Whether the service works", responses=documented())
async def get_health(desk: AtDesk) -> Health:
    """Quick: it asks nothing of the model."""
    return Health(status="ok", model=desk.model, device=desk.machine.device, queued=desk.queue.num_queued)


@router.get(
    "/metrics",
    summary="Numbers for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **documented()},
)
async def get_metrics(desk: AtDesk) -> Response:
    """Requests and renders, by outcome and with their seconds, and how many renders wait."""
    return Response(desk.metrics.text(), media_type=MEDIA_TYPE)


@router.get("/v1/model", summary="What the model is, and what can be asked of it", responses=documented())
async def get_model(desk: AtDesk) -> ModelAnswer:
    """Bounds and defaults, for pages that show them."""
    limits = dataclasses.asdict(desk.limits)
    return ModelAnswer(
        name=Path(desk.model).name or desk.model,
        device=desk.machine.device,
        people=desk.engine.preparation.people,
        defaults=desk.defaults,
        schedulers=get_args(SchedulerName),
        limits=ServiceLimits.model_validate({name: limits[name] for name in ServiceLimits.model_fields}),
        regions=tuple(REGIONS),
        has_face_finder=desk.engine.reader.face_finder is not None,
        model_sha256=desk.engine.model_sha256,
    )


@router.get("/v1/examples", summary="Photographs to try", responses=documented(429, 503))
async def get_examples(request: Request, desk: AtDesk) -> tuple[Example, ...]:
    """They never expire. May be none."""
    examples = request.app.state.examples
    assert isinstance(examples, Examples)
    return await examples.all(desk)


@router.get("/v1/photos/{photo_id}", summary="What was found in a photograph", responses=documented(404, 422))
async def get_photo(desk: AtDesk, photo_id: str) -> PhotoAnswer:
    """As when it was sent; of examples, too."""
    return photo_answer(photo_id, kept=desk.photo(photo_id))
