"""insightface behind the seam gives what the library gives, face by face, and says when it has no GPU."""

from __future__ import annotations

import logging
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from insightface.app import FaceAnalysis
from insightface.utils.face_align import norm_crop

from mcld.conditions.face import FaceModels, biggest_face, find_faces, load_recogniser, pack_models
from mcld.errors import ConfigError, DataError
from tests.conditions.face.conftest import SIZE_PX
from tests.face_pack import paint_face, write_pack
from tests.workspaces import CHECKOUT, run_python


def crowd(*, seed: int) -> np.ndarray:
    """A noisy picture with three faces, which no grid helps to align."""
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 100, (SIZE_PX, SIZE_PX - 8 * seed, 3), np.uint8)
    paint_face(picture, column=5, row=4 + seed, stride=16, seed=3 * seed)
    paint_face(picture, column=22, row=6, stride=8, seed=3 * seed + 1)
    paint_face(picture, column=4, row=30, stride=8, seed=3 * seed + 2)
    return picture


@pytest.fixture
def analysis(models_dir: Path) -> FaceAnalysis:
    """The library itself, as its manual has it."""
    app = FaceAnalysis(
        name="antelopev2",
        root=str(models_dir),
        allowed_modules=["detection", "recognition"],
        providers=["CPUExecutionProvider"],
    )
    app.prepare(ctx_id=0, det_size=(SIZE_PX, SIZE_PX))
    return app


@pytest.mark.filterwarnings("ignore:`estimate` is deprecated:FutureWarning")
def test_a_batch_gives_what_the_library_gives_one_by_one(pack: FaceModels, analysis: FaceAnalysis) -> None:
    pictures = [crowd(seed=seed) for seed in range(4)]
    found = find_faces(load_recogniser(pack), images=pictures, batch_size=3)
    for picture, face in zip(pictures, found, strict=True):
        all_faces = analysis.get(picture)
        biggest = max(all_faces, key=lambda one: np.prod(one.bbox[2:] - one.bbox[:2]))
        assert face is not None
        assert face.num_faces == len(all_faces) == 3
        assert np.array_equal(face.box, biggest.bbox)
        assert np.array_equal(face.points, biggest.kps)
        assert face.score == biggest.det_score
        assert np.array_equal(face.embedding, biggest.embedding)
        assert np.linalg.norm(face.embedding) != pytest.approx(1, abs=0.1)  # raw


@pytest.mark.filterwarnings("ignore:`estimate` is deprecated:FutureWarning")
def test_aligning_is_the_librarys(pack: FaceModels) -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (200, 150, 3), np.uint8)
    recogniser = load_recogniser(pack)
    for _ in range(20):
        points = rng.uniform(0, 150, (5, 2)).astype(np.float32)
        aligned = recogniser.align(picture, points=points)
        assert np.array_equal(aligned, norm_crop(picture, landmark=points))


def test_points_that_fall_into_one_are_no_face(pack: FaceModels, pair: FaceModels) -> None:
    for models in (pack, pair):
        with pytest.raises(DataError, match="the five points of the face span no face"):
            load_recogniser(models).align(crowd(seed=0), points=np.full((5, 2), 40, np.float32))


def test_a_network_for_one_face_at_a_time_gives_the_same(pack: FaceModels, tmp_path: Path) -> None:
    pictures = [crowd(seed=seed) for seed in range(3)]
    expected = find_faces(load_recogniser(pack), images=pictures, batch_size=3)
    write_pack(tmp_path / "models" / "one", batch=1)
    single = pack_models(tmp_path, pack="one", expected_sha256={}, det_size_px=SIZE_PX, min_score=0.5)
    found = find_faces(load_recogniser(single), images=pictures, batch_size=3)
    for face, other in zip(found, expected, strict=True):
        assert face is not None
        assert other is not None
        assert face.embedding == pytest.approx(other.embedding, abs=1e-4)


def test_a_higher_threshold_finds_nobody(pack: FaceModels) -> None:
    recogniser = load_recogniser(replace(pack, min_score=0.999))
    assert biggest_face(recogniser, bgr=crowd(seed=1)) is None


def test_models_travel_to_processes_and_are_loaded_once_in_each(pack: FaceModels) -> None:
    assert load_recogniser(pickle.loads(pickle.dumps(pack))) is load_recogniser(pack)  # noqa: S301
    load_recogniser.cache_clear()


def test_insightface_is_imported_first_for_it_turns_off_the_reports_of_onnx_runtime() -> None:
    script = """
import sys
sys.addaudithook(lambda event, values: print(values[0]) if event == "import" else None)
import mcld.conditions.face.insightface_recogniser
"""
    done = run_python("-c", script, cwd=CHECKOUT)
    imported = done.stdout.splitlines()
    assert 0 <= imported.index("insightface") < imported.index("onnxruntime"), done.stderr


def test_without_a_gpu_the_processor_is_used_and_that_is_said(
    pack: FaceModels, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        recogniser = load_recogniser(replace(pack, device="cuda"))
    if recogniser.uses_gpu:
        pytest.skip("ONNX Runtime has a GPU here")
    (record,) = [record for record in caplog.records if record.name.startswith("mcld")]
    assert "this build has" in record.message
    assert "install onnxruntime-gpu in the place of onnxruntime" in record.message
    with pytest.raises(ConfigError, match=r"runtime\.device: 'cuda' is asked for, but ONNX Runtime cannot"):
        load_recogniser(replace(pack, device="cuda", must_use_device=True))
