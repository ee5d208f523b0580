"""Embedded people as photographs that a reader has read: exact IUV maps, given face embeddings."""

from __future__ import annotations

import functools

import numpy as np

from mcld.data.mannequins import RenderedView, face_embedding, render_view, sample_mannequin
from mcld.inference.photos.finders import Found
from mcld.inference.photos.person import Person, Pose
from mcld.inference.photos.photo import Photo
from mcld.inference.photos.reader import PhotoReader
from tests.embedded_engine import HEIGHT_PX, SEED, WIDTH_PX, embedded_preparation


class Nobody:
    """A finder for readers that are given their poses: it finds nobody."""

    def find(self, photo: np.ndarray) -> tuple[Found, ...]:
        return ()


def embedded_reader() -> PhotoReader:
    return PhotoReader(preparation=embedded_preparation(), person_finder=Nobody(), face_finder=None)


@functools.cache
def embedded_view(index: int, view: str = "1_front") -> RenderedView:
    mannequin = sample_mannequin(SEED, index=index)
    return render_view(mannequin, view=view, height_px=HEIGHT_PX, width_px=WIDTH_PX)


@functools.cache
def embedded_pose(index: int, view: str = "1_front") -> Pose:
    """The pose of one of the default data set's people in one view."""
    rendered = embedded_view(index, view)
    photo = Photo(pixels=rendered.image, name=f"{index}-{view}.png", sha256="0" * 64, notes=())
    return embedded_reader().given_pose(photo, iuv=rendered.iuv)


@functools.cache
def embedded_person(index: int, view: str = "1_front") -> Person:
    """One of the default data set's people in one view, with arrays that cannot be written to."""
    face = None
    if embedded_view(index, view).face_visible:
        face = face_embedding(sample_mannequin(SEED, index=index))
    person = embedded_reader().person(embedded_pose(index, view), face_embedding=face)
    for array in (person.photo, person.iuv, person.atlas, person.face_embedding):
        array.flags.writeable = False  # shared by all tests, and no edit may change what it is given
    return person
