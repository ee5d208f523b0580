"""The address of previews: what edits do to a person, before any model renders it."""

from __future__ import annotations

import json

from fastapi import APIRouter, Response

from mcld.data.codec import encode_png
from mcld.inference.editing import preview
from mcld.service.desk import AtDesk
from mcld.service.photos import PNG
from mcld.service.problems import documented
from mcld.service.schemas import PreviewRequest

router = APIRouter(prefix="/v1")

NOTES_HEADER = "X-MCLD-Notes"
NOTES = {"description": "A JSON list of sentences: what was changed.", "schema": {"type": "string"}}


@router.post(
    "/previews",
    summary="See what edits do to a person",
    response_class=Response,
    responses={
        200: {**PNG[200], "headers": {NOTES_HEADER: NOTES}},
        **documented(404, 413, 422, 429, 503),
    },
)
async def make_preview(desk: AtDesk, wanted: PreviewRequest) -> Response:
    """The photograph as edited, and the texture beside it. Quick: it needs no render."""
    kept = desk.photo(wanted.source.photo)
    kept.sight(wanted.source.person)
    edits = desk.edits(wanted.edits)

    def draw() -> tuple[bytes, tuple[str, ...]]:
        person = kept.person(wanted.source.person, engine=desk.engine)
        edited = edits.changes(desk.engine).applied_to(person)
        return encode_png(preview(edited)), edited.edits

    png, notes = await desk.by_model(draw)
    return Response(png, media_type="image/png", headers={NOTES_HEADER: json.dumps(notes)})
