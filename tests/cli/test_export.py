"""`mcld export`: a trained workspace becomes one folder that diffusers loads; its card says what is known."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from mcld.cli.export import describe_export, export_pipeline
from mcld.cli.own_model import MODEL_VARIABLE, model_dir
from mcld.config import Params
from mcld.data.manifest import write_manifest
from mcld.errors import ConfigError, WeightsError
from mcld.inference.pipeline import MCLDPipeline
from mcld.models import MCLD, ModelConfig, save_mcld
from mcld.stages import run_stage
from mcld.stages.mapper import SerialMapper
from mcld.storage import sha256_of_file, write_json
from mcld.types import Manifest, PartRecord
from mcld.workspace import Workspace
from tests.stages.tiny_pipeline import run_data_stages
from tests.stages.tiny_weights import MODEL_PARAMS, params_with, write_tiny_weights
from tests.tiny_models import TINY_CONFIG
from tests.workspaces import CHECKOUT, run_mcld, run_python

MODEL_NAME = "model"
PARAMS = params_with(MODEL_PARAMS, section="diffusion", beta_schedule="linear")


def tiny_config(params: Params) -> ModelConfig:
    """The tiny model, for the faces of the embedded people."""
    values = TINY_CONFIG.to_dict()
    return ModelConfig.from_dict(values | {"face": values["face"] | {"embedding_dim": params.face.dim}})


def finish_training(workspace: Workspace) -> MCLD:
    """What the stage `train` leaves: a model, its manifest and its losses."""
    torch.manual_seed(0)
    model, out_dir = MCLD(tiny_config(PARAMS)), workspace.stage_dir("train")
    save_mcld(model, directory=out_dir / MODEL_NAME)
    files = sorted(path for path in (out_dir / MODEL_NAME).rglob("*") if path.is_file())
    parts = tuple(
        PartRecord(
            index=index,
            path=str(path.relative_to(out_dir)),
            sha256=sha256_of_file(path),
            num_bytes=path.stat().st_size,
            num_items=1,
            fingerprint="",
        )
        for index, path in enumerate(files)
    )
    settings: dict[str, object] = {
        name: getattr(PARAMS, name).model_dump(mode="json") for name in ("model", "diffusion", "train")
    }
    counts = {"steps": 4, "pairs": 24}
    manifest = Manifest(stage="train", format_version=1, settings=settings, parts=parts, counts=counts)
    write_manifest(out_dir, manifest=manifest)
    write_json(workspace.metrics_dir / "train.json", value={"final_loss": 0.5, "steps": 4})
    return model


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(root=tmp_path_factory.mktemp("trained"))
    run_data_stages(workspace)
    write_tiny_weights(workspace.root / "base")
    run_stage("weights", PARAMS, workspace=workspace, mapper=SerialMapper())
    finish_training(workspace)
    (workspace.root / "params.yaml").write_text(PARAMS.model_dump_json())
    return workspace


def test_the_exported_pipeline_holds_the_trained_model_and_its_schedule(
    trained: Workspace, tmp_path: Path
) -> None:
    export_pipeline(tmp_path / "out", Params(), workspace=trained)
    pipeline = MCLDPipeline.from_pretrained(tmp_path / "out")
    torch.manual_seed(0)
    expected = MCLD(tiny_config(PARAMS)).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in pipeline.model.state_dict().items())
    assert pipeline.scheduler.config.beta_schedule == "linear"
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    assert pipeline.image_encoder is not None


def test_the_card_tells_what_the_workspace_has_recorded(trained: Workspace, tmp_path: Path) -> None:
    export_pipeline(tmp_path / "out", Params(), workspace=trained)
    card = (tmp_path / "out" / "README.md").read_text()
    for line in (
        "| steps | 4 |",
        "| final_loss | 0.5 |",
        "| dataset.source | mannequins |",
        "| weights.preset | sd15 |",
        "| train.batch_size | 4 |",
        "| diffusion.beta_schedule | linear |",
    ):
        assert line in card
    assert "license: other" in card


@pytest.mark.slow
def test_the_command_says_how_to_load_it_and_the_readmes_lines_run(trained: Workspace) -> None:
    done = run_mcld("export", "my-model", cwd=trained.root)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip() == describe_export(Path("my-model"))
    blocks = re.findall(r"```python\n(.*?)```", (CHECKOUT / "README.md").read_text(), flags=re.DOTALL)
    [snippet] = [block for block in blocks if "MCLDPipeline" in block]
    done = run_python("-c", snippet, cwd=trained.root)
    assert done.returncode == 0, done.stderr
    assert (trained.root / "person.png").is_file()


def test_an_untrained_workspace_is_told_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError, match=r"artifacts/train: no finished training here; run `dvc repro train`"
    ):
        export_pipeline(tmp_path / "out", Params(), workspace=Workspace(root=tmp_path))
    with pytest.raises(WeightsError, match=r"artifacts/train: no training was begun here; run `dvc repro"):
        export_pipeline(tmp_path / "out", Params(), workspace=Workspace(root=tmp_path), step=3)
    assert not (tmp_path / "out").exists()


def test_a_damaged_model_is_not_exported(tmp_path: Path) -> None:
    workspace = Workspace(root=tmp_path)
    finish_training(workspace)
    weights = (
        workspace.stage_dir("train") / MODEL_NAME / "pose_guider" / "diffusion_pytorch_model.safetensors"
    )
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(WeightsError, match=r"the trained model is damaged; run `mcld run train` again"):
        export_pipeline(tmp_path / "out", Params(), workspace=workspace)


def test_missing_base_weights_are_named(tmp_path: Path) -> None:
    workspace = Workspace(root=tmp_path)
    finish_training(workspace)
    with pytest.raises(WeightsError, match=r"weights/vae: no config.json; .*run the stage 'weights'"):
        export_pipeline(tmp_path / "out", Params(), workspace=workspace)


def test_a_folder_of_something_else_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds 'notes.txt', which is not a saved pipeline's"):
        export_pipeline(tmp_path, Params(), workspace=Workspace(root=tmp_path / "nowhere"))


def test_the_workspaces_own_model_is_exported_once_and_again_when_it_is_another(trained: Workspace) -> None:
    exported = model_dir(None, workspace=trained)
    index = exported / "model_index.json"
    assert index.is_file()
    written = index.stat().st_mtime_ns
    assert model_dir(None, workspace=trained) == exported
    assert index.stat().st_mtime_ns == written
    changed = params_with(PARAMS, section="generate", guidance_scale=2.5)
    params_path = trained.root / "params.yaml"
    kept = params_path.read_text()
    params_path.write_text(changed.model_dump_json())
    model_dir(None, workspace=trained)
    params_path.write_text(kept)
    assert json.loads(index.read_text())["preparation"]["guidance_scale"] == 2.5


def test_a_model_that_is_named_comes_before_the_environments_and_that_before_the_own(
    trained: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MODEL_VARIABLE, "from-the-environment")
    assert model_dir(Path("named"), workspace=trained) == Path("named")
    assert model_dir(None, workspace=trained) == Path("from-the-environment")
