"""The stage `face` with models: known faces in known pictures, the same bytes however it is run."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from PIL import Image

from mcld.conditions.face import load_recogniser
from mcld.config import FaceParams, Params, RuntimeParams
from mcld.data.codec import decode_npy
from mcld.data.columns import Column
from mcld.data.index import read_index
from mcld.data.manifest import read_manifest
from mcld.errors import ConfigError, DataError, WeightsError
from mcld.stages import run_stage
from mcld.stages.columns import column_plans
from mcld.stages.face import read_facts
from mcld.stages.face_recogniser import RecognisedFaces, recognised_faces
from mcld.stages.mapper import LocalMapper, Mapper, SerialMapper
from mcld.storage import sha256_of_bytes, sha256_of_file
from mcld.types import ImageRecord, Report
from mcld.workspace import Workspace
from tests.face_pack import (
    RECOGNISER_NAME,
    SFACE_NAME,
    YUNET_NAME,
    embedding_of,
    paint_face,
    write_opencv,
    write_pack,
)
from tests.stages.deepfashion_folder import names, params_for, run, write_folder

SIZE_PX = 320
TWO_FACES, NO_FACE, THIN, *ONE_FACE = [name for split in ("train", "test") for name in names(split)]
BOX = (128.0, 64.0, 288.0, 224.0)
FACE = FaceParams(
    recogniser="insightface",
    models_dir="bases",
    det_size_px=SIZE_PX,
    batch_size=3,
    max_excluded_fraction=0.5,
)
OPENCV = FACE.model_copy(
    update={"recogniser": "opencv", "detector_path": YUNET_NAME, "recogniser_path": SFACE_NAME, "dim": 128}
)


def save(path: Path, *, bgr: np.ndarray) -> None:
    Image.fromarray(np.ascontiguousarray(bgr[..., ::-1])).save(path, "JPEG", quality=95, subsampling=0)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models, pictures and their index: a crowd, an empty room, a strip, and six people."""
    root = tmp_path_factory.mktemp("faces")
    write_pack(root / "run" / "bases" / "models" / "antelopev2")
    write_opencv(root / "run")
    fashion = write_folder(root / "fashion")
    blank = np.full((SIZE_PX, SIZE_PX, 3), 60, np.uint8)
    crowd = blank.copy()
    paint_face(crowd, column=5, row=5, stride=8, seed=50)
    paint_face(crowd, column=6, row=4, stride=32, seed=51)
    save(fashion / TWO_FACES.path, bgr=crowd)
    noise = np.random.default_rng(0).integers(0, 256, (1000, 100, 3), np.uint8)
    save(fashion / NO_FACE.path, bgr=noise)
    save(fashion / THIN.path, bgr=noise[:, :3])
    for seed, name in enumerate(ONE_FACE):
        picture = blank[: SIZE_PX - 16 * seed].copy()
        paint_face(picture, column=6 + seed, row=5, stride=16, seed=seed)
        save(fashion / name.path, bgr=picture)
    everything = params_for(fashion)
    thin_too = everything.dataset.model_copy(update={"min_side_px": 1})
    indexed = everything.model_copy(update={"dataset": thin_too})
    run("dataset", params=indexed, workspace=Workspace(root=root / "run"))
    return root


@pytest.fixture
def workspace(prepared: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(prepared / "run", tmp_path / "run")
    return Workspace(root=tmp_path / "run")


@pytest.fixture
def params(prepared: Path) -> Params:
    return params_for(prepared / "fashion").model_copy(update={"face": FACE})


def run_face(params: Params, *, workspace: Workspace, mapper: Mapper | None = None) -> Report:
    return run_stage("face", params, workspace=workspace, mapper=mapper or SerialMapper())


def items(workspace: Workspace) -> dict[str, dict[str, bytes]]:
    """Every item of the column, in the order of its parts."""
    column = Column.open(workspace.stage_dir("face"))
    return {
        key: members
        for record in column.manifest.parts
        for key, members in column.read_part(record.index).items()
    }


def contents(workspace: Workspace) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in workspace.stage_dir("face").iterdir()}


@pytest.mark.parametrize("face", [FACE, OPENCV], ids=["insightface", "opencv"])
def test_every_image_has_a_vector_and_facts(face: FaceParams, params: Params, workspace: Workspace) -> None:
    report = run_face(params.model_copy(update={"face": face}), workspace=workspace)
    assert (report.num_items, report.num_excluded) == (9, 0)
    assert report.details == {"images_with_several_faces": 1, "no_face": 2}
    found = items(workspace)
    assert list(found) == [image.key for image in read_index(workspace.stage_dir("dataset")).images]
    vectors = {key: decode_npy(item["face.npy"], shape=(face.dim,)) for key, item in found.items()}
    assert all(vector.dtype == np.float32 for vector in vectors.values())
    facts = {key: json.loads(item["face.json"]) for key, item in found.items()}
    nothing = {"face_found": False, "score": None, "box": None, "num_faces": 0}
    for name in (NO_FACE, THIN):
        assert facts[name.key] == nothing
        assert not vectors[name.key].any()
    crowd = facts[TWO_FACES.key]
    assert (crowd["face_found"], crowd["num_faces"]) == (True, 2)
    assert crowd["score"] == pytest.approx(1, abs=0.05)
    assert crowd["box"] == pytest.approx(BOX, abs=0.01)
    for seed, name in enumerate(ONE_FACE):
        assert facts[name.key]["box"] == pytest.approx(((4 + seed) * 16, 48, (9 + seed) * 16, 128), abs=0.01)
    assert len({vector.tobytes() for vector in vectors.values()}) == 8  # nobody is anybody else


def test_a_vector_is_that_of_the_pictures_face_in_its_true_colours(
    params: Params, workspace: Workspace, prepared: Path
) -> None:
    run_face(params, workspace=workspace)
    found = items(workspace)[ONE_FACE[0].key]
    x0, y0, x1, y1 = (int(value) for value in json.loads(found["face.json"])["box"])
    picture = cv2.imread(str(prepared / "fashion" / ONE_FACE[0].path))
    assert picture is not None
    aligned = cv2.resize(picture[y0:y1, x0:x1], (112, 112))
    expected = embedding_of(aligned, dim=512)
    vector = decode_npy(found["face.npy"])
    assert np.abs(vector - expected).max() < 0.02 * np.abs(expected).max()


@pytest.mark.parametrize("face", [FACE, OPENCV], ids=["insightface", "opencv"])
def test_any_number_of_workers_gives_the_same_bytes(
    face: FaceParams, params: Params, workspace: Workspace
) -> None:
    params = params.model_copy(update={"face": face})
    run_face(params, workspace=workspace)
    expected = contents(workspace)
    shutil.rmtree(workspace.stage_dir("face"))
    report = run_face(params, workspace=workspace, mapper=LocalMapper(num_workers=2))
    assert report.num_reused == 0
    assert contents(workspace) == expected


def test_several_threads_and_other_batches_give_the_same_vectors(
    params: Params, workspace: Workspace, prepared: Path, tmp_path: Path
) -> None:
    work = work_of(params, workspace=workspace, prepared=prepared)
    images = column_plans(read_index(workspace.stage_dir("dataset")).images)[0].payload
    work.build(images, path=tmp_path / "one.tar")
    replace(work, num_threads=3, batch_size=1).build(images, path=tmp_path / "three.tar")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "three.tar").read_bytes()
    work.release()
    assert load_recogniser.cache_info().currsize == 0


def work_of(params: Params, *, workspace: Workspace, prepared: Path) -> RecognisedFaces:
    return recognised_faces(
        params.face, runtime=RuntimeParams(), root=workspace.root, image_dir=prepared / "fashion"
    )


def test_a_repeated_run_reuses_all_and_another_model_nothing(params: Params, workspace: Workspace) -> None:
    run_face(params, workspace=workspace)
    assert run_face(params, workspace=workspace).num_reused == 2
    (workspace.root / "bases").rename(workspace.root / "elsewhere")
    moved = params.model_copy(update={"face": FACE.model_copy(update={"models_dir": "elsewhere"})})
    assert run_face(moved, workspace=workspace).num_reused == 2
    path = workspace.root / "elsewhere" / "models" / "antelopev2" / RECOGNISER_NAME
    scale_weights(path, by=2.0)
    assert run_face(moved, workspace=workspace).num_reused == 0
    settings = read_manifest(workspace.stage_dir("face")).settings
    assert settings["recogniser_sha256"] == sha256_of_file(path)
    assert not any("path" in name or "dir" in name for name in settings)


def scale_weights(path: Path, *, by: float) -> None:
    """Another recogniser: every number that it gives is multiplied."""
    model = onnx.load_model(str(path))
    weight = model.graph.initializer[0]
    weight.CopyFrom(
        onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) * np.float32(by), weight.name)
    )
    onnx.save_model(model, str(path))


@pytest.mark.parametrize(
    ("by", "reason"), [(float("nan"), "array holds NaN or Inf"), (0.0, "nothing but zeros")]
)
def test_an_embedding_that_is_none_is_an_exclusion(
    params: Params, workspace: Workspace, by: float, reason: str
) -> None:
    scale_weights(workspace.root / "bases" / "models" / "antelopev2" / RECOGNISER_NAME, by=by)
    with pytest.raises(DataError, match=rf"face: 7 of 9 items excluded.*7 x face embedding: {reason}"):
        run_face(params, workspace=workspace)


def test_an_image_that_does_not_decode_is_an_exclusion_and_one_that_changed_an_error(
    params: Params, workspace: Workspace, prepared: Path, tmp_path: Path
) -> None:
    images = column_plans(read_index(workspace.stage_dir("dataset")).images)[0].payload
    work = replace(work_of(params, workspace=workspace, prepared=prepared), root_dir=tmp_path)
    damaged = [stored(images[0], root_dir=tmp_path, source=prepared / "fashion", num_bytes=900)]
    damaged += [stored(image, root_dir=tmp_path, source=prepared / "fashion") for image in images[1:]]
    output = work.build(tuple(damaged), path=tmp_path / "part.tar")
    assert output.num_items == len(images) - 1
    assert [(e.key, e.reason, e.stage) for e in output.exclusions] == [
        (images[0].key, "truncated or damaged image", "face")
    ]
    (tmp_path / images[1].path).write_bytes(b"other bytes")
    with pytest.raises(DataError, match="changed since the index was made"):
        work.build(tuple(damaged), path=tmp_path / "part.tar")


def stored(image: ImageRecord, *, root_dir: Path, source: Path, num_bytes: int | None = None) -> ImageRecord:
    """A copy of an image, cut after `num_bytes`, and its line of the index."""
    data = (source / image.path).read_bytes()[:num_bytes]
    (root_dir / image.path).parent.mkdir(parents=True, exist_ok=True)
    (root_dir / image.path).write_bytes(data)
    return replace(image, sha256=sha256_of_bytes(data), num_bytes=len(data))


def test_what_is_wrong_with_a_model_is_told_before_any_part(params: Params, workspace: Workspace) -> None:
    changes: list[tuple[dict[str, object], type[Exception], str]] = [
        (
            {"models_dir": "nowhere"},
            WeightsError,
            r"nowhere/models/antelopev2: no \*\.onnx; put the files of antelopev2\.zip there",
        ),
        ({"pack": "buffalo_l"}, WeightsError, r"bases/models/buffalo_l: no \*\.onnx"),
        ({"expected_sha256": {RECOGNISER_NAME: "0" * 64}}, WeightsError, "by face.expected_sha256"),
        (
            {"dim": 128},
            ConfigError,
            r"face\.dim: 128, but .*glintr100\.onnx gives 512 numbers; set face\.dim to 512, or use",
        ),
    ]
    for change, kind, message in changes:
        with pytest.raises(kind, match=message):
            run_face(params.model_copy(update={"face": FACE.model_copy(update=change)}), workspace=workspace)
        assert not workspace.stage_dir("face").exists()


def test_a_column_without_facts_is_to_be_made_again() -> None:
    with pytest.raises(
        DataError, match=r"face\.json of an image is missing or damaged .*run the stage again"
    ):
        read_facts({"face.npy": b""})
