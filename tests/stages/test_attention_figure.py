"""The attention figure of a tiny untrained model: the pictures that `generate` makes, and maps over them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from mcld.__main__ import app
from mcld.config import DiffusionParams, GenerateParams, Params
from mcld.data.codec import decode_image
from mcld.data.index import read_index
from mcld.data.manifest import write_manifest
from mcld.errors import ConfigError, DataError, MCLDError
from mcld.inference.attention_picture import heat_over
from mcld.models import MCLD, save_mcld
from mcld.stages.attention_figure import LookedAt, look_at, pairs_to_render, steps_of
from mcld.stages.generate import load_renderer, renderer_source
from mcld.types import Manifest
from mcld.workspace import Workspace
from tests.stages.tiny_pipeline import PARAMS as DATA_PARAMS
from tests.tiny_models import TINY_CONFIG, tiny_vae

HEIGHT_PX, WIDTH_PX = 64, 48
GENERATE = GenerateParams(num_inference_steps=3, guidance_scale=2.0, height_px=HEIGHT_PX, width_px=WIDTH_PX)
PARAMS = DATA_PARAMS.model_copy(update={"generate": GENERATE})


@pytest.fixture
def workspace(workspace_copy: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The data stages are done; training left a model that knows nothing."""
    torch.set_num_threads(1)
    write_model(workspace_copy)
    (workspace_copy.root / "params.yaml").write_text(PARAMS.model_dump_json())
    monkeypatch.chdir(workspace_copy.root)
    return workspace_copy


def write_model(workspace: Workspace, *, use_face: bool = True) -> None:
    torch.manual_seed(0)
    face = dataclasses.replace(TINY_CONFIG.face, embedding_dim=DATA_PARAMS.face.dim)
    model = MCLD(dataclasses.replace(TINY_CONFIG, face=face, use_face=use_face))
    train_dir = workspace.stage_dir("train")
    save_mcld(model, directory=train_dir / "model")
    settings: dict[str, object] = {"diffusion": DiffusionParams().model_dump(mode="json")}
    write_manifest(train_dir, manifest=Manifest(stage="train", format_version=1, settings=settings, parts=()))
    tiny_vae().save_pretrained(workspace.stage_dir("weights") / "vae")


def figure(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["figures", "attention", "figure.png", *arguments])


def looked_at(workspace: Workspace, *, params: Params = PARAMS, steps: tuple[int, ...]) -> LookedAt:
    index = read_index(workspace.stage_dir("dataset"))
    (pair,) = pairs_to_render(workspace, index=index, wanted=(), count=1)
    renderer = load_renderer(renderer_source(params, workspace=workspace))
    load_renderer.cache_clear()
    return look_at(pair, renderer=renderer, params=params.generate, steps=steps)


def test_a_row_a_pair_with_three_maps_is_drawn_and_twice_alike(workspace: Workspace) -> None:
    result = figure("--count", "2")
    assert result.exit_code == 0, result.exception
    assert len(result.stdout.splitlines()) == 3  # two pairs, and the file
    data = Path("figure.png").read_bytes()
    picture = decode_image(data)
    cell_width_px = 192  # of the smallest height that is printed, 256
    assert 6 * cell_width_px < picture.shape[1] < 7 * cell_width_px  # source, pose, generated, three maps
    assert figure("--count", "2").exit_code == 0
    assert Path("figure.png").read_bytes() == data


def test_an_ablation_without_faces_has_no_map_of_them(workspace: Workspace) -> None:
    write_model(workspace, use_face=False)
    found = looked_at(workspace, steps=(0,))
    assert set(found.strength) == {"image", "texture"}
    assert figure("--count", "1").exit_code == 0


def test_maps_are_means_over_the_steps_and_change_no_picture(workspace: Workspace) -> None:
    all_steps = looked_at(workspace, steps=(0, 1, 2))
    each = [looked_at(workspace, steps=(step,)) for step in range(3)]
    for one in each:
        np.testing.assert_array_equal(one.picture, all_steps.picture)
    for name, values in all_steps.strength.items():
        assert values.shape == (HEIGHT_PX, WIDTH_PX)
        assert values.min() >= 0
        mean = np.mean([one.strength[name] for one in each], axis=0)
        np.testing.assert_allclose(values, mean, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("--step", "3"), ConfigError, "--step: 3 is none of the 3 steps, 0 to 2"),
        (("--pairs", "a-b"), ConfigError, "--pairs: 'a-b' is no pair"),
    ],
)
def test_a_mistake_is_named_before_a_model_is_loaded(
    workspace: Workspace, arguments: tuple[str, ...], error: type[MCLDError], message: str
) -> None:
    result = figure(*arguments)
    assert isinstance(result.exception, error)
    assert message in str(result.exception)
    assert not Path("figure.png").exists()


def test_a_pair_of_training_people_and_a_missing_model_are_named(workspace: Workspace) -> None:
    pair = next(pair for pair in read_index(workspace.stage_dir("dataset")).pairs if pair.split == "train")
    result = figure("--pairs", f"{pair.source}:{pair.target}")
    assert isinstance(result.exception, DataError)
    assert f"has no test pair {pair.source} -> {pair.target}" in str(result.exception)
    (workspace.stage_dir("train") / "manifest.json").unlink()
    missing = figure()
    assert isinstance(missing.exception, DataError)
    assert "stage 'train' has not finished" in str(missing.exception)


def test_without_a_step_maps_are_of_all_of_them() -> None:
    assert steps_of(GENERATE, step=None) == (0, 1, 2)
    assert steps_of(GENERATE, step=2) == (2,)


def test_heat_lies_over_a_grey_picture() -> None:
    picture = np.zeros((2, 2, 3), np.uint8)
    picture[:, 1] = (0, 90, 210)  # a mean of 100
    values = np.array([[0.0, 0.0], [1.0, 2.0]])
    found = heat_over(picture, values=values).astype(int)
    np.testing.assert_array_equal(found[0, 1] - found[0, 0], [40, 40, 40])  # two fifths of the grey
    np.testing.assert_allclose(found[1, 1] - found[1, 0], 40, atol=1)  # beyond 1 is as 1
    assert found[0, 0].argmax() == 2  # the smallest is blue
    assert found[1, 0].argmax() == 0  # the largest red
