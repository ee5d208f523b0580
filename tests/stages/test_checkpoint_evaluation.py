"""Kept checkpoints of a training are scored, each as a run below the model's, and by step on the model's."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient

from mcld.cli.evaluate_checkpoints import score_checkpoints
from mcld.config import Params
from mcld.errors import CheckpointError, WeightsError
from mcld.stages import run_stage
from mcld.stages.checkpoint_evaluation import evaluate_checkpoints
from mcld.stages.mapper import SerialMapper
from mcld.stages.model_evaluation import evaluation_of_checkpoint, evaluation_of_model
from mcld.stages.remember import identity_of_model
from mcld.stages.side_workspace import with_places_of
from mcld.storage import read_json, write_json
from mcld.tracking import default_uri
from mcld.workspace import Workspace
from tests.stages.tiny_training import prepare
from tests.stages.tiny_weights import MODEL_PARAMS, params_with

pytestmark = pytest.mark.slow

PARAMS = params_with(
    params_with(MODEL_PARAMS, section="train", num_sample_pairs=1, sample_every_steps=4),
    section="runtime",
    keep_every_steps=2,
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Trained, generated and scored; checkpoints of steps 2 and 4 are kept."""
    found = prepare(tmp_path_factory.mktemp("trained"), params=PARAMS)
    for stage in ("train", "generate", "evaluate"):
        run_stage(stage, PARAMS, workspace=found, mapper=SerialMapper())
    return found


def test_each_checkpoint_is_a_run_below_the_models_and_a_step_of_it(workspace: Workspace) -> None:
    found = evaluate_checkpoints(PARAMS, workspace=workspace, mapper=SerialMapper())
    assert [(one.step, one.reused) for one in found] == [(2, False), (4, False)]
    # The last checkpoint is the finished model.
    assert found[1].metrics == read_json(workspace.metrics_dir / "evaluate.json")
    assert found[0].metrics != found[1].metrics
    again = evaluate_checkpoints(PARAMS, workspace=workspace, mapper=SerialMapper(), steps=[2])
    assert [(one.step, one.reused) for one in again] == [(2, True)]

    client = MlflowClient(tracking_uri=default_uri(workspace.root))
    experiment = client.get_experiment_by_name("mcld")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    [parent] = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    nested = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert {run.data.params["checkpoint_step"] for run in nested} == {"2", "4"}
    assert all("test.B/ssim" in run.data.metrics for run in nested)
    history = client.get_metric_history(parent.info.run_id, "test.B/ssim")
    assert sorted(point.step for point in history) == [2, 4], "a step once, however often it is said"
    assert parent.data.metrics["test.B/ssim"] == found[1].metrics["ssim"]


def test_a_card_tells_the_scores_of_its_own_model_only(workspace: Workspace) -> None:
    evaluate_checkpoints(PARAMS, workspace=workspace, mapper=SerialMapper(), steps=[2])
    identity = identity_of_model(workspace)
    own = evaluation_of_model(workspace, identity=identity)
    of_step = evaluation_of_checkpoint(workspace, identity=identity, step=2)
    assert own is not None
    assert of_step is not None
    assert own.scores != of_step.scores
    assert evaluation_of_model(workspace, identity="another") is None
    rows = workspace.stage_dir("evaluate") / "rows.json"
    kept = read_json(rows)
    write_json(rows, value={"rows": {}})
    assert evaluation_of_model(workspace, identity=identity) is None
    write_json(rows, value=kept)


def test_steps_that_are_not_kept_are_named_with_those_that_are(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint of step 3; there are: 2, 4\."):
        score_checkpoints(PARAMS, workspace=workspace, steps=[3])
    with pytest.raises(WeightsError, match="no training was begun here"):
        score_checkpoints(PARAMS, workspace=Workspace(root=tmp_path), steps=[])


def test_places_are_named_whole_for_use_elsewhere(tmp_path: Path) -> None:
    params = params_with(Params(), section="weights", base_dir="base")
    moved = with_places_of(params, root=tmp_path)
    assert moved.weights.base_dir == str(tmp_path / "base")
    assert moved.model_copy(update={"weights": params.weights}) == params
