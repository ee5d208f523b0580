"""DensePose, face and texture stages: what is given is checked, refused or excluded and counted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mcld.conditions.texture import unwrap, visible_fraction
from mcld.config import TextureParams
from mcld.data.codec import decode_image, decode_iuv, decode_npy, encode_iuv, encode_npy, encode_png
from mcld.data.columns import Column
from mcld.data.index import read_index
from mcld.data.manifest import read_manifest
from mcld.errors import DataError
from mcld.storage import read_json
from mcld.workspace import Workspace
from tests.stages.deepfashion_folder import iuv, names, params_for, run, write_folder

FIRST, SECOND = names("train")[:2]


@pytest.fixture
def root_dir(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "fashion")


@pytest.fixture
def workspace(root_dir: Path, tmp_path: Path) -> Workspace:
    indexed = Workspace(root=tmp_path / "run")
    run("dataset", params=params_for(root_dir), workspace=indexed)
    return indexed


def iuv_path(root_dir: Path) -> Path:
    return root_dir / "train_densepose" / f"{FIRST.flat}.png"


def face_path(root_dir: Path) -> Path:
    return root_dir / "train_face" / f"{FIRST.flat}.npy"


def item(workspace: Workspace, *, stage: str, key: str) -> dict[str, bytes]:
    images = read_index(workspace.stage_dir("dataset")).images
    part = next(image.part for image in images if image.key == key)
    return Column.open(workspace.stage_dir(stage)).read_item(key, part_index=part)


def reasons(workspace: Workspace, *, stage: str) -> dict[str, str]:
    return Column.open(workspace.stage_dir(stage)).excluded()


def test_given_iuv_becomes_a_column_item(root_dir: Path, workspace: Workspace) -> None:
    report = run("densepose", params=params_for(root_dir), workspace=workspace)
    assert (report.num_items, report.num_excluded) == (9, 0)
    stored = item(workspace, stage="densepose", key=FIRST.key)["iuv.png"]
    assert np.array_equal(decode_iuv(stored), iuv(FIRST.key))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (encode_iuv(np.ones((24, 17, 3), np.uint8)), r"shape \(24, 17, 3\); expected \(24, 16, 3\)"),
        (encode_png(np.full((24, 16, 3), 99, np.uint8)), r"parts 99\.\.99; expected .* parts 0\.\.24"),
        (encode_png(np.ones((24, 16), np.uint8)), "mode L; expected RGB"),
        (encode_iuv(np.ones((24, 16, 3), np.uint8))[:60], "not a whole PNG image"),
        (
            encode_png(iuv(FIRST.key)[..., [2, 1, 0]] | 32),
            r"are the channels swapped\?.*densepose\.precomputed_order",
        ),
    ],
)
def test_wrong_iuv_is_an_error_naming_file_shape_and_range(
    root_dir: Path, workspace: Workspace, data: bytes, message: str
) -> None:
    iuv_path(root_dir).write_bytes(data)
    with pytest.raises(DataError, match=rf"{FIRST.flat}\.png: .*{message}"):
        run("densepose", params=params_for(root_dir), workspace=workspace)
    assert not (workspace.stage_dir("densepose") / "manifest.json").exists()


def test_maps_written_in_the_other_order_of_channels_are_read_when_asked(
    root_dir: Path, workspace: Workspace
) -> None:
    for path in (root_dir / "train_densepose").iterdir():
        path.write_bytes(encode_png(decode_iuv(path.read_bytes())))
    for path in (root_dir / "test_densepose").iterdir():
        path.write_bytes(encode_png(decode_iuv(path.read_bytes())))
    params = params_for(root_dir)
    other = params.densepose.model_copy(update={"precomputed_order": "rgb"})
    run("densepose", params=params.model_copy(update={"densepose": other}), workspace=workspace)
    stored = item(workspace, stage="densepose", key=FIRST.key)["iuv.png"]
    assert np.array_equal(decode_iuv(stored), iuv(FIRST.key))


def test_image_without_a_person_is_an_exclusion(root_dir: Path, workspace: Workspace) -> None:
    iuv_path(root_dir).write_bytes(encode_iuv(np.zeros((24, 16, 3), np.uint8)))
    (root_dir / "train_densepose" / f"{SECOND.flat}.png").unlink()
    report = run("densepose", params=params_for(root_dir), workspace=workspace)
    assert report.num_excluded == 2
    assert reasons(workspace, stage="densepose") == {
        FIRST.key: "no person detected",
        SECOND.key: "no IUV image given",
    }


def test_too_few_persons_fail_the_stage_with_counts(root_dir: Path, workspace: Workspace) -> None:
    for path in (root_dir / "train_densepose").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"densepose: 6 of 9 items excluded.*6 x no IUV image given"):
        run("densepose", params=params_for(root_dir), workspace=workspace)


def test_image_without_a_face_keeps_its_place_with_zeros(root_dir: Path, workspace: Workspace) -> None:
    face_path(root_dir).unlink()
    report = run("face", params=params_for(root_dir), workspace=workspace)
    assert (report.num_items, report.num_excluded, report.details["no_face"]) == (9, 0, 1)
    assert not decode_npy(item(workspace, stage="face", key=FIRST.key)["face.npy"], shape=(512,)).any()
    assert decode_npy(item(workspace, stage="face", key=SECOND.key)["face.npy"], shape=(512,)).all()


def test_facts_of_a_given_embedding_say_whether_it_is_of_a_face(root_dir: Path, workspace: Workspace) -> None:
    face_path(root_dir).unlink()
    run("face", params=params_for(root_dir), workspace=workspace)
    for name, found in ((FIRST, False), (SECOND, True)):
        facts = json.loads(item(workspace, stage="face", key=name.key)["face.json"])
        assert facts == {"face_found": found, "score": None, "box": None, "num_faces": int(found)}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (encode_npy(np.full(512, np.nan, np.float32)), "array holds NaN or Inf"),
        (encode_npy(np.ones(256, np.float32)), "shape (256,), expected (512,)"),
        (b"\x80\x04pickle", "not an npy file"),
    ],
)
def test_bad_embedding_is_an_exclusion(
    root_dir: Path, workspace: Workspace, data: bytes, reason: str
) -> None:
    face_path(root_dir).write_bytes(data)
    report = run("face", params=params_for(root_dir), workspace=workspace)
    assert report.num_excluded == 1
    assert reason in reasons(workspace, stage="face")[FIRST.key]


def test_changed_condition_makes_its_own_part_again_and_no_other(
    root_dir: Path, workspace: Workspace
) -> None:
    run("face", params=params_for(root_dir), workspace=workspace)
    run("densepose", params=params_for(root_dir), workspace=workspace)
    face_path(root_dir).write_bytes(encode_npy(np.full(512, 3, np.float32)))
    assert run("face", params=params_for(root_dir), workspace=workspace).num_reused == 1
    assert run("densepose", params=params_for(root_dir), workspace=workspace).num_reused == 2


def test_texture_is_the_unwrapped_image_and_says_how_much_is_visible(
    root_dir: Path, workspace: Workspace
) -> None:
    params = params_for(root_dir).model_copy(
        update={"texture": TextureParams(part_size_px=8, fill_margin_px=1)}
    )
    iuv_path(root_dir).write_bytes(encode_iuv(np.zeros((24, 16, 3), np.uint8)))
    run("densepose", params=params, workspace=workspace)
    report = run("texture", params=params, workspace=workspace)
    assert (report.num_items, report.num_excluded) == (8, 0)
    members = item(workspace, stage="texture", key=SECOND.key)
    image = decode_image((root_dir / SECOND.path).read_bytes())
    labels = iuv(SECOND.key)
    expected = unwrap(image, iuv=labels, part_size_px=8, fill_margin_px=1)
    assert np.array_equal(decode_image(members["texture.png"]), expected)
    (root_dir / "facts.json").write_bytes(members["facts.json"])
    assert read_json(root_dir / "facts.json") == {
        "visible_fraction": round(visible_fraction(labels, part_size_px=8), 6)
    }


def test_image_changed_since_indexing_is_an_error(root_dir: Path, workspace: Workspace) -> None:
    run("densepose", params=params_for(root_dir), workspace=workspace)
    (root_dir / FIRST.path).write_bytes((root_dir / SECOND.path).read_bytes())
    with pytest.raises(
        DataError, match=r"01_1_front\.jpg: changed since the index was made; run the stage 'dataset'"
    ):
        run("texture", params=params_for(root_dir), workspace=workspace)


def test_stage_without_its_input_names_the_stage_to_run(root_dir: Path, tmp_path: Path) -> None:
    empty = Workspace(root=tmp_path / "empty")
    with pytest.raises(
        DataError, match=r"dataset/manifest\.json: not found; the stage 'dataset' has not finished"
    ):
        run("face", params=params_for(root_dir), workspace=empty)


def test_settings_of_the_manifest_hold_what_shapes_the_column(root_dir: Path, workspace: Workspace) -> None:
    run("face", params=params_for(root_dir), workspace=workspace)
    assert read_manifest(workspace.stage_dir("face")).settings == {"recogniser": "precomputed", "dim": 512}
