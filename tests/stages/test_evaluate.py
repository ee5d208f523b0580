"""The evaluate stage on a small workspace: rows, files, and what it refuses."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet
import pytest
import torch

from mcld.config import EvaluateParams, FaceParams, Params
from mcld.data.codec import encode_png
from mcld.data.index import read_index
from mcld.data.manifest import read_manifest
from mcld.errors import ConfigError, DataError, WeightsError
from mcld.evaluation.trunks import squeezenet
from mcld.stages import evaluate
from mcld.stages.evaluation_networks import evaluation_networks, lacking_with
from mcld.stages.folder_scores import FolderRequest, score_folder
from mcld.stages.mapper import SerialMapper
from mcld.storage import sha256_of_file, write_bytes, write_json
from mcld.types import Report
from mcld.workspace import Workspace
from tests.evaluation.trunks.published_files import recipe_weights, write_published
from tests.face_pack import RECOGNISER_NAME, SFACE_NAME, YUNET_NAME, write_opencv, write_pack
from tests.stages.fake_run import HEIGHT_PX, NUM_PAIRS, PARAMS, WIDTH_PX, make_run


@pytest.fixture(scope="module")
def prepared_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("evaluate") / "prepared").root


@pytest.fixture
def workspace(prepared_dir: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(prepared_dir, tmp_path / "run")
    return Workspace(root=tmp_path / "run")


def run(workspace: Workspace, params: Params = PARAMS) -> Report:
    return evaluate.run(params, workspace=workspace, mapper=SerialMapper())


def outputs(workspace: Workspace) -> dict[str, bytes]:
    out_dir = workspace.stage_dir("evaluate")
    files = {path.name: path.read_bytes() for path in out_dir.iterdir()}
    return files | {"metrics": (workspace.metrics_dir / "evaluate.json").read_bytes()}


def requiring(*names: str) -> Params:
    section = EvaluateParams(require=names)
    return PARAMS.model_copy(update={"evaluate": section})


def test_rows_stand_in_the_order_that_reason_demands(workspace: Workspace) -> None:
    report = run(workspace)
    rows = json.loads((workspace.stage_dir("evaluate") / "rows.json").read_text())["rows"]
    mean = {row: {name: cell["mean"] for name, cell in cells.items()} for row, cells in rows.items()}
    assert report.num_items == NUM_PAIRS
    assert mean["ground_truth"]["ssim"] == pytest.approx(1.0)
    assert mean["ground_truth"]["colour_error_torso"] == 0.0
    assert rows["ground_truth"]["psnr"] == {
        "mean": None, "low": None, "high": None, "num_scored": 0, "num_skipped": NUM_PAIRS,
    }  # fmt: skip
    assert mean["ground_truth"]["ssim"] > mean["vae_reconstruction"]["ssim"] > mean["generated"]["ssim"]
    assert mean["generated"]["silhouette_iou"] > mean["wrong_pose"]["silhouette_iou"] + 0.2
    assert mean["generated"]["colour_error_torso"] < 0.5 * mean["wrong_source"]["colour_error_torso"]


def test_ground_truth_silhouettes_are_found(workspace: Workspace) -> None:
    run(workspace)
    metrics = json.loads((workspace.metrics_dir / "evaluate.json").read_text())
    assert metrics["ground_truth.silhouette_iou"] >= 0.9


def test_metrics_file_is_flat_and_holds_gaps(workspace: Workspace) -> None:
    run(workspace)
    metrics = json.loads((workspace.metrics_dir / "evaluate.json").read_text())
    assert all(isinstance(value, int | float) for value in metrics.values())
    assert {"ssim", "ssim_256", "ssim_51", "psnr", "gap.silhouette_iou.wrong_pose"} <= set(metrics)
    assert metrics["ratio.colour_error_torso.wrong_source"] == pytest.approx(
        metrics["colour_error_torso"] / metrics["wrong_source.colour_error_torso"], abs=1e-4
    )


def test_table_by_pair_has_every_row_and_score(workspace: Workspace) -> None:
    run(workspace)
    table = pyarrow.parquet.read_table(workspace.stage_dir("evaluate") / "per_pair.parquet").to_pydict()
    assert len(table["row"]) == 5 * NUM_PAIRS
    assert set(table["row"]) == {
        "generated",
        "ground_truth",
        "vae_reconstruction",
        "wrong_source",
        "wrong_pose",
    }
    assert {"id", "source", "target", "category", "source_view", "target_view", "ssim"} <= set(table)
    generated = [value for row, value in zip(table["row"], table["ssim"], strict=True) if row == "generated"]
    metrics = json.loads((workspace.metrics_dir / "evaluate.json").read_text())
    assert np.mean(generated) == pytest.approx(metrics["ssim"], abs=1e-6)


def test_absent_metrics_are_listed_with_reasons(workspace: Workspace) -> None:
    run(workspace)
    absent = json.loads((workspace.stage_dir("evaluate") / "rows.json").read_text())["absent"]
    assert "pytorch-fid" in absent["fid"]


def test_scores_are_broken_down_by_garment_and_turn(workspace: Workspace) -> None:
    run(workspace)
    found = json.loads((workspace.stage_dir("evaluate") / "rows.json").read_text())
    for kind in ("category", "view_pair"):
        assert sum(group["num_pairs"] for group in found["groups"][kind].values()) == NUM_PAIRS
    assert all(" → " in name for name in found["groups"]["view_pair"])
    (means, counts) = zip(
        *(
            (group["metrics"]["ssim"]["mean"], group["num_pairs"])
            for group in found["groups"]["category"].values()
        ),
        strict=True,
    )
    assert np.average(means, weights=counts) == pytest.approx(
        found["rows"]["generated"]["ssim"]["mean"], abs=1e-5
    )
    request = FolderRequest(folder=workspace.stage_dir("generate"), partial=True)
    report = score_folder(request, PARAMS, workspace=workspace, mapper=SerialMapper())
    assert json.loads((report.output / "rows.json").read_text())["groups"] == found["groups"]


def test_running_again_reuses_scores_and_gives_the_same_bytes(workspace: Workspace) -> None:
    run(workspace)
    first = outputs(workspace)
    assert run(workspace).num_reused == 1
    assert outputs(workspace) == first
    assert read_manifest(workspace.stage_dir("evaluate")).num_items == NUM_PAIRS


def test_a_changed_image_is_scored_anew(workspace: Workspace) -> None:
    run(workspace)
    first = outputs(workspace)
    grey = np.full((HEIGHT_PX, WIDTH_PX, 3), 128, np.uint8)
    write_bytes(workspace.stage_dir("generate") / "generated" / "000000.png", data=encode_png(grey))
    assert run(workspace).num_reused == 0
    assert outputs(workspace)["metrics"] != first["metrics"]


def test_a_flat_generated_image_gives_no_nan(workspace: Workspace) -> None:
    grey = np.full((HEIGHT_PX, WIDTH_PX, 3), 128, np.uint8)
    write_bytes(workspace.stage_dir("generate") / "generated" / "000000.png", data=encode_png(grey))
    run(workspace)
    rows = json.loads((workspace.stage_dir("evaluate") / "rows.json").read_text())["rows"]
    assert rows["generated"]["ssim_256"]["num_skipped"] == 1


@pytest.mark.parametrize("point", ["part_written", "rows_written", "manifest_written"])
def test_a_kill_anywhere_and_a_repeat_give_the_same_bytes(workspace: Workspace, point: str) -> None:
    code = (
        "from pathlib import Path; from mcld.workspace import Workspace; from mcld.stages import evaluate;"
        "from mcld.stages.mapper import SerialMapper; from tests.stages.fake_run import PARAMS;"
        f"evaluate.run(PARAMS, workspace=Workspace(root=Path({str(workspace.root)!r})), "
        "mapper=SerialMapper())"
    )
    environment = {**os.environ, "MCLD_FAULT": f"evaluate:{point}:1"}
    repository_dir = Path(__file__).parents[2]
    killed = subprocess.run([sys.executable, "-c", code], env=environment, cwd=repository_dir, check=False)
    assert killed.returncode == -signal.SIGKILL
    run(workspace)
    resumed = outputs(workspace)
    shutil.rmtree(workspace.stage_dir("evaluate"))
    run(workspace)
    assert outputs(workspace) == resumed


def test_the_same_images_given_as_a_folder_score_the_same(workspace: Workspace) -> None:
    run(workspace)
    request = FolderRequest(folder=workspace.stage_dir("generate"), partial=True)
    report = score_folder(request, PARAMS, workspace=workspace, mapper=SerialMapper())
    own = json.loads((workspace.stage_dir("evaluate") / "rows.json").read_text())["rows"]["generated"]
    assert json.loads((report.output / "rows.json").read_text())["rows"]["generate-generated"] == own
    assert run(workspace).num_reused == 1
    assert (report.output / "rows.json").exists()  # the stage leaves rows of folders alone


@pytest.fixture(scope="module")
def squeezenet_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "squeezenet.pth"
    return write_published(path, state=recipe_weights(squeezenet.published_state()))


def with_squeezenet(path: Path) -> Params:
    expected = {path.name: sha256_of_file(path)} if path.is_file() else {}
    section = EvaluateParams(require=("lpips_squeeze",), squeezenet_path=str(path), expected_sha256=expected)
    return PARAMS.model_copy(update={"evaluate": section})


def test_a_metric_whose_weights_are_there_is_computed_for_every_row(
    workspace: Workspace, squeezenet_path: Path
) -> None:
    params = with_squeezenet(squeezenet_path)
    run(workspace, params)
    found = json.loads((workspace.stage_dir("evaluate") / "rows.json").read_text())
    mean = {row: cells["lpips_squeeze"]["mean"] for row, cells in found["rows"].items()}
    assert mean["ground_truth"] == 0.0 < mean["vae_reconstruction"] < mean["generated"] < mean["wrong_source"]
    assert "lpips_squeeze" not in found["absent"]
    metrics = json.loads((workspace.metrics_dir / "evaluate.json").read_text())
    assert metrics["lpips_squeeze"] == mean["generated"]
    table = pyarrow.parquet.read_table(workspace.stage_dir("evaluate") / "per_pair.parquet")
    assert np.mean(table["lpips_squeeze"].to_pylist()[:NUM_PAIRS]) == pytest.approx(
        mean["generated"], abs=1e-6
    )
    first = outputs(workspace)
    run(workspace, params)
    assert outputs(workspace) == first


def test_a_folder_is_scored_by_the_same_networks(workspace: Workspace, squeezenet_path: Path) -> None:
    params = with_squeezenet(squeezenet_path)
    run(workspace, params)
    own = json.loads((workspace.stage_dir("evaluate") / "rows.json").read_text())["rows"]["generated"]
    request = FolderRequest(folder=workspace.stage_dir("generate"), partial=True)
    report = score_folder(request, params, workspace=workspace, mapper=SerialMapper())
    found = json.loads((report.output / "rows.json").read_text())
    assert found["rows"]["generate-generated"]["lpips_squeeze"] == own["lpips_squeeze"]


def test_weights_that_are_not_what_they_should_be_are_refused_before_any_work(
    workspace: Workspace, squeezenet_path: Path
) -> None:
    damaged = workspace.root / "squeezenet.pth"
    state = torch.load(squeezenet_path, weights_only=True)
    torch.save({name: value for name, value in state.items() if name != "features.0.bias"}, damaged)
    with pytest.raises(WeightsError, match=r"squeezenet.pth.*features.0.bias"):
        run(workspace, with_squeezenet(damaged))
    assert not workspace.stage_dir("evaluate").exists()


@pytest.mark.parametrize("damage", ["flipped", "cut", "pickle"])
def test_a_file_with_another_hash_is_refused_before_any_work_and_nothing_in_it_is_executed(
    damage: str, workspace: Workspace, squeezenet_path: Path
) -> None:
    data = bytearray(squeezenet_path.read_bytes())
    data[len(data) // 2] ^= 1
    contents = {
        "flipped": bytes(data),
        "cut": bytes(data[: len(data) // 2]),
        "pickle": b"cos\nsystem\n(S'touch executed'\ntR.",
    }
    damaged = workspace.root / squeezenet_path.name
    damaged.write_bytes(contents[damage])
    section = with_squeezenet(squeezenet_path).evaluate.model_copy(update={"squeezenet_path": str(damaged)})
    with pytest.raises(WeightsError, match=r"squeezenet\.pth: sha256 is .{64}, expected .{64} by evaluate"):
        run(workspace, PARAMS.model_copy(update={"evaluate": section}))
    assert not workspace.stage_dir("evaluate").exists()
    assert not Path("executed").exists()


def test_a_face_model_with_another_hash_is_an_error_and_one_that_is_not_there_an_absence(
    workspace: Workspace,
) -> None:
    face = FaceParams(recogniser="insightface", models_dir="bases")
    reason = evaluation_networks(PARAMS.model_copy(update={"face": face}), workspace=workspace)[1]["face"]
    assert f"{workspace.root / 'bases/models/antelopev2'} is not there" in reason
    write_pack(workspace.root / "bases" / "models" / "antelopev2")
    face = face.model_copy(update={"expected_sha256": {RECOGNISER_NAME: "0" * 64}})
    with pytest.raises(WeightsError, match=rf"{RECOGNISER_NAME}: sha256 is .*, expected 0000"):
        run(workspace, PARAMS.model_copy(update={"face": face}))
    assert not workspace.stage_dir("evaluate").exists()


def test_pairs_without_a_value_are_counted_with_the_reason(workspace: Workspace) -> None:
    write_opencv(workspace.root)
    face = FaceParams(
        recogniser="opencv", detector_path=YUNET_NAME, recogniser_path=SFACE_NAME, dim=128, det_size_px=320
    )
    grey = np.full((HEIGHT_PX, WIDTH_PX, 3), 128, np.uint8)
    write_bytes(workspace.stage_dir("generate") / "generated" / "000000.png", data=encode_png(grey))
    params = PARAMS.model_copy(update={"face": face})
    run(workspace, params)
    found = json.loads((workspace.stage_dir("evaluate") / "rows.json").read_text())
    assert found["rows"]["generated"]["face_cosine_target"]["num_skipped"] == NUM_PAIRS
    assert found["skipped"]["face_cosine_target"] == {
        "count": NUM_PAIRS,
        "reason": f"no face found in the picture: {NUM_PAIRS}",
    }
    assert found["skipped"]["ssim_256"] == {"count": 1, "reason": "the picture is of one flat value"}
    assert "ssim" not in found["skipped"]
    (note,) = found["notes"]
    assert f"detector {YUNET_NAME} (" in note
    assert "SFace is not the ArcFace that papers use" in note
    request = FolderRequest(folder=workspace.stage_dir("generate"), partial=True)
    report = score_folder(request, params, workspace=workspace, mapper=SerialMapper())
    folder = json.loads((report.output / "rows.json").read_text())
    assert (folder["skipped"], folder["notes"]) == (found["skipped"], found["notes"])


def test_a_file_that_is_not_there_makes_its_metric_absent_and_requiring_it_an_error(
    workspace: Workspace,
) -> None:
    section = EvaluateParams(inception_tf_path="bases/nothing.pth")
    run(workspace, PARAMS.model_copy(update={"evaluate": section}))
    absent = json.loads((workspace.stage_dir("evaluate") / "rows.json").read_text())["absent"]
    assert "bases/nothing.pth is not there" in absent["kid"]
    assert "evaluate.squeezenet_path" in absent["lpips_squeeze"]
    assert "face.recogniser" in absent["face_cosine_target"]
    with pytest.raises(WeightsError, match=r"'lpips_squeeze' is absent: .*nothing.pth is not there"):
        run(workspace, with_squeezenet(Path("nothing.pth")))


def test_without_training_images_protocol_as_fid_is_absent_with_their_number(workspace: Workspace) -> None:
    images = read_index(workspace.stage_dir("dataset")).images
    train = [image for image in images if image.split == "train"]
    assert lacking_with(images, lacking={}) == {}
    tested = [image for image in images if image.split == "test"]
    reason = lacking_with([*tested, train[0]], lacking={})["inception"]
    assert reason == "compares with the training images, at least 2; the index has 1"


def test_one_pair_is_refused(workspace: Workspace) -> None:
    path = workspace.stage_dir("generate") / "pairs.json"
    write_json(path, value=json.loads(path.read_text())[:1])
    with pytest.raises(DataError, match="lists 1 pairs, evaluation needs at least 2"):
        run(workspace)


def test_a_missing_image_is_refused_by_name(workspace: Workspace) -> None:
    (workspace.stage_dir("generate") / "wrong_pose" / "000002.png").unlink()
    with pytest.raises(
        DataError, match=r"1 of 24 images are missing \(wrong_pose/000002.png\); run `mcld run generate`"
    ):
        run(workspace)


def test_an_image_of_the_wrong_size_is_refused_with_both_sizes(workspace: Workspace) -> None:
    path = workspace.stage_dir("generate") / "generated" / "000003.png"
    image = cv2.imread(str(path))
    assert image is not None
    write_bytes(path, data=encode_png(image[:-2]))
    with pytest.raises(DataError, match=f"000003.png: 96 x 126 px, expected {WIDTH_PX} x {HEIGHT_PX}"):
        run(workspace)
    assert not (workspace.stage_dir("evaluate") / "manifest.json").exists()


def test_a_pair_of_unknown_images_is_refused(workspace: Workspace) -> None:
    path = workspace.stage_dir("generate") / "pairs.json"
    pairs = json.loads(path.read_text())
    pairs[0]["target"] = "nobody/1_front"
    write_json(path, value=pairs)
    with pytest.raises(DataError, match=r"1 images that the index lacks \(nobody/1_front\)"):
        run(workspace)


def test_an_unfinished_generate_stage_is_named(workspace: Workspace) -> None:
    (workspace.stage_dir("generate") / "manifest.json").unlink()
    with pytest.raises(DataError, match="stage 'generate' has not finished"):
        run(workspace)


def test_required_metrics_are_checked_before_any_work(workspace: Workspace) -> None:
    with pytest.raises(WeightsError, match="kid"):
        run(workspace, requiring("kid"))
    with pytest.raises(ConfigError, match="did you mean 'psnr'"):
        run(workspace, requiring("psrn"))
    assert not workspace.stage_dir("evaluate").exists()
