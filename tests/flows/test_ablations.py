"""Ablations run beside each other, on the same data, each in a workspace of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient

from flows.ablations import EXPERIMENT, as_table, params_of, run_variant
from mcld.config import Params
from mcld.errors import DataError
from mcld.models import load_config
from mcld.stages.run_tags import ABLATIONS
from mcld.stages.side_workspace import STAGES_BEFORE
from mcld.tracking import default_uri
from mcld.workspace import Workspace
from tests.stages.tiny_training import prepare
from tests.stages.tiny_weights import MODEL_PARAMS, params_with

PARAMS = params_with(MODEL_PARAMS, section="train", num_sample_pairs=1)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The working directory, ready for training."""
    prepare(tmp_path, params=PARAMS)
    (tmp_path / "params.yaml").write_text(PARAMS.model_dump_json())  # JSON is YAML
    monkeypatch.chdir(tmp_path)
    return Workspace()


def test_variants_differ_from_the_full_model_in_their_settings_alone(tmp_path: Path) -> None:
    root = Workspace(root=tmp_path)
    of = {name: params_of(PARAMS, variant=name, seed=3, root=root) for name in ABLATIONS}
    assert all(params.train.seed == 3 for params in of.values())
    assert len({params.model.model_dump_json() for params in of.values()}) == len(ABLATIONS)
    same = {params.model_copy(update={"model": PARAMS.model}).model_dump_json() for params in of.values()}
    assert len(same) == 1
    assert of["full"].model == PARAMS.model


@pytest.mark.slow
def test_a_variant_trains_on_this_folders_data_and_is_found_by_its_tags(workspace: Workspace) -> None:
    metrics = run_variant.fn("B1", 1)
    assert metrics == run_variant.fn("B1", 1), "repeating finds it done"
    own = Workspace(root=workspace.state_dir / "ablations" / "B1-seed-1")
    config = load_config(own.stage_dir("train") / "model")
    assert not config.use_face
    assert all(
        own.stage_dir(stage).resolve() == workspace.stage_dir(stage).resolve() for stage in STAGES_BEFORE
    )
    client = MlflowClient(tracking_uri=default_uri(workspace.root))
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    [run] = client.search_runs([experiment.experiment_id], "tags.ablation = 'B1' and tags.seed = '1'")
    assert any(name.startswith("test.") for name in run.data.metrics)


def test_without_data_it_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "params.yaml").write_text(Params().model_dump_json())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"dataset: has not been made; run `dvc repro"):
        run_variant.fn("full", 0)


def test_the_table_shows_mean_and_spread_over_seeds() -> None:
    table = {"B5": {"ssim": [0.5, 0.7]}, "full": {"ssim": [0.75, 0.75]}}
    lines = as_table(table).splitlines()
    assert lines[0].split() == ["B5", "full"]
    assert lines[1].split() == ["ssim", "0.6000", "±", "0.1000", "0.7500", "±", "0.0000"]
