"""DeepFashion in, report out, as the README says it: `mcld profile use`, the files in place, `dvc repro`.

What a user brings is stood in for: rendered people under DeepFashion's names in an encrypted zip, DensePose
with weights by the recorded recipe in a pickle like the published one, a tiny face pack, the tiny base. They
lie where the profile looks for them; only sizes and numbers of steps are set to what takes a minute.
"""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from mcld.conditions.densepose.weights import empty_network
from mcld.config import PARAMS_PATH, DatasetParams, Params, load_params
from mcld.data.codec import decode_image
from mcld.data.columns import Column
from mcld.data.index import read_index
from mcld.data.manifest import read_manifest
from mcld.parity.densepose_recipe import recipe_state
from mcld.stages import STAGES
from mcld.stages.dataset_parts import PASSWORD_VARIABLE
from mcld.stages.parts import part_name
from mcld.stages.weights import tiny_base_dir
from mcld.workspace import Workspace
from tests.data.zip_writer import PASSWORD
from tests.face_pack import write_pack
from tests.stages.deepfashion_folder import run, write_copy
from tests.workspaces import change_params, environment, make_checkout, run_python

PEOPLE = Params(
    # Narrow: DensePose sees every image at one size, but for those whose long side that makes too long.
    dataset=DatasetParams(num_outfits=3, num_test_outfits=2, height_px=256, width_px=32, damaged_items=False)
)
# A full-size run is the user's: the same road at sizes that two cores walk in a minute.
SMALL: dict[str, dict[str, object]] = {
    "dataset": {"outfits_per_part": 1, "max_excluded_fraction": 1.0},
    "densepose": {"max_excluded_fraction": 1.0, "precision": "bfloat16"},
    "face": {"expected_sha256": {}, "det_size_px": 64},  # the tiny pack is not the published one
    "texture": {"part_size_px": 16, "fill_margin_px": 2},
    "latents": {"height_px": 64, "width_px": 48, "texture_height_px": 64, "texture_width_px": 48},
    "shards": {"min_shards": 1},
    "model": {"projector_dim": 64, "projector_depth": 2, "projector_heads": 4, "projector_head_dim": 16},
    "train": {
        "steps": 2,
        "batch_size": 2,
        "precision": "float32",
        "sample_every_steps": 2,
        "num_sample_pairs": 1,
    },
    "generate": {"num_pairs": 2, "num_inference_steps": 2, "height_px": 64, "width_px": 48},
    "report": {"num_rows": 2},
    "runtime": {"num_workers": 1},
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clone with everything in its place and the profile in use."""
    checkout = make_checkout(tmp_path / "checkout")
    people = Workspace(root=tmp_path / "people")
    run("dataset", params=PEOPLE, workspace=people)
    write_copy(checkout / "data" / "deepfashion", people=people, as_zip=True)
    bases = checkout / "bases"
    with tiny_base_dir() as tiny:
        shutil.copytree(tiny, bases / "sd15")
    shapes = {name: tuple(value.shape) for name, value in empty_network().state_dict().items()}
    published = {"model": recipe_state(shapes, seed=14, uv_spread=0.3), "__author__": "a test"}
    (bases / "model_final_844d15.pkl").write_bytes(pickle.dumps(published, protocol=4))
    write_pack(bases / "insightface" / "models" / "antelopev2")
    used = run_python("-m", "mcld", "profile", "use", "deepfashion-512", cwd=checkout)
    assert used.returncode == 0, used.stderr
    change_params(checkout, changes=SMALL)
    return checkout


def repro(checkout: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    """What a user types, on one thread: sums are added in another order on another number of them."""
    return subprocess.run(
        ["dvc", "repro"],
        cwd=checkout,
        env=environment(**extra),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def contents(directory: Path) -> dict[str, bytes]:
    """Every file of a finished stage."""
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def contents_with_a_part_made_anew(workspace: Workspace, *, part: int) -> dict[str, bytes]:
    """The column of IUV maps after one part was made by a run that nobody disturbed."""
    for path in workspace.stage_dir("densepose").glob(f"*{part_name(part)}*"):
        path.unlink()
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        params = load_params(workspace.root / PARAMS_PATH)
        report = run("densepose", params=params, workspace=workspace)
    finally:
        torch.set_num_threads(num_threads)
    assert report.num_reused == len(read_manifest(report.output).parts) - 1
    return contents(workspace.stage_dir("densepose"))


@pytest.mark.long
def test_profile_files_and_dvc_repro_are_all_it_takes(checkout: Path) -> None:
    without = repro(checkout)
    assert without.returncode != 0
    assert PASSWORD_VARIABLE in without.stderr
    assert not (checkout / "artifacts" / "dataset" / "manifest.json").exists()

    password = {PASSWORD_VARIABLE: PASSWORD}
    killed = repro(checkout, MCLD_FAULT="densepose:part_written:2", **password)
    assert killed.returncode != 0
    assert "failed to reproduce 'densepose'" in killed.stderr
    done = repro(checkout, **password)
    assert done.returncode == 0, done.stderr[-4000:]
    workspace = Workspace(root=checkout)
    report = json.loads((checkout / ".mcld" / "reports" / "densepose.json").read_text())
    assert report["num_reused"] == 1  # of the killed run's two parts the one that had its record
    assert all((workspace.stage_dir(spec.name) / "manifest.json").is_file() for spec in STAGES)
    assert (workspace.stage_dir("report") / "index.html").is_file()
    images = {image.key: image for image in read_index(workspace.stage_dir("dataset")).images}
    shown = Column.open(workspace.stage_dir("densepose")).read_part(0)
    facts = {key: json.loads(item["facts.json"]) for key, item in shown.items()}
    assert facts
    assert all(fact["score"] > 0 and fact["person_fraction"] > 0 for fact in facts.values())
    assert "check" in read_manifest(workspace.stage_dir("dataset")).settings
    assert PASSWORD not in "".join(done.stdout + done.stderr)

    again = repro(checkout)
    assert again.returncode == 0, again.stderr
    assert "Data and pipelines are up to date" in again.stdout
    made = contents(workspace.stage_dir("densepose"))
    assert contents_with_a_part_made_anew(workspace, part=1) == made
    key = next(iter(facts))
    assert key in images
    picture = run_python("-m", "mcld", "conditions", "show", key, cwd=checkout)
    assert picture.returncode == 0, picture.stderr
    assert decode_image((checkout / "conditions.png").read_bytes()).any()
