"""The probe stage on real people and the shipped VAE: numbers, pictures, and what makes it work again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mcld.config import DatasetParams, LatentsParams, Params, ProbeParams, WeightsParams
from mcld.data.codec import decode_image
from mcld.data.index import read_index
from mcld.data.manifest import read_manifest, write_manifest
from mcld.errors import DataError
from mcld.evaluation.probe_figure import PROBE_ROWS
from mcld.stages import dataset, densepose, probe, weights
from mcld.stages.mapper import SerialMapper
from mcld.stages.probe import score_rows
from mcld.types import Manifest, Report
from mcld.workspace import Workspace
from tests.workspaces import CHECKOUT

HEIGHT_PX, WIDTH_PX = 64, 48
PARAMS = Params(
    dataset=DatasetParams(num_outfits=6, num_test_outfits=4, height_px=128, width_px=96, damaged_items=False),
    weights=WeightsParams(preset="tiny"),
    latents=LatentsParams(height_px=HEIGHT_PX, width_px=WIDTH_PX),
    probe=ProbeParams(num_images=2),
)


@pytest.fixture(scope="module")
def probed_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = Workspace(root=tmp_path_factory.mktemp("probe") / "probed")
    for stage in (dataset, densepose, weights):
        stage.run(PARAMS, workspace=workspace, mapper=SerialMapper())
    # Its settings are all that the probe depends on; what it makes of images is never read.
    latents = Manifest(stage="latents", format_version=1, settings={}, parts=())
    write_manifest(workspace.stage_dir("latents"), manifest=latents)
    run(workspace)
    return workspace.root


@pytest.fixture
def workspace(probed_dir: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(probed_dir, tmp_path / "run")
    return Workspace(root=tmp_path / "run")


def run(workspace: Workspace, **settings: float) -> Report:
    params = PARAMS.model_copy(update={"probe": PARAMS.probe.model_copy(update=settings)})
    return probe.run(params, workspace=workspace, mapper=SerialMapper())


def metrics(workspace: Workspace) -> dict[str, float]:
    value = json.loads((workspace.metrics_dir / "probe.json").read_text())
    assert isinstance(value, dict)
    return value


def outputs(workspace: Workspace) -> dict[str, bytes]:
    out_dir = workspace.stage_dir("probe")
    files = {
        str(path.relative_to(out_dir)): path.read_bytes() for path in out_dir.rglob("*") if path.is_file()
    }
    return files | {"metrics": (workspace.metrics_dir / "probe.json").read_bytes()}


def test_numbers_stand_in_the_order_that_reason_demands(workspace: Workspace) -> None:
    flat = metrics(workspace)
    assert flat["num_images"] == 2
    assert flat["deviation"] == 0.2
    assert flat["original.ssim"] == pytest.approx(1.0)
    assert flat["original.face_ssim"] == pytest.approx(1.0)
    assert "original.psnr" not in flat  # infinite
    for name in ("psnr", "ssim", "face_psnr", "face_ssim"):
        assert flat[f"deviated.{name}"] < flat[f"reconstruction.{name}"], name
    assert 20 < flat["reconstruction.psnr"] < 60


def test_the_figure_and_every_picture_are_there_at_the_models_size(workspace: Workspace) -> None:
    out_dir = workspace.stage_dir("probe")
    names = {row: sorted(path.name for path in (out_dir / row).iterdir()) for row in PROBE_ROWS}
    assert len({tuple(found) for found in names.values()}) == 1
    assert len(names["original"]) == 2
    shapes = {decode_image(path.read_bytes()).shape for path in out_dir.glob("*/*.png")}
    assert shapes == {(HEIGHT_PX, WIDTH_PX, 3)}
    figure = decode_image((out_dir / "figure.png").read_bytes())
    assert figure.shape[0] > 2 * 360
    assert list(read_manifest(out_dir).files) == ["figure.png"]


def test_test_people_alone_are_probed_from_the_front(workspace: Workspace) -> None:
    images = {image.key: image for image in read_index(workspace.stage_dir("dataset")).images}
    paths = sorted(workspace.stage_dir("probe").glob("part-*.scores.json"))
    chosen = [images[json.loads(path.read_text())["key"]] for path in paths]
    assert [(image.split, image.view.rpartition("_")[2]) for image in chosen] == [("test", "front")] * 2


def test_repeating_does_nothing_and_gives_the_same_bytes(workspace: Workspace) -> None:
    before = outputs(workspace)
    assert run(workspace).num_reused == 2
    assert outputs(workspace) == before
    shutil.rmtree(workspace.stage_dir("probe"))
    assert run(workspace).num_reused == 0
    assert outputs(workspace) == before


def test_a_changed_setting_is_done_anew_and_more_images_are_added(workspace: Workspace) -> None:
    assert run(workspace, num_images=3).num_reused == 2
    assert metrics(workspace)["num_images"] == 3
    assert run(workspace, num_images=1).num_reused == 1
    assert len(list((workspace.stage_dir("probe") / "deviated").iterdir())) == 1
    assert run(workspace, deviation=0.5).num_reused == 0
    assert run(workspace, deviation=0.5, seed=1).num_reused == 0


def test_without_deviation_the_pictures_are_the_reconstructions(workspace: Workspace) -> None:
    run(workspace, deviation=0.0)
    flat = metrics(workspace)
    of_row = {
        row: {name.partition(".")[2]: value for name, value in flat.items() if name.startswith(f"{row}.")}
        for row in ("reconstruction", "deviated")
    }
    assert of_row["deviated"] == of_row["reconstruction"]
    out_dir = workspace.stage_dir("probe")
    for path in (out_dir / "deviated").iterdir():
        assert path.read_bytes() == (out_dir / "reconstruction" / path.name).read_bytes()


def test_a_killed_run_repeated_ends_in_the_same_bytes(workspace: Workspace) -> None:
    before = outputs(workspace)
    shutil.rmtree(workspace.stage_dir("probe"))
    code = (
        "from pathlib import Path; from mcld.stages import probe; from mcld.workspace import Workspace; "
        "from mcld.stages.mapper import SerialMapper; from tests.stages.test_probe import PARAMS; "
        f"probe.run(PARAMS, workspace=Workspace(root=Path({str(workspace.root)!r})), mapper=SerialMapper())"
    )
    environment = {**os.environ, "MCLD_FAULT": "probe:part_written:2"}
    killed = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert run(workspace).num_reused == 1
    assert outputs(workspace) == before


def test_a_damaged_picture_is_made_again(workspace: Workspace) -> None:
    before = outputs(workspace)
    path = next((workspace.stage_dir("probe") / "deviated").iterdir())
    path.write_bytes(b"")
    assert run(workspace).num_reused == 1
    assert outputs(workspace) == before


def test_equal_pictures_score_perfectly_and_their_psnr_is_not_a_number_to_average() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (HEIGHT_PX, WIDTH_PX, 3), dtype=np.uint8)
    iuv = np.zeros_like(picture)
    iuv[10:30, 10:30, 0] = 23
    iuv[30:60, 10:30, 0] = 2
    scores = score_rows({"original": picture, "reconstruction": picture.copy()}, iuv=iuv)
    assert scores["reconstruction"] == scores["original"]
    assert scores["original"]["ssim"] == pytest.approx(1.0)
    assert scores["original"]["face_ssim"] == pytest.approx(1.0)
    assert scores["original"]["psnr"] is scores["original"]["face_psnr"] is None
    assert scores["original"]["colour_error_torso"] == 0.0


def test_nobody_to_probe_is_an_error_that_says_why(workspace: Workspace) -> None:
    column_dir = workspace.stage_dir("densepose")
    params = PARAMS.model_copy(
        update={"densepose": PARAMS.densepose.model_copy(update={"min_person_fraction": 1.0})}
    )
    params = params.model_copy(
        update={"densepose": params.densepose.model_copy(update={"max_excluded_fraction": 1.0})}
    )
    densepose.run(params, workspace=workspace, mapper=SerialMapper())
    assert column_dir.is_dir()
    with pytest.raises(DataError, match=r"no test image of view 'front' can be probed \(4 x no person"):
        run(workspace)


def test_latents_that_are_not_made_yet_are_named(workspace: Workspace) -> None:
    (workspace.stage_dir("latents") / "manifest.json").unlink()
    with pytest.raises(DataError, match="stage 'latents' has not finished"):
        run(workspace)
