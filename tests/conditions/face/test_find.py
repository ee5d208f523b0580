"""Both recognisers find the painted faces where they are, and give the vectors that their networks define."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from mcld.conditions.face import FaceRecogniser, biggest_face, find_faces
from mcld.data.mannequins.people import sample_mannequin
from mcld.data.mannequins.render import render_view
from tests.conditions.face.conftest import SIZE_PX
from tests.face_pack import MARKER_SCORE, STRIDES, TEMPLATE, embedding_of, paint_face


def blank(height_px: int = SIZE_PX, width_px: int = SIZE_PX) -> np.ndarray:
    return np.full((height_px, width_px, 3), 60, np.uint8)


def one_face(*, seed: int, stride: int = 16) -> np.ndarray:
    picture = blank()
    paint_face(picture, column=5, row=6 if stride < 32 else 5, stride=stride, seed=seed)
    return picture


def expected_embedding(recogniser: FaceRecogniser, *, aligned: np.ndarray) -> np.ndarray:
    """ArcFace sees -1..1, SFace 0..255."""
    mean, scale = (127.5, 127.5) if recogniser.dim == 512 else (0.0, 1.0)
    return embedding_of(aligned, dim=recogniser.dim, mean=mean, scale=scale)


def test_of_two_faces_the_biggest_counts(recogniser: FaceRecogniser) -> None:
    picture = blank()
    paint_face(picture, column=5, row=5, stride=8, seed=1)
    box = paint_face(picture, column=6, row=4, stride=32, seed=2)
    (face,) = find_faces(recogniser, images=[picture], batch_size=1)
    assert face is not None
    assert face.num_faces == 2
    assert face.score == pytest.approx(MARKER_SCORE, abs=0.005)
    assert face.box == pytest.approx(box, abs=1e-3)
    assert face.points == pytest.approx(box[:2] + TEMPLATE * 160 / 112, abs=1e-3)


@pytest.mark.parametrize("stride", STRIDES)
def test_an_aligned_face_is_its_box_at_112_pixels(recogniser: FaceRecogniser, stride: int) -> None:
    picture = one_face(seed=3, stride=stride)
    crop = biggest_face(recogniser, bgr=picture)
    assert crop is not None
    assert crop.aligned.shape == (112, 112, 3)
    x0, y0, x1, y1 = crop.box.astype(int)
    for share_y in (0.2, 0.8):  # the middles of the four quarters, less the marker
        for share_x in (0.2, 0.8):
            seen = crop.aligned[int(112 * share_y), int(112 * share_x)]
            there = picture[int(y0 + (y1 - y0) * share_y), int(x0 + (x1 - x0) * share_x)]
            assert np.array_equal(seen, there)


def test_an_embedding_is_the_networks_own_number_for_number(recogniser: FaceRecogniser) -> None:
    picture = one_face(seed=4)
    crop = biggest_face(recogniser, bgr=picture)
    (face,) = find_faces(recogniser, images=[picture], batch_size=1)
    assert crop is not None
    assert face is not None
    assert face.embedding.dtype == np.float32
    expected = expected_embedding(recogniser, aligned=crop.aligned)
    assert face.embedding == pytest.approx(expected, rel=1e-4, abs=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("shift_px", [1, 2, 3])
def test_a_face_off_the_detectors_grid_is_found_within_a_stride(
    recogniser: FaceRecogniser, shift_px: int
) -> None:
    picture = np.roll(one_face(seed=5), (shift_px, -shift_px), axis=(0, 1))
    crop = biggest_face(recogniser, bgr=picture)
    assert crop is not None
    true_box = np.array([48, 64, 128, 144]) + np.array([-shift_px, shift_px] * 2)
    assert np.abs(crop.box - true_box).max() <= 16


def test_a_picture_of_another_size_gives_boxes_in_its_own_pixels(recogniser: FaceRecogniser) -> None:
    picture = np.repeat(np.repeat(one_face(seed=6), 2, axis=0), 2, axis=1)[:, :560]
    (large,) = find_faces(recogniser, images=[picture], batch_size=1)
    (small,) = find_faces(recogniser, images=[one_face(seed=6)], batch_size=1)
    assert large is not None
    assert small is not None
    assert large.box == pytest.approx(small.box * 2, abs=1e-3)
    cosine = large.embedding @ small.embedding
    cosine /= np.linalg.norm(large.embedding) * np.linalg.norm(small.embedding)
    assert cosine > 0.99


def test_faces_of_several_images_keep_their_order_and_gaps_at_any_batch_size(
    recogniser: FaceRecogniser,
) -> None:
    pictures = [one_face(seed=1), blank(), one_face(seed=2), one_face(seed=3), blank(90, 200)]
    alone = [find_faces(recogniser, images=[picture], batch_size=1)[0] for picture in pictures]
    assert [face is not None for face in alone] == [True, False, True, True, False]
    for batch_size in (1, 2, 8):
        together = find_faces(recogniser, images=pictures, batch_size=batch_size)
        for face, expected in zip(together, alone, strict=True):
            assert (face is None) == (expected is None)
            if face is not None and expected is not None:
                assert np.array_equal(face.embedding, expected.embedding)
    vectors = [face.embedding for face in alone if face is not None]
    assert all(not np.allclose(first, second) for first, second in pairwise(vectors))


@pytest.mark.parametrize(
    "size", [(10, 10), (1, 1), (2, 3), (2000, 17), (17, 2000), (1, 3000), (3000, 1), (641, 1), (1, 640)]
)
def test_tiny_and_thin_pictures_hold_no_face(recogniser: FaceRecogniser, size: tuple[int, int]) -> None:
    assert find_faces(recogniser, images=[blank(*size)], batch_size=1) == [None]


def test_a_rendered_person_has_no_face_until_one_is_painted(recogniser: FaceRecogniser) -> None:
    person = render_view(sample_mannequin(7, index=0), view="1_front", height_px=320, width_px=224).image
    picture = np.ascontiguousarray(person[..., ::-1])
    assert biggest_face(recogniser, bgr=picture) is None
    box = paint_face(picture, column=14, row=4, stride=8, seed=1)
    crop = biggest_face(recogniser, bgr=picture)
    assert crop is not None
    assert crop.box == pytest.approx(box, abs=1e-3)
