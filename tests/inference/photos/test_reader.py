"""A photograph in, a person or a pose out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from mcld.conditions.texture import render
from mcld.errors import DataError
from mcld.inference.photos.finders import Found
from mcld.inference.photos.photo import Photo
from mcld.inference.photos.reader import PhotoReader
from tests.embedded_engine import embedded_person, embedded_preparation


@dataclass(frozen=True)
class TruthFinder:
    """Knows the true maps."""

    people: tuple[Found, ...] = ()

    def find(self, photo: np.ndarray) -> tuple[Found, ...]:
        return self.people


def _reader(*people: np.ndarray) -> PhotoReader:
    found = tuple(Found(iuv=iuv, score=0.9) for iuv in people)
    return PhotoReader(preparation=embedded_preparation(), person_finder=TruthFinder(found), face_finder=None)


def _side_by_side(*indices: int) -> tuple[Photo, list[np.ndarray]]:
    """Several people in one photograph, and each one's map of the whole of it."""
    people = [embedded_person(index).rendered for index in indices]
    pixels = np.concatenate([person.image for person in people], axis=1)
    maps = []
    for position in range(len(people)):
        parts = [
            person.iuv if other == position else np.zeros_like(person.iuv)
            for other, person in enumerate(people)
        ]
        maps.append(np.concatenate(parts, axis=1))
    return Photo(pixels=pixels, name="group.jpg", sha256="0" * 64, notes=()), maps


def test_of_a_photograph_like_those_of_the_training_all_is_kept() -> None:
    person = embedded_person(0)
    pose = person.pose(_reader())
    assert pose.hw == (256, 176)
    assert np.array_equal(pose.iuv, person.rendered.iuv)


def test_rendering_the_persons_texture_gives_back_what_the_photograph_shows() -> None:
    person = embedded_person(0).person(_reader())
    shown = person.iuv[..., 0] > 0
    difference = np.abs(render(person.atlas, iuv=person.iuv).astype(int) - person.photo)[shown]
    assert difference.mean() < 4


def test_nobody_is_a_sentence() -> None:
    photo, _ = _side_by_side(0)
    with pytest.raises(DataError, match=r"group\.jpg: no person was found; use a photograph of one person"):
        _reader().pose(photo)


def test_too_little_of_somebody_is_nobody() -> None:
    photo, (iuv,) = _side_by_side(0)
    crumb = np.zeros_like(iuv)
    crumb[100:105, 50:55] = (2, 100, 100)
    with pytest.raises(DataError, match="no person was found"):
        _reader(crumb).pose(photo)


def test_people_are_counted_from_the_left_and_each_can_be_chosen() -> None:
    photo, maps = _side_by_side(0, 1, 2)
    reader = _reader(maps[2], maps[0], maps[1])
    for number in (1, 2, 3):
        pose = reader.pose(photo, number=number)
        assert pose.origin.number == number
        assert np.array_equal(np.unique(pose.iuv[..., 0]), np.unique(maps[number - 1][..., 0]))
        assert f"person {number} of 3" in pose.origin.notes[0]


def test_without_a_choice_it_is_the_biggest() -> None:
    photo, maps = _side_by_side(0, 1)
    small = np.zeros_like(maps[0])
    small[::2, ::2][:128] = maps[0][::2, ::2][:128]
    small[128:] = 0
    reader = _reader(small, maps[1])
    assert reader.pose(photo).origin.number == 2


def test_a_person_who_is_not_there_is_a_sentence() -> None:
    photo, maps = _side_by_side(0, 1)
    with pytest.raises(
        DataError, match="person 3 was asked for, but there are 2 people, counted from the left"
    ):
        _reader(*maps).pose(photo, number=3)
    photo, maps = _side_by_side(0)
    with pytest.raises(DataError, match="person 2 was asked for, but there is 1 person"):
        _reader(*maps).pose(photo, number=2)


def test_a_window_cut_from_a_group_shows_the_chosen_person() -> None:
    photo, maps = _side_by_side(0, 1, 2, 3)
    pose = _reader(*maps).pose(photo, number=3)
    assert pose.hw[1] / pose.hw[0] == pytest.approx(176 / 256, rel=0.02)
    assert (pose.iuv[..., 0] > 0).sum() == (maps[2][..., 0] > 0).sum()


def test_a_given_map_of_another_size_or_of_nobody_is_a_sentence() -> None:
    photo, (iuv,) = _side_by_side(0)
    with pytest.raises(DataError, match=r"group\.jpg: IUV has shape"):
        _reader().given_pose(photo, iuv=iuv[:100])
    with pytest.raises(DataError, match="shows nobody"):
        _reader().given_pose(photo, iuv=np.zeros_like(iuv))


def test_without_a_face_model_the_person_has_no_face_and_says_why() -> None:
    person = _reader().person(embedded_person(0).pose(_reader()))
    assert not person.face_found
    assert not person.face_embedding.any()
    assert "no face model" in person.face_note


def test_a_face_embedding_of_another_length_is_a_sentence() -> None:
    with pytest.raises(DataError, match=r"person\.jpg: a face embedding of 128 numbers.*trained with 512"):
        _reader().person(embedded_person(0).pose(_reader()), face_embedding=np.ones(128, np.float32))
