"""The stage and a folder with every network there is: files of random weights in the published layouts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from mcld.cli.evaluate import describe_folder
from mcld.config import EvaluateParams, Params
from mcld.evaluation.metrics import METRICS
from mcld.evaluation.protocols import ROWS
from mcld.evaluation.run_scores import read_run_scores
from mcld.stages import evaluate
from mcld.stages.folder_scores import FolderRequest, score_folder
from mcld.stages.mapper import SerialMapper
from mcld.types import Report
from mcld.workspace import Workspace
from tests.face_pack import write_pack
from tests.stages.fake_run import PARAMS, make_run

NUM_PAIRS = 2
SETS = {metric.name for metric in METRICS if metric.is_of_set}


@pytest.fixture(scope="module")
def params(metric_files: EvaluateParams, tmp_path_factory: pytest.TempPathFactory) -> Params:
    bases = tmp_path_factory.mktemp("bases")
    write_pack(bases / "models" / "antelopev2")
    face = PARAMS.face.model_copy(update={"recogniser": "insightface", "models_dir": str(bases)})
    section = metric_files.model_copy(update={"require": tuple(metric.name for metric in METRICS)})
    return PARAMS.model_copy(update={"evaluate": section, "face": face})


@pytest.fixture(scope="module")
def workspace(params: Params, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Scored with all of them."""
    torch.set_num_threads(1)
    found = make_run(tmp_path_factory.mktemp("all") / "run", params=params, num_pairs=NUM_PAIRS)
    evaluate.run(params, workspace=found, mapper=SerialMapper())
    return found


@pytest.fixture(scope="module")
def folder(workspace: Workspace, params: Params) -> Report:
    """The same images, given as a folder."""
    request = FolderRequest(folder=workspace.stage_dir("generate"), partial=True)
    return score_folder(request, params, workspace=workspace, mapper=SerialMapper())


def rows_of(directory: Path) -> Any:
    return json.loads((directory / "rows.json").read_text())


def test_no_metric_is_absent_and_sets_have_a_number_for_every_row(workspace: Workspace) -> None:
    found = rows_of(workspace.stage_dir("evaluate"))
    assert found["absent"] == {}
    assert set(found["rows"]["generated"]) | SETS == {metric.name for metric in METRICS}
    for row in ROWS:
        assert set(found["sets"][row]) == SETS
        assert all(cell["num_images"] == NUM_PAIRS for cell in found["sets"][row].values())
    for name in ("fid", "clean_fid"):
        assert found["sets"]["ground_truth"][name]["value"] == pytest.approx(0.0, abs=1e-3)
        assert found["sets"]["generated"][name]["value"] > found["sets"]["vae_reconstruction"][name]["value"]
    assert found["sets"]["ground_truth"]["fid_a"]["value"] > 1e-3  # the training images are others
    assert found["sets"]["generated"]["kid"]["std"] == 0.0
    notes = [note.partition(":")[0] for note in found["notes"]]
    assert notes == [f"FIDs of {NUM_PAIRS} images", "kid", "face_cosine_*"]


def test_numbers_of_sets_go_where_dvc_and_mlflow_find_them(workspace: Workspace) -> None:
    found = rows_of(workspace.stage_dir("evaluate"))
    flat = json.loads((workspace.metrics_dir / "evaluate.json").read_text())
    for name in SETS:
        assert flat[name] == found["sets"]["generated"][name]["value"]
        assert flat[f"vae_reconstruction.{name}"] == found["sets"]["vae_reconstruction"][name]["value"]
    scores = read_run_scores(found, per_pair=None, place="rows.json").scores
    assert scores["fid"].value == flat["fid"]
    assert scores["lpips_alex"].value == flat["lpips_alex"]


def test_a_folder_of_the_same_images_has_the_same_numbers(workspace: Workspace, folder: Report) -> None:
    own, found = rows_of(workspace.stage_dir("evaluate")), rows_of(folder.output)
    (name,) = found["rows"]
    for metric, cell in own["rows"]["generated"].items():
        assert found["rows"][name][metric] == pytest.approx(cell, abs=1e-5), metric
    for metric, cell in own["sets"]["generated"].items():
        assert found["sets"][name][metric]["value"] == pytest.approx(cell["value"], rel=1e-3), metric
    assert (found["absent"], found["notes"]) == (own["absent"], own["notes"])
    assert "clean_fid" in describe_folder(folder)


def test_repeating_loads_no_network_and_gives_the_same_bytes(
    workspace: Workspace, params: Params, folder: Report
) -> None:
    names = ("rows.json", "per_pair.parquet", "manifest.json")
    directory = workspace.stage_dir("evaluate")
    first = {name: (directory / name).read_bytes() for name in names}
    kept = {path: path.stat().st_mtime_ns for path in workspace.state_dir.rglob("*.npz")}
    evaluate.run(params, workspace=workspace, mapper=SerialMapper())
    assert {name: (directory / name).read_bytes() for name in names} == first
    assert {path: path.stat().st_mtime_ns for path in workspace.state_dir.rglob("*.npz")} == kept
    assert (folder.output / "rows.json").exists()
