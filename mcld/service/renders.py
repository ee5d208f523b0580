"""Addresses of renders: asked for, watched, fetched, cancelled."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, HTTPException, Response

from mcld.service.desk import AtDesk, Desk, gone
from mcld.service.jobs import Job
from mcld.service.photos import PNG
from mcld.service.problems import documented
from mcld.service.rendering import Rendered, RenderWork
from mcld.service.schemas import RenderAnswer, RenderRequest, RenderTicket

router = APIRouter(prefix="/v1/renders")

RECIPE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/json": {"schema": {"type": "object"}}}}
}


@router.post(
    "",
    status_code=202,
    summary="Ask for a picture of a person in another's pose",
    responses=documented(404, 413, 422, 429, 503),
)
async def add_render(desk: AtDesk, wanted: RenderRequest) -> RenderTicket:
    """It waits in a queue; ask after it by its id."""
    source, target = desk.photo(wanted.source.photo), desk.photo(wanted.target.photo)
    source.sight(wanted.source.person)
    target.sight(wanted.target.person)
    edits = desk.edits(wanted.edits)
    settings = desk.settings(wanted.settings)
    work = RenderWork(
        engine=desk.engine,
        model=desk.model,
        machine=desk.machine,
        source=source,
        source_number=wanted.source.person,
        target=target,
        target_number=wanted.target.person,
        edits=edits,
        settings=settings,
        attention=wanted.attention,
    )
    job = desk.queue.submit(work, num_steps=settings.num_steps)
    return RenderTicket(id=job.id, state=job.state, position=desk.queue.position(job))


@router.get("/{render_id}", summary="Ask how far a render is", responses=documented(404, 422))
async def get_render(desk: AtDesk, render_id: str) -> RenderAnswer:
    """States: queued, running, done, failed, cancelled."""
    job = _job(desk, render_id)
    state, result = job.state, job.result  # in this order: a job has its result before it is done
    address = f"/v1/renders/{job.id}"
    has_attention = result is not None and result.attention_png is not None
    return RenderAnswer(
        id=job.id,
        state=state,
        position=desk.queue.position(job),
        step=job.step,
        num_steps=job.num_steps,
        seconds=desk.queue.seconds(job),
        error=job.error,
        picture=f"{address}/picture.png" if result else None,
        recipe=f"{address}/recipe.json" if result else None,
        attention=f"{address}/attention.png" if has_attention else None,
        notes=result.notes if result else (),
    )


@router.delete(
    "/{render_id}", status_code=204, summary="Cancel or forget a render", responses=documented(404, 422)
)
async def delete_render(desk: AtDesk, render_id: str) -> None:
    """One that waits or runs is cancelled, at its next step; one that is over is forgotten."""
    if not desk.queue.cancel_or_forget(render_id):
        raise gone("render", render_id, ttl_s=desk.limits.render_ttl_s)


@router.get(
    "/{render_id}/picture.png",
    summary="Fetch the picture",
    response_class=Response,
    responses={**PNG, **documented(404, 422)},
)
async def get_picture(desk: AtDesk, render_id: str) -> Response:
    """PNG, which keeps every level."""
    return Response(_result(desk, render_id).picture_png, media_type="image/png")


@router.get(
    "/{render_id}/recipe.json",
    summary="Fetch the picture's recipe",
    response_class=Response,
    responses={**RECIPE, **documented(404, 422)},
)
async def get_recipe(desk: AtDesk, render_id: str) -> Response:
    """Everything needed to make the picture again: hashes of photographs and model, settings, machine."""
    return Response(_result(desk, render_id).recipe_json, media_type="application/json")


@router.get(
    "/{render_id}/attention.png",
    summary="Fetch the picture of where each focus speaks",
    response_class=Response,
    responses={**PNG, **documented(404, 422)},
)
async def get_attention(desk: AtDesk, render_id: str) -> Response:
    """A row a step, a column a focus: white is where it is strongest. Of renders with `attention` alone."""
    png = _result(desk, render_id).attention_png
    if png is None:
        raise HTTPException(404, "this render was asked for without attention; ask for one with it")
    return Response(png, media_type="image/png")


def _job(desk: Desk, render_id: str) -> Job[Rendered]:
    """Raises HTTPException 404."""
    job = desk.queue.job(render_id)
    if job is None:
        raise gone("render", render_id, ttl_s=desk.limits.render_ttl_s)
    return job


def _result(desk: Desk, render_id: str) -> Rendered:
    """Raises HTTPException 404, also where there is no result yet."""
    job = _job(desk, render_id)
    if job.result is None:
        raise HTTPException(404, f"this render is {job.state}: there is no picture of it")
    return job.result
