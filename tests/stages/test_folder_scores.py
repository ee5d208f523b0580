"""A folder of anybody's images becomes a row, or is refused by a sentence that names what is wrong."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet
import pytest

from mcld.cli.evaluate import describe_folder, describe_table
from mcld.config import EvaluateParams, Params
from mcld.data.codec import decode_image, encode_png
from mcld.data.index import read_index
from mcld.errors import ConfigError, DataError, WeightsError
from mcld.evaluation import similarity
from mcld.evaluation.protocols import resize
from mcld.stages.columns import images_dir
from mcld.stages.folder_pairs import ordered_test_pairs
from mcld.stages.folder_scores import FolderRequest, folders_dir, score_folder
from mcld.stages.mapper import SerialMapper
from mcld.stages.scored_rows import scored_rows
from mcld.types import Report
from mcld.workspace import Workspace
from tests.stages.image_folders import HEIGHT_PX, PARAMS, WIDTH_PX, make_workspace, write_image_folder


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_workspace(tmp_path_factory.mktemp("folders") / "run")


@pytest.fixture
def theirs(workspace: Workspace, tmp_path: Path) -> Path:
    return write_image_folder(tmp_path / "theirs", workspace=workspace)


def score(
    folder: Path,
    *,
    workspace: Workspace,
    name: str | None = None,
    partial: bool = False,
    resizes: bool = False,
    params: Params = PARAMS,
) -> Report:
    request = FolderRequest(folder=folder, name=name, partial=partial, resizes=resizes)
    return score_folder(request, params, workspace=workspace, mapper=SerialMapper())


def row_of(report: Report) -> Any:
    return json.loads((report.output / "rows.json").read_text())


def files_of(report: Report) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in report.output.iterdir()}


def test_scores_are_those_of_each_image_against_its_own_target(workspace: Workspace, theirs: Path) -> None:
    report = score(theirs, workspace=workspace)
    index = read_index(workspace.stage_dir("dataset"))
    records = {image.key: image for image in index.images}
    pairs = ordered_test_pairs(index)
    table = pyarrow.parquet.read_table(report.output / "per_pair.parquet").to_pydict()
    assert list(zip(table["source"], table["target"], strict=True)) == [(p.source, p.target) for p in pairs]
    assert set(table["row"]) == {"theirs"}
    root_dir = images_dir(PARAMS.dataset, workspace=workspace)
    for target_key, psnr in zip(table["target"], table["psnr"], strict=True):
        target = decode_image((root_dir / records[target_key].path).read_bytes())
        target = resize(target, height_px=HEIGHT_PX, width_px=WIDTH_PX)
        blurred = cv2.GaussianBlur(target, (0, 0), 1.0)
        assert psnr == pytest.approx(similarity.psnr(blurred, target=target))
    row = row_of(report)
    assert row["rows"]["theirs"]["psnr"]["mean"] == pytest.approx(np.mean(table["psnr"]), abs=1e-6)
    assert row["rows"]["theirs"]["silhouette_iou"]["num_scored"] == len(pairs)
    assert (row["labels"], row["excluded"], row["convention"]) == ([], {}, "mcld")
    assert "pytorch-fid" in row["absent"]["fid"]


def test_repeating_scores_nothing_anew_and_gives_the_same_bytes(workspace: Workspace, theirs: Path) -> None:
    first = files_of(score(theirs, workspace=workspace))
    again = score(theirs, workspace=workspace)
    assert again.num_reused == 1
    assert files_of(again) == first


def test_a_changed_image_is_scored_anew(workspace: Workspace, theirs: Path) -> None:
    before = row_of(score(theirs, workspace=workspace))
    grey = np.full((HEIGHT_PX, WIDTH_PX, 3), 128, np.uint8)
    min(theirs.iterdir()).write_bytes(encode_png(grey))
    report = score(theirs, workspace=workspace)
    assert report.num_reused == 0
    assert row_of(report)["rows"] != before["rows"]


def test_jpegs_are_scored_and_labelled(workspace: Workspace, tmp_path: Path) -> None:
    folder = write_image_folder(
        tmp_path / "adgan", workspace=workspace, naming="{source}.jpg___{target}_vis.jpg"
    )
    report = score(folder, workspace=workspace)
    (label,) = row_of(report)["labels"]
    assert "images are JPEG where the protocols want PNG: JPEG moves FID" in label
    assert f"warning: {label}" in describe_folder(report)


def damage(theirs: Path) -> tuple[list[Path], int]:
    """One image gone, one cut short, one of another size, one with alpha; how many remain."""
    paths = sorted(theirs.iterdir())
    paths[0].unlink()
    paths[1].write_bytes(paths[1].read_bytes()[:300])
    image = cv2.imread(str(paths[2]))
    assert image is not None
    cv2.imwrite(str(paths[2]), image[:-4])
    cv2.imwrite(str(paths[3]), np.dstack([image, image[..., 0]]))
    return paths, len(paths) - 4


def test_unusable_and_missing_images_are_named_together(workspace: Workspace, theirs: Path) -> None:
    paths, num_left = damage(theirs)
    with pytest.raises(DataError) as error:
        score(theirs, workspace=workspace)
    message = str(error.value)
    assert f"4 of {len(paths)} test pairs have no usable image" in message
    assert f"truncated or damaged image: 1 ({paths[1].name})" in message
    assert (
        f"{WIDTH_PX} x {HEIGHT_PX - 4} px, expected {WIDTH_PX} x {HEIGHT_PX}: 1 ({paths[2].name})" in message
    )
    assert f"mode RGBA, expected 8-bit RGB: 1 ({paths[3].name})" in message
    assert "no image in the folder: 1 (WOMEN-" in message
    assert f"--partial to score the other {num_left}" in message


def test_a_partial_folder_is_scored_on_request_and_labelled(workspace: Workspace, theirs: Path) -> None:
    paths, num_left = damage(theirs)
    report = score(theirs, workspace=workspace, partial=True)
    row = row_of(report)
    assert report.num_items == num_left
    assert row["labels"] == [f"{num_left} of {len(paths)} test pairs"]
    assert sum(row["excluded"].values()) == 4
    assert len(json.loads((report.output / "exclusions.json").read_text())) == 4


def test_a_damaged_image_in_a_full_folder_is_refused_and_leaves_no_row(
    workspace: Workspace, theirs: Path
) -> None:
    score(theirs, workspace=workspace)
    min(theirs.iterdir()).write_bytes(b"")
    with pytest.raises(DataError, match="zero-byte file: 1"):
        score(theirs, workspace=workspace)
    assert "theirs" not in [row.name for row in scored_rows(PARAMS.dataset, workspace=workspace)]


def test_fewer_than_two_images_are_refused_even_when_partial(workspace: Workspace, theirs: Path) -> None:
    for path in sorted(theirs.iterdir())[1:]:
        path.unlink()
    with pytest.raises(DataError, match=r"1 of .* evaluation needs at least 2"):
        score(theirs, workspace=workspace, partial=True)


def test_the_ground_truth_itself_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    folder = write_image_folder(tmp_path / "copies", workspace=workspace, sigma=0)
    with pytest.raises(DataError, match="are their targets themselves"):
        score(folder, workspace=workspace)


def test_a_few_copies_are_told(
    workspace: Workspace, theirs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copies = write_image_folder(tmp_path / "copies", workspace=workspace, sigma=0)
    name = min(theirs.iterdir()).name
    (theirs / name).write_bytes((copies / name).read_bytes())
    with caplog.at_level(logging.WARNING):
        score(theirs, workspace=workspace)
    assert "1 images equal their targets" in caplog.text


def test_another_size_needs_to_be_asked_for(workspace: Workspace, theirs: Path) -> None:
    for path in theirs.iterdir():
        image = cv2.imread(str(path))
        assert image is not None
        cv2.imwrite(str(path), cv2.resize(image, (HEIGHT_PX, HEIGHT_PX)))
    with pytest.raises(DataError, match=r"set generate\.height_px .* or give --resize"):
        score(theirs, workspace=workspace)
    (label,) = row_of(score(theirs, workspace=workspace, resizes=True))["labels"]
    assert label.endswith("images resized")


def test_images_of_no_test_pair_are_counted(workspace: Workspace, theirs: Path) -> None:
    stranger = min(theirs.iterdir())
    (theirs / stranger.name.replace("id000000", "id990000")).write_bytes(stranger.read_bytes())
    row = row_of(score(theirs, workspace=workspace))
    assert row["excluded"] == {"no test pair of this workspace": 1}
    assert row["labels"] == []


def test_without_iuv_maps_scores_by_body_region_are_absent(
    workspace: Workspace, theirs: Path, tmp_path: Path
) -> None:
    bare = Workspace(root=tmp_path / "bare")
    shutil.copytree(workspace.stage_dir("dataset"), bare.stage_dir("dataset"))
    row = row_of(score(theirs, workspace=bare))
    assert row["rows"]["theirs"]["ssim"]["mean"] > 0
    assert "mcld run densepose" in row["absent"]["face_ssim"]
    assert "face_ssim" not in row["rows"]["theirs"]


def test_a_kill_and_a_repeat_give_the_same_bytes(workspace: Workspace, theirs: Path) -> None:
    code = (
        "from pathlib import Path; from mcld.workspace import Workspace;"
        "from mcld.stages.folder_scores import FolderRequest, score_folder;"
        "from mcld.stages.mapper import SerialMapper; from tests.stages.image_folders import PARAMS;"
        f"score_folder(FolderRequest(folder=Path({str(theirs)!r}), name='killed'), PARAMS, "
        f"workspace=Workspace(root=Path({str(workspace.root)!r})), mapper=SerialMapper())"
    )
    environment = {**os.environ, "MCLD_FAULT": "evaluate:folder_rows_written:1"}
    killed = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=Path(__file__).parents[2], check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert "killed" not in [row.name for row in scored_rows(PARAMS.dataset, workspace=workspace)]
    resumed = files_of(score(theirs, workspace=workspace, name="killed"))
    shutil.rmtree(folders_dir(workspace) / "killed")
    assert files_of(score(theirs, workspace=workspace, name="killed")) == resumed


def test_a_row_has_a_name_that_is_its_own(workspace: Workspace, theirs: Path, tmp_path: Path) -> None:
    assert score(theirs, workspace=workspace, name="PIDM_v2").output == folders_dir(workspace) / "PIDM_v2"
    sized = write_image_folder(tmp_path / "my model" / str(HEIGHT_PX), workspace=workspace)
    assert score(sized.parent, workspace=workspace).output.name == f"my-model-{HEIGHT_PX}"
    for name in ("generated", "../up", ""):
        with pytest.raises(ConfigError, match="cannot be the row's name"):
            score(theirs, workspace=workspace, name=name)


def test_a_required_metric_that_is_absent_is_an_error(workspace: Workspace, theirs: Path) -> None:
    params = PARAMS.model_copy(update={"evaluate": EvaluateParams(require=("fid_a",))})
    with pytest.raises(WeightsError, match="fid_a"):
        score(theirs, workspace=workspace, params=params)


def test_the_table_shows_the_folder_beside_printed_rows(workspace: Workspace, theirs: Path) -> None:
    score(theirs, workspace=workspace, name="shown")
    text = describe_table(PARAMS, workspace=workspace)
    assert "shown  " in text
    assert "MCLD *published*" in text


def test_damaged_rows_are_named(tmp_path: Path) -> None:
    path = folders_dir(Workspace(root=tmp_path)) / "x" / "rows.json"
    path.parent.mkdir(parents=True)
    (path.parent / "manifest.json").write_text("{}")
    path.write_text('{"rows": {"x": 3}, "num_pairs": 1}')
    with pytest.raises(DataError, match=r"x/rows\.json: not the rows of an evaluation"):
        scored_rows(PARAMS.dataset, workspace=Workspace(root=tmp_path))
