"""The shipped networks on people whom no training saw: those of the demo's seed, through JPEG.

Bounds are what the card says was measured, less a margin: here are fewer pictures.
"""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from mcld.config import Params
from mcld.data.mannequins import Mannequin, RenderedView, face_embedding, render_view, sample_mannequin
from mcld.errors import DataError
from mcld.inference.photos.mannequin_finder import MannequinFace, MannequinFinder
from mcld.inference.photos.photo import Photo, read_photo
from mcld.inference.photos.preparation import preparation_of
from mcld.inference.photos.reader import NO_FACE, PhotoReader

DEMO_SEED = 7
PEOPLE = (50, 52, 54, 56)  # outfits of the demo's test split
GALLERY = range(40, 60)
FACES = range(44, 60, 2)
MIN_FIRST, MIN_AMONG_FIVE = 0.4, 0.7
HEIGHT_PX, WIDTH_PX = 256, 176
MIN_IOU, MIN_FRONT_ACCURACY, MIN_ACCURACY, MAX_UV_ERROR = 0.92, 0.88, 0.75, 25


def mannequin(index: int) -> Mannequin:
    return sample_mannequin(DEMO_SEED, index=index)


def rendered(index: int, *, view: str) -> RenderedView:
    return render_view(mannequin(index), view=view, height_px=HEIGHT_PX, width_px=WIDTH_PX)


@pytest.fixture(scope="module")
def fronts() -> dict[int, RenderedView]:
    return {index: rendered(index, view="1_front") for index in PEOPLE}


@pytest.fixture(scope="module")
def others() -> list[RenderedView]:
    """Everybody from aside."""
    return [rendered(index, view="2_side") for index in PEOPLE]


@pytest.fixture(scope="module")
def reader() -> PhotoReader:
    return PhotoReader(
        preparation=preparation_of(Params()),
        person_finder=MannequinFinder.shipped(),
        face_finder=MannequinFace.shipped(),
    )


def photo_of(picture: np.ndarray) -> Photo:
    """What a user's JPEG of a picture is read as."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=95)
    return read_photo(buffer.getvalue(), name="me.jpg")


def iou(found: np.ndarray, truth: np.ndarray) -> float:
    seen, real = found[..., 0] > 0, truth[..., 0] > 0
    return float((seen & real).sum() / (seen | real).sum())


def test_a_rendered_persons_pose_is_found_nearly_as_it_is(
    reader: PhotoReader, fronts: dict[int, RenderedView], others: list[RenderedView]
) -> None:
    accuracies, overlaps, errors = [], [], []
    for view in (*fronts.values(), *others):
        pose = reader.pose(photo_of(view.image))
        assert pose.iuv.shape == view.iuv.shape
        assert pose.origin.num_people == 1
        is_person = view.iuv[..., 0] > 0
        is_right = (pose.iuv[..., 0] == view.iuv[..., 0]) & is_person
        overlaps.append(iou(pose.iuv, view.iuv))
        accuracies.append(is_right.sum() / is_person.sum())
        errors.append(np.abs(pose.iuv[is_right, 1:].astype(int) - view.iuv[is_right, 1:]).mean(axis=0))
    assert min(overlaps) > 0.85
    assert np.mean(overlaps) > MIN_IOU
    assert np.mean(accuracies[: len(fronts)]) > MIN_FRONT_ACCURACY
    assert np.mean(accuracies) > MIN_ACCURACY  # the others are seen from aside, which is harder
    assert (np.mean(errors, axis=0) < MAX_UV_ERROR).all()


def test_a_map_has_parts_with_numbers_and_zeros_elsewhere(
    reader: PhotoReader, fronts: dict[int, RenderedView]
) -> None:
    iuv = reader.pose(photo_of(fronts[50].image)).iuv
    assert iuv.dtype == np.uint8
    assert iuv[..., 0].max() <= 24
    assert not iuv[iuv[..., 0] == 0].any()


def test_a_bigger_photograph_shows_the_same_pose(
    reader: PhotoReader, fronts: dict[int, RenderedView]
) -> None:
    view = fronts[52]
    big = np.asarray(
        Image.fromarray(view.image).resize((3 * WIDTH_PX, 3 * HEIGHT_PX), Image.Resampling.BICUBIC)
    )
    pose = reader.pose(photo_of(big))
    assert pose.iuv.shape == (3 * HEIGHT_PX, 3 * WIDTH_PX, 3)
    truth = view.iuv.repeat(3, axis=0).repeat(3, axis=1)
    assert iou(pose.iuv, truth) > 0.85


def test_two_people_side_by_side_are_two_and_each_is_who_they_are(
    reader: PhotoReader, fronts: dict[int, RenderedView]
) -> None:
    first, second = fronts[50], fronts[54]
    photo = photo_of(np.hstack([first.image, second.image]))
    left, right = reader.people(photo)
    nothing = np.zeros_like(first.iuv)
    assert iou(left.iuv, np.hstack([first.iuv, nothing])) > 0.8
    assert iou(right.iuv, np.hstack([nothing, second.iuv])) > 0.8
    assert not ((left.iuv[..., 0] > 0) & (right.iuv[..., 0] > 0)).any()


def test_a_person_is_found_the_same_whoever_stands_on_the_other_side(
    reader: PhotoReader, fronts: dict[int, RenderedView]
) -> None:
    beside = [np.hstack([fronts[50].image, fronts[other].image]) for other in (54, 56)]
    first, second = (reader.people(photo_of(picture))[0] for picture in beside)
    assert iou(first.iuv, second.iuv) > 0.9


def test_nobody_is_found_where_there_is_nobody_and_the_sentence_says_so(reader: PhotoReader) -> None:
    generator = np.random.default_rng(0)
    shape = (HEIGHT_PX, WIDTH_PX, 3)
    ramp = np.linspace(0, 255, WIDTH_PX, dtype=np.uint8)
    pictures = [
        generator.integers(0, 256, shape, dtype=np.uint8),
        np.full(shape, 255, np.uint8),
        np.full(shape, (90, 140, 60), np.uint8),
        np.broadcast_to(ramp[None, :, None], shape).copy(),
        np.broadcast_to((np.arange(HEIGHT_PX) // 12 % 2 * 200)[:, None, None], shape).astype(np.uint8),
        rendered(flat_outfit(), view="6_flat").image,
    ]
    for picture in pictures:
        with pytest.raises(DataError, match=r"me\.jpg: no person was found; use a photograph of one person"):
            reader.pose(photo_of(picture))


def flat_outfit() -> int:
    """The first of the demo's outfits that is also laid flat."""
    return next(index for index in range(60) if "6_flat" in mannequin(index).views)


def test_a_face_is_nearer_to_its_own_person_than_to_most_of_twenty(reader: PhotoReader) -> None:
    gallery = np.stack([face_embedding(mannequin(index)) for index in GALLERY])
    mean = gallery.mean(axis=0)
    ranks = []
    for index in FACES:
        view = rendered(index, view="1_front")
        assert view.face_visible
        person = reader.person(reader.pose(photo_of(view.image)))
        assert person.face_found
        assert np.linalg.norm(person.face_embedding) == pytest.approx(20, abs=0.01)
        # What all people have in common tells nobody apart.
        others, own = gallery - mean, face_embedding(mannequin(index)) - mean
        cosines = others @ (person.face_embedding - mean) / np.linalg.norm(others, axis=1)
        ranks.append(int((cosines > own @ (person.face_embedding - mean) / np.linalg.norm(own) + 1e-3).sum()))
    assert np.mean(np.array(ranks) == 0) >= MIN_FIRST
    assert np.mean(np.array(ranks) < 5) >= MIN_AMONG_FIVE


def test_the_back_of_a_head_has_no_face_and_a_note_says_so(reader: PhotoReader) -> None:
    index = next(index for index in range(50, 60) if "3_back" in mannequin(index).views)
    view = rendered(index, view="3_back")
    assert not view.face_visible
    person = reader.person(reader.pose(photo_of(view.image)))
    assert not person.face_found
    assert not person.face_embedding.any()
    assert person.face_note == NO_FACE


def test_without_a_head_there_is_no_face() -> None:
    photo = np.zeros((HEIGHT_PX, WIDTH_PX, 3), np.uint8)
    iuv = np.zeros_like(photo)
    iuv[50:100, 50:100, 0] = 2
    assert MannequinFace.shipped().embed(photo, iuv=iuv) is None
