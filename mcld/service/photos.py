"""Addresses of photographs and pictures: sent, looked at, forgotten."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Response

from mcld.data.codec import encode_png
from mcld.errors import DataError
from mcld.inference.photos.picture import read_picture
from mcld.service.desk import AtDesk, Desk, gone
from mcld.service.photographs import KeptPhoto, KeptPicture, look_at
from mcld.service.problems import documented
from mcld.service.schemas import FoundPerson, PhotoAnswer, PictureAnswer
from mcld.service.uploads import PICTURE_BODY, FileName, read_upload
from mcld.service.views import View, view_of

router = APIRouter(prefix="/v1")

Body = Annotated[bytes, Depends(read_upload)]
UPLOAD_PROBLEMS = documented(408, 413, 415, 422, 429, 503)
PNG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}
}


@router.post(
    "/photos",
    status_code=201,
    summary="Send a photograph and learn who is in it",
    responses=UPLOAD_PROBLEMS,
    openapi_extra=PICTURE_BODY,
)
async def add_photo(desk: AtDesk, data: Body, name: FileName = "photograph") -> PhotoAnswer:
    """The body is the file's bytes. The photograph is kept in memory, for as long as it is used."""
    kept = await desk.by_model(lambda: look_at(data, name=name, engine=desk.engine))
    return photo_answer(desk.photos.put(kept, num_bytes=kept.num_bytes), kept=kept)


@router.delete(
    "/photos/{photo_id}", status_code=204, summary="Forget a photograph", responses=documented(404, 422)
)
async def delete_photo(desk: AtDesk, photo_id: str) -> None:
    """Renders that were asked for already keep what they need until they are over. Examples stay."""
    if not desk.photos.remove(photo_id):
        raise gone("photograph", photo_id, ttl_s=desk.limits.photo_ttl_s)


@router.get(
    "/photos/{photo_id}/people/{number}/{what}.png",
    summary="Look at a person as the model does",
    response_class=Response,
    responses={**PNG, **documented(404, 422, 429, 503)},
)
async def show_person(
    desk: AtDesk, photo_id: str, number: Annotated[int, Path(ge=1, le=1000)], what: View
) -> Response:
    """A view of the person.

    photo: the part of the photograph that the model sees; iuv: the map of body parts in colours; overlay:
    both; texture: the clothes and skin, unrolled; face: the head. At most 1024 pixels a side.
    """
    kept = desk.photo(photo_id)
    try:
        kept.sight(number)
    except DataError as error:
        raise HTTPException(404, str(error)) from error
    if (number, what) not in kept.views:
        kept.views[number, what] = await _view(kept, number=number, what=what, desk=desk)
    return Response(kept.views[number, what], media_type="image/png")


@router.post(
    "/pictures",
    status_code=201,
    summary="Send a picture to print on clothes",
    responses=UPLOAD_PROBLEMS,
    openapi_extra=PICTURE_BODY,
)
async def add_picture(desk: AtDesk, data: Body, name: FileName = "picture") -> PictureAnswer:
    """The body is the file's bytes. Transparent parts stay transparent."""
    picture = await desk.by_model(lambda: read_picture(data, name=name))
    key = desk.pictures.put(KeptPicture(picture=picture), num_bytes=picture.pixels.nbytes)
    height_px, width_px = picture.pixels.shape[:2]
    return PictureAnswer(
        id=key, name=name, width_px=width_px, height_px=height_px, has_alpha=picture.has_alpha
    )


@router.delete(
    "/pictures/{picture_id}", status_code=204, summary="Forget a picture", responses=documented(404, 422)
)
async def delete_picture(desk: AtDesk, picture_id: str) -> None:
    """Renders that were asked for already keep what they need."""
    if not desk.pictures.remove(picture_id):
        raise gone("picture", picture_id, ttl_s=desk.limits.photo_ttl_s)


def photo_answer(photo_id: str, *, kept: KeptPhoto) -> PhotoAnswer:
    """What was found in a photograph."""
    height_px, width_px = kept.photo.pixels.shape[:2]
    return PhotoAnswer(
        id=photo_id,
        name=kept.photo.name,
        width_px=width_px,
        height_px=height_px,
        notes=kept.photo.notes,
        people=tuple(
            FoundPerson(number=number, box=sight.box, score=sight.score)
            for number, sight in enumerate(kept.sights, start=1)
        ),
        usual=kept.usual,
    )


async def _view(kept: KeptPhoto, *, number: int, what: View, desk: Desk) -> bytes:
    """A view's PNG. Raises HTTPException 404 where no head shows."""

    def draw() -> bytes | None:
        person = kept.person(number, engine=desk.engine) if what == "texture" else None
        picture = view_of(
            what, pose=kept.sight(number).pose, person=person, layout=desk.engine.preparation.layout
        )
        return None if picture is None else encode_png(picture)

    # Only a texture needs the model's thread, where the others would wait for a step.
    png = await (desk.by_model(draw) if what == "texture" else asyncio.to_thread(draw))
    if png is None:
        raise HTTPException(404, f"{kept.photo.name}: no head shows of person {number}")
    return png
