"""A photograph in, a person or a pose out; what cannot be found is a sentence the user understands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcld.conditions.texture import make_atlas
from mcld.data.codec import check_iuv
from mcld.errors import DataError
from mcld.inference.photos.finders import FaceFinder, Found, PersonFinder
from mcld.inference.photos.person import Origin, Person, Pose, Window
from mcld.inference.photos.photo import Photo
from mcld.inference.photos.preparation import Preparation
from mcld.inference.photos.window import cut_out, cut_out_labels, window_of

NO_FACE_MODEL = "no face model is at hand, so that the face comes from the picture and the texture alone"
NO_FACE = "no face is seen, so that the face is the model's guess"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoReader:
    """Finds people as the model's training did. Without a face finder, people have no face embedding."""

    preparation: Preparation
    person_finder: PersonFinder
    face_finder: FaceFinder | None

    def people(self, photo: Photo) -> tuple[Found, ...]:
        """Everyone in it, from left to right. Raises DataError where there is nobody."""
        found = [person for person in self.person_finder.find(photo.pixels) if self._is_big_enough(person)]
        if not found:
            raise DataError(
                f"{photo.name}: no person was found; use a photograph of one person who is seen well, at "
                "best from head to foot"
            )
        return tuple(sorted(found, key=lambda person: person.box[0] + person.box[2]))

    def pose(self, photo: Photo, *, number: int | None = None) -> Pose:
        """The pose of one of its people: `number` counts from the left, from 1; None takes the usual one.

        Raises DataError where there is nobody, or nobody of this number.
        """
        people = self.people(photo)
        number = self._usual(people) if number is None else number
        if not 1 <= number <= len(people):
            raise DataError(
                f"{photo.name}: person {number} was asked for, but there "
                f"{'is 1 person' if len(people) == 1 else f'are {len(people)} people, counted from the left'}"
            )
        chosen = () if len(people) == 1 else (f"person {number} of {len(people)}, counted from the left",)
        found = people[number - 1]
        window = window_of(found.box, photo_hw=found.iuv.shape[:2], aspect=self.preparation.aspect)
        return _pose(photo, iuv=found.iuv, window=window, number=number, num_people=len(people), notes=chosen)

    def given_pose(self, photo: Photo, *, iuv: np.ndarray) -> Pose:
        """The pose that a given map (H, W, 3) uint8, of the photograph's size, says. Raises DataError."""
        height_px, width_px = photo.pixels.shape[:2]
        try:
            check_iuv(iuv, height_px=height_px, width_px=width_px)
        except DataError as error:
            raise DataError(f"{photo.name}: {error}") from error
        if not iuv[..., 0].any():
            raise DataError(f"{photo.name}: the map that was given shows nobody; it has no body part at all")
        found = Found(iuv=iuv, score=1.0)
        window = window_of(found.box, photo_hw=(height_px, width_px), aspect=self.preparation.aspect)
        return _pose(photo, iuv=iuv, window=window, notes=("the pose was given, not found",))

    def person(self, pose: Pose, *, face_embedding: np.ndarray | None = None) -> Person:
        """The appearance of the person whose pose was found; a face embedding may be given.

        Raises DataError when a given embedding has another length than the model's.
        """
        settings = self.preparation
        atlas = make_atlas(
            pose.photo,
            iuv=pose.iuv,
            layout=settings.layout,
            fill=settings.fill,
            part_size_px=settings.part_size_px,
            fill_margin_px=settings.fill_margin_px,
            black_is_missing=settings.black_is_missing,
        )
        embedding, note = self._face(pose, given=face_embedding)
        return Person(
            photo=pose.photo,
            iuv=pose.iuv,
            atlas=atlas,
            face_embedding=np.zeros(settings.face_dim, np.float32) if embedding is None else embedding,
            face_found=embedding is not None,
            face_note=note,
            origin=pose.origin,
            charts="mannequins" if settings.people == "mannequins" else "densepose",
        )

    def _face(self, pose: Pose, *, given: np.ndarray | None) -> tuple[np.ndarray | None, str]:
        if given is not None:
            if given.size != self.preparation.face_dim:
                raise DataError(
                    f"{pose.origin.name}: a face embedding of {given.size} numbers, but this model was "
                    f"trained with {self.preparation.face_dim}"
                )
            return given.reshape(-1).astype(np.float32), ""
        if self.face_finder is None:
            return None, NO_FACE_MODEL
        embedding = self.face_finder.embed(pose.photo, iuv=pose.iuv)
        return embedding, NO_FACE if embedding is None else ""

    def _is_big_enough(self, person: Found) -> bool:
        fraction = float((person.iuv[..., 0] > 0).mean())
        return fraction > 0 and fraction >= self.preparation.min_person_fraction

    def _usual(self, people: tuple[Found, ...]) -> int:
        """Whom the training would have taken, counted from 1."""
        if self.preparation.person == "best-score":
            return 1 + max(range(len(people)), key=lambda row: people[row].score)
        return 1 + max(range(len(people)), key=lambda row: _area(people[row]))


def _pose(
    photo: Photo,
    *,
    iuv: np.ndarray,
    window: Window,
    notes: tuple[str, ...],
    number: int = 1,
    num_people: int = 1,
) -> Pose:
    return Pose(
        photo=cut_out(photo.pixels, window=window),
        iuv=cut_out_labels(iuv, window=window),
        window=window,
        full_photo=photo.pixels,
        origin=Origin(
            name=photo.name,
            sha256=photo.sha256,
            number=number,
            num_people=num_people,
            notes=(*photo.notes, *notes),
        ),
    )


def _area(person: Found) -> int:
    left, top, right, bottom = person.box
    return (right - left) * (bottom - top)
