"""The face of a person whose pose is known, by real tiny models: on the head, the biggest, or none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from mcld.conditions.face import Detections, FaceRecogniser, load_recogniser, pack_models
from mcld.errors import DataError
from mcld.inference.photos.face_finder import RecognisedFace, head_box
from tests.face_pack import embedding_of, paint_face, write_pack

SIZE_PX = 320


@pytest.fixture(scope="module")
def recogniser(tmp_path_factory: pytest.TempPathFactory) -> FaceRecogniser:
    root = tmp_path_factory.mktemp("insightface")
    write_pack(root / "models" / "antelopev2")
    return load_recogniser(
        pack_models(root, pack="antelopev2", expected_sha256={}, det_size_px=SIZE_PX, min_score=0.5)
    )


def heads(*boxes: np.ndarray) -> np.ndarray:
    """(320, 320, 3) uint8: people whose heads fill these boxes."""
    iuv = np.zeros((SIZE_PX, SIZE_PX, 3), np.uint8)
    for box in boxes:
        left, top, right, bottom = box.astype(int)
        iuv[top:bottom, left:right] = (23, 100, 100)
    return iuv


@pytest.fixture(scope="module")
def photo_and_boxes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A photograph (320, 320, 3) RGB of two faces, the second one bigger, and their boxes."""
    bgr = np.full((SIZE_PX, SIZE_PX, 3), (40, 200, 40), np.uint8)
    small = paint_face(bgr, column=5, row=6, stride=8, seed=1)
    big = paint_face(bgr, column=13, row=12, stride=16, seed=2)
    return np.ascontiguousarray(bgr[..., ::-1]), small, big


def test_each_persons_face_is_their_own_however_big_another_is(
    recogniser: FaceRecogniser, photo_and_boxes: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    photo, small, big = photo_and_boxes
    finder = RecognisedFace(recogniser=recogniser)
    of_small, of_big = (finder.embed(photo, iuv=heads(box)) for box in (small, big))
    assert of_small is not None
    assert of_big is not None
    for embedding, box in ((of_small, small), (of_big, big)):
        left, top, right, bottom = box.astype(int)
        side = right - left
        crop = np.repeat(
            np.repeat(photo[top:bottom, left:right, ::-1], 112 // side + 1, 0), 112 // side + 1, 1
        )
        rows = (np.arange(112) * crop.shape[0]) // 112
        expected = embedding_of(np.ascontiguousarray(crop[rows][:, rows]), dim=512)
        cosine = embedding @ expected / np.linalg.norm(embedding) / np.linalg.norm(expected)
        assert cosine > 0.99
    assert of_small @ of_big / np.linalg.norm(of_small) / np.linalg.norm(of_big) < 0.99


def test_of_the_faces_on_a_head_the_biggest_counts(
    recogniser: FaceRecogniser, photo_and_boxes: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    photo, small, big = photo_and_boxes
    finder = RecognisedFace(recogniser=recogniser)
    both = finder.embed(photo, iuv=heads(small, big))
    assert both is not None
    assert (both == finder.embed(photo, iuv=heads(big))).all()


def test_there_is_no_face_without_a_head_or_where_the_head_is_elsewhere(
    recogniser: FaceRecogniser, photo_and_boxes: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    photo, _, _ = photo_and_boxes
    finder = RecognisedFace(recogniser=recogniser)
    body = np.zeros((SIZE_PX, SIZE_PX, 3), np.uint8)
    body[..., 0] = 2
    assert finder.embed(photo, iuv=body) is None
    assert finder.embed(photo, iuv=heads(np.array([2, 280, 20, 310]))) is None


def test_a_head_has_a_quarter_of_room_on_every_side() -> None:
    box = head_box(heads(np.array([100, 40, 140, 120])))
    assert box is not None
    assert box.tolist() == [90, 20, 150, 140]
    assert head_box(np.zeros((8, 8, 3), np.uint8)) is None


class BrokenRecogniser:
    """Sees one face in the middle, and gives the same numbers for every one."""

    dim, uses_gpu = 4, False

    def __init__(self, number: float) -> None:
        self.number = number

    def detect(self, bgr: np.ndarray) -> Detections:
        """One face."""
        box = np.array([[100, 100, 200, 200]], np.float32)
        return Detections(boxes=box, scores=np.ones(1, np.float32), points=np.ones((1, 5, 2), np.float32))

    def align(self, bgr: np.ndarray, *, points: np.ndarray) -> np.ndarray:
        """A black one."""
        return np.zeros((112, 112, 3), np.uint8)

    def embed(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """The number, over and over."""
        return np.full((len(crops), self.dim), self.number, np.float32)


@pytest.mark.parametrize(("number", "says"), [(np.nan, "NaN"), (np.inf, "NaN or Inf"), (0.0, "zeros")])
def test_numbers_that_are_none_are_refused_with_a_sentence(number: float, says: str) -> None:
    finder = RecognisedFace(recogniser=BrokenRecogniser(number))
    with pytest.raises(DataError, match=says):
        finder.embed(np.zeros((SIZE_PX, SIZE_PX, 3), np.uint8), iuv=heads(np.array([110, 110, 190, 190])))
