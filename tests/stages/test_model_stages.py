"""The stages that hold models: killed anywhere they end in the same bytes, and keep their promises."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from PIL import Image

from mcld.config import Params
from mcld.data.codec import decode_image
from mcld.inference.test_pairs import TestPair
from mcld.models import load_config
from mcld.recipes import FIELDS
from mcld.stages import generate, run_stage
from mcld.stages.mapper import LocalMapper, Mapper, SerialMapper
from mcld.stages.parts import run_parts
from mcld.tracking import default_uri
from mcld.workspace import Workspace
from tests.stages.tiny_weights import MODEL_PARAMS, params_with

REPOSITORY_DIR = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.long


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    workspace: Workspace
    num_reused: dict[str, dict[str, int]]
    differences: list[str]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """All model stages on tiny untrained weights, killed at nineteen points and repeated."""
    folder = tmp_path_factory.mktemp("sweep")
    done = subprocess.run(
        [sys.executable, "-m", "tests.stages.model_kill_sweep", str(folder)],
        cwd=REPOSITORY_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    return Sweep(
        workspace=Workspace(root=folder), num_reused=found["num_reused"], differences=found["differences"]
    )


def test_a_killed_stage_run_again_ends_in_the_bytes_of_an_undisturbed_run(sweep: Sweep) -> None:
    num_kills = {stage: len(kills) for stage, kills in sweep.num_reused.items()}
    assert num_kills == {"weights": 3, "latents": 4, "shards": 0, "train": 8, "generate": 4}
    assert sweep.differences == []


def test_what_was_rendered_before_a_kill_is_reused_batch_by_batch(sweep: Sweep) -> None:
    assert sweep.num_reused["generate"] == {
        "part_started:1": 0, "part_written:2": 1, "record_written:2": 2, "manifest_written:1": 3
    }  # fmt: skip


def test_training_leaves_model_curve_and_sample_grids(sweep: Sweep) -> None:
    out_dir = sweep.workspace.stage_dir("train")
    assert (out_dir / "model" / "denoising_unet" / "diffusion_pytorch_model.safetensors").is_file()
    assert sorted(path.name for path in (out_dir / "samples").iterdir()) == [
        "step-000002.png",
        "step-000004.png",
    ]
    with (sweep.workspace.metrics_dir / "loss.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2", "3", "4"]
    assert all(float(row["loss"]) > 0 for row in rows)


def test_mlflow_remembers_one_run_with_losses_params_and_images(sweep: Sweep) -> None:
    client = MlflowClient(tracking_uri=default_uri(sweep.workspace.root))
    [journal] = (sweep.workspace.state_dir / "journal").iterdir()
    [receipt] = journal.glob("sent-*.json")
    run_id = json.loads(receipt.read_text())["run_id"]
    history = client.get_metric_history(run_id, "train.loss")
    assert sorted({point.step for point in history}) == [1, 2, 3, 4]
    run = client.get_run(run_id)
    assert run.data.params["train.steps"] == "4"
    assert run.data.tags["mcld.identity"] == journal.name
    assert client.list_artifacts(run_id, "model")
    assert client.list_artifacts(run_id, "images")


def test_every_pair_has_its_four_images_at_the_size_asked_for(sweep: Sweep) -> None:
    out_dir = sweep.workspace.stage_dir("generate")
    pairs = json.loads((out_dir / "pairs.json").read_text())
    assert len(pairs) == 5
    for pair in pairs:
        for row in ("generated", "wrong_source", "wrong_pose", "vae_reconstruction"):
            with Image.open(out_dir / row / f"{pair['id']}.png") as image:
                assert (image.mode, image.size) == ("RGB", (48, 64))


def pictures(workspace: Workspace) -> dict[str, bytes]:
    out_dir = workspace.stage_dir("generate")
    return {str(path.relative_to(out_dir)): path.read_bytes() for path in sorted(out_dir.rglob("*.png"))}


def rendered(
    workspace: Workspace, *, params: Params, pairs: generate.TestPairs, mapper: Mapper, out_dir: Path
) -> dict[str, bytes]:
    """All pictures of those pairs, in batches as large as `generate.batch_size` says."""
    run_parts(
        "generate",
        out_dir=out_dir,
        settings={},
        format_version=1,
        plans=generate.part_plans(pairs, batch_size=params.generate.batch_size),
        work=generate.GenerateWork(source=generate.renderer_source(params, workspace=workspace)),
        mapper=mapper,
    )
    return {str(path.relative_to(out_dir)): path.read_bytes() for path in sorted(out_dir.rglob("*.png"))}


def assert_alike(found: dict[str, bytes], expected: dict[str, bytes]) -> None:
    """Levels differ by one at most, and hardly anywhere."""
    assert found.keys() == expected.keys()
    for name, data in found.items():
        steps = np.abs(decode_image(data).astype(int) - decode_image(expected[name]).astype(int))
        assert steps.max() <= 1, name
        assert np.count_nonzero(steps) < 0.01 * steps.size, name


def test_neither_processes_nor_batches_nor_order_change_a_pair(sweep: Sweep, tmp_path: Path) -> None:
    params = params_with(MODEL_PARAMS, section="generate", num_pairs=0, batch_size=3)
    pairs = generate.chosen_pairs(params, workspace=sweep.workspace)
    assert len(pairs) == 8
    render = partial(rendered, sweep.workspace)
    expected = render(params=params, pairs=pairs, mapper=SerialMapper(), out_dir=tmp_path / "serial")
    assert len(expected) == 4 * len(pairs)
    two_gpus = LocalMapper(num_workers=2, device_ids=("0", "1"))
    assert render(params=params, pairs=pairs, mapper=two_gpus, out_dir=tmp_path / "several") == expected
    alone = params_with(params, section="generate", batch_size=1)
    found = render(params=alone, pairs=pairs, mapper=SerialMapper(), out_dir=tmp_path / "alone")
    assert_alike(found, expected)
    backwards = render(params=alone, pairs=pairs[::-1], mapper=SerialMapper(), out_dir=tmp_path / "backwards")
    assert backwards == found


def test_a_lost_picture_is_made_again_with_its_batch_alone(sweep: Sweep, tmp_path: Path) -> None:
    pairs = generate.chosen_pairs(MODEL_PARAMS, workspace=sweep.workspace)
    render = partial(rendered, sweep.workspace, params=MODEL_PARAMS, pairs=pairs, mapper=SerialMapper())
    expected = render(out_dir=tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    (tmp_path / "wrong_pose" / "000003.png").write_bytes(b"damaged")
    (tmp_path / "generated" / "000002.png").unlink()
    assert render(out_dir=tmp_path) == expected
    anew = {path.stem for path, time in times.items() if path.stat().st_mtime_ns != time}
    assert anew == {"000002", "000003"}


def test_a_batch_is_as_large_as_asked_for() -> None:
    pairs = [TestPair(id=f"{n:06d}", source="", target="", wrong_source="", wrong_pose="") for n in range(70)]
    sizes = [len(plan.payload) for plan in generate.part_plans(tuple(pairs), batch_size=32)]
    assert sizes == [32, 32, 6]


def test_fewer_pairs_leave_no_image_of_the_others(sweep: Sweep) -> None:
    fewer = params_with(MODEL_PARAMS, section="generate", num_pairs=2)
    run_stage("generate", fewer, workspace=sweep.workspace, mapper=SerialMapper())
    images = sorted(path.name for path in (sweep.workspace.stage_dir("generate") / "generated").iterdir())
    assert images == ["000000.png", "000001.png"]


def test_the_authors_recipe_trains_and_samples_too(sweep: Sweep) -> None:
    params = params_with(MODEL_PARAMS, section="generate", num_pairs=2)
    for field in FIELDS:
        params = params_with(params, section=field.section, **{field.key: field.authors})
    for stage in ("train", "generate"):
        run_stage(stage, params, workspace=sweep.workspace, mapper=SerialMapper())
    config = load_config(sweep.workspace.stage_dir("train") / "model")
    assert (config.iuv_channel_order, config.iuv_resize) == ("vui", "bicubic")
    assert config.reference_precision == "float16"
    images = sorted(path.name for path in (sweep.workspace.stage_dir("generate") / "generated").iterdir())
    assert images == ["000000.png", "000001.png"]
