"""Kill every data stage at every passing of every point, repeat it, compare with an undisturbed run.

`python -m tests.stages.kill_sweep FOLDER`, or `FOLDER zip` for the dataset stage from an encrypted zip,
prints one JSON object: kills by stage, and what differed. It is a program of its own so that it can fork: in
a process without threads a fork is a clean copy, with all imports paid for. The stage `face` is swept twice:
with vectors that are given, and with models, tiny ones, that recognise faces.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterable
from importlib import import_module
from itertools import count
from pathlib import Path

from mcld.config import FaceParams, Params
from mcld.errors import MCLDError
from mcld.stages.dataset_parts import PASSWORD_VARIABLE
from mcld.workspace import Workspace
from tests.data.zip_writer import PASSWORD
from tests.face_pack import write_pack
from tests.stages.deepfashion_folder import params_for, write_copy
from tests.stages.tiny_pipeline import DATA_STAGES, PARAMS, run_data_stage

PART_POINTS = ("part_started", "part_written", "record_written")
COLUMN_POINTS = (*PART_POINTS, "manifest_written")
DATASET_POINTS = (*PART_POINTS, "index_written", "manifest_written")
POINTS = {
    "dataset": DATASET_POINTS,
    "shards": (*PART_POINTS, "samples_written", "manifest_written"),
}
# What the stages import when run; imported here once instead of in each of a hundred children.
IMPORTED_WHEN_RUN = (
    "mcld.conditions.texture", "mcld.data.mannequins", "mcld.stages.dataset", "mcld.stages.densepose",
    "mcld.stages.face", "mcld.stages.face_recogniser", "mcld.conditions.face.insightface_recogniser",
    "mcld.stages.shards", "mcld.stages.texture", "pyarrow.parquet", "torch",
)  # fmt: skip
SWEEP_PARAMS = PARAMS.model_copy(
    update={
        "dataset": PARAMS.dataset.model_copy(
            update={"num_outfits": 2, "num_test_outfits": 1, "outfits_per_part": 1}
        ),
        "shards": PARAMS.shards.model_copy(update={"min_shards": 1, "shard_bytes": 10**9}),
    }
)
MODELS_DIR = "bases"
FACE = FaceParams(recogniser="insightface", models_dir=MODELS_DIR, det_size_px=64, max_excluded_fraction=1.0)


def main(folder: Path, *, from_zip: bool) -> None:
    """Sweep, and print the summary."""
    for module in IMPORTED_WHEN_RUN:
        import_module(module)
    workspace = Workspace(root=folder)
    results = {"dataset": sweep_zip(workspace)} if from_zip else sweep_stages(workspace)
    summary = {
        "num_kills": {stage: num_kills for stage, (num_kills, _) in results.items()},
        "differences": [fault for _, differences in results.values() for fault in differences],
    }
    sys.stdout.write(json.dumps(summary) + "\n")


def sweep_stages(workspace: Workspace) -> dict[str, tuple[int, list[str]]]:
    """Stage by stage; each sweep starts from the undisturbed outputs of the stages before."""
    results = {
        stage: sweep(stage, workspace=workspace, params=SWEEP_PARAMS, points=POINTS.get(stage, COLUMN_POINTS))
        for stage in DATA_STAGES
    }
    write_pack(workspace.root / MODELS_DIR / "models" / FACE.pack)
    recognising = SWEEP_PARAMS.model_copy(update={"face": FACE})
    face = sweep("face", workspace=workspace, params=recognising, points=COLUMN_POINTS)
    return {**results, "face, recognised": face}


def sweep_zip(workspace: Workspace) -> tuple[int, list[str]]:
    """The dataset stage, reading rendered people out of a zip into a workspace of its own."""
    assert run_in_child("dataset", workspace=workspace, params=SWEEP_PARAMS) == 0
    root_dir = workspace.root / "fashion"
    write_copy(root_dir, people=workspace, as_zip=True)
    os.environ[PASSWORD_VARIABLE] = PASSWORD
    return sweep(
        "dataset",
        workspace=Workspace(root=workspace.root / "zipped"),
        params=params_for(root_dir, pairs="all-views", outfits_per_part=1),
        points=("images_written", *DATASET_POINTS),
    )


def sweep(
    stage: str, *, workspace: Workspace, params: Params, points: Iterable[str]
) -> tuple[int, list[str]]:
    """Kills of one stage, and those after which the repeated run ended in other bytes."""
    directory = workspace.stage_dir(stage)
    assert run_in_child(stage, workspace=workspace, params=params) == 0
    expected = contents(directory)
    num_kills, differences = 0, []
    for point in points:
        for number in count(1):
            shutil.rmtree(directory)
            fault = f"{stage}:{point}:{number}"
            code = run_in_child(stage, workspace=workspace, params=params, fault=fault)
            if code == 0:
                break  # the point is not passed that often
            assert code == -signal.SIGKILL, (fault, code)
            num_kills += 1
            assert run_in_child(stage, workspace=workspace, params=params) == 0, fault
            if contents(directory) != expected:
                differences.append(fault)
    return num_kills, differences


def run_in_child(stage: str, *, workspace: Workspace, params: Params, fault: str | None = None) -> int:
    """Exit code of a stage run in a forked copy of this process; negative for a signal."""
    child = os.fork()
    if child == 0:
        if fault:
            os.environ["MCLD_FAULT"] = fault
        exit_code = 1
        try:
            run_data_stage(stage, workspace=workspace, params=params)
            exit_code = 0
        except MCLDError as error:
            sys.stderr.write(f"{stage}: {error}\n")
        finally:
            os._exit(exit_code)  # not `return`: the parent's loop must not go on in the child
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def contents(directory: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones included."""
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


if __name__ == "__main__":
    main(Path(sys.argv[1]), from_zip=sys.argv[2:] == ["zip"])
