"""Four runs as the ablations leave them, logged through the real code; their pictures are blurred targets.

Nothing here is a result: what a model would have generated is the target, blurred more or less.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import cv2

from mcld.config import PARAMS_PATH, DatasetParams, GenerateParams, Params, RuntimeParams, TextureParams
from mcld.data.codec import decode_image, encode_png
from mcld.evaluation.protocols import read_pairs
from mcld.stages import evaluate
from mcld.stages.evaluation_record import found_evaluation, tell_files, tell_points
from mcld.stages.mapper import SerialMapper
from mcld.stages.remember import run_of_model, told_folder
from mcld.stages.run_tags import ABLATIONS, run_tags
from mcld.storage import write_bytes
from mcld.workspace import Workspace
from tests.stages.fake_run import make_run
from tests.stages.tiny_weights import params_with

# The blur of each, in pixels: B3 is worse than B1 beyond chance, full is better.
BLUR_PX: Mapping[str, float] = {"B1": 1.2, "B3": 2.0, "B5": 1.2, "full": 0.6}
NUM_PAIRS = 12
EXPERIMENT = "ablations"
STEPS = 400
PARAMS = Params(
    dataset=DatasetParams(num_outfits=9, num_test_outfits=8, height_px=64, width_px=48),
    texture=TextureParams(part_size_px=16, fill_margin_px=2),
    generate=GenerateParams(height_px=64, width_px=48),
)


def make_runs(root: Path, *, tracking_uri: str) -> dict[str, Workspace]:
    """A workspace and a run of MLflow for each ablation, `NAME-seed-0` in `root`."""
    prepared = make_run(root / "prepared", params=PARAMS, num_pairs=NUM_PAIRS)
    return {name: _make_run(name, prepared=prepared, tracking_uri=tracking_uri) for name in ABLATIONS}


def params_of(name: str, *, tracking_uri: str) -> Params:
    runtime = RuntimeParams(tracking_uri=tracking_uri, experiment=EXPERIMENT)
    params = PARAMS.model_copy(update={"runtime": runtime})
    return params_with(params, section="model", **ABLATIONS[name])


def _make_run(name: str, *, prepared: Workspace, tracking_uri: str) -> Workspace:
    workspace = Workspace(root=prepared.root.parent / f"{name}-seed-0")
    shutil.copytree(prepared.root, workspace.root)
    params = params_of(name, tracking_uri=tracking_uri)
    write_bytes(workspace.root / PARAMS_PATH, data=params.model_dump_json().encode())
    _blur(workspace, blur_px=BLUR_PX[name])
    evaluate.run(params, workspace=workspace, mapper=SerialMapper())
    _log(name, params=params, workspace=workspace)
    return workspace


def _blur(workspace: Workspace, *, blur_px: float) -> None:
    generate_dir = workspace.stage_dir("generate")
    for pair in read_pairs(generate_dir):
        path = generate_dir / "generated" / f"{pair.id}.png"
        sharper = decode_image((generate_dir / "vae_reconstruction" / path.name).read_bytes())
        write_bytes(path, data=encode_png(cv2.GaussianBlur(sharper, (0, 0), blur_px)))


def _log(name: str, *, params: Params, workspace: Workspace) -> None:
    identity = f"{name}-identity"
    told_dir = told_folder(workspace, identity=identity, step=STEPS)
    found = found_evaluation(params, workspace=workspace, told_dir=told_dir)
    model = workspace.root / "model"
    write_bytes(model / "config.json", data=b"{}")
    with run_of_model(params, workspace=workspace, identity=identity) as tracked:
        tracked.set_tags(run_tags(params, root=workspace.root) | {"mlflow.runName": f"{name} seed 0"})
        tracked.log_series(
            "train.loss", values=[(step, BLUR_PX[name] / step) for step in range(10, STEPS + 1, 10)]
        )
        tracked.log_folder(model, artifact_path="model")
        tell_points(tracked, found, step=STEPS)
        tell_files(tracked, found)
        tracked.finish()
        assert tracked.flush(120.0)
