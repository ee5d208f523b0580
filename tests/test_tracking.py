"""Runs are remembered in a real MLflow store: a file in the workspace."""

from pathlib import Path

import pytest
from mlflow import MlflowClient
from PIL import Image

from mcld.tracking import TrackedRun, default_uri, flatten, open_run


def _open(root: Path, *, identity: str = "abc") -> TrackedRun:
    return open_run(
        state_dir=root / ".mcld",
        root=root,
        tracking_uri=None,
        experiment="test",
        identity=identity,
        name="run",
    )


def test_nested_params_are_flattened_with_dots() -> None:
    assert flatten({"train": {"steps": 3, "loss": {"gamma": 5.0}}, "seed": 1}) == {
        "train.steps": 3,
        "train.loss.gamma": 5.0,
        "seed": 1,
    }


@pytest.mark.slow
def test_a_repeated_command_finds_its_run_again_and_everything_logged_is_there(tmp_path: Path) -> None:
    first = _open(tmp_path)
    again = _open(tmp_path)
    other = _open(tmp_path, identity="def")
    assert first.is_new
    assert not again.is_new
    assert again.run_id == first.run_id
    assert other.run_id != first.run_id

    first.log_params({"train": {"steps": 3}})
    again.log_series("loss", values=[(step, 1.0 / step) for step in range(1, 4)])
    Image.new("RGB", (4, 4), "red").save(tmp_path / "grid.png")
    again.log_image(tmp_path / "grid.png", key="samples", step=3)
    again.log_file(tmp_path / "grid.png", artifact_path="pictures")
    again.finish()

    client = MlflowClient(tracking_uri=default_uri(tmp_path))
    run = client.get_run(first.run_id)
    assert run.data.params == {"train.steps": "3"}
    assert run.info.status == "FINISHED"
    assert [(point.step, point.value) for point in client.get_metric_history(first.run_id, "loss")] == [
        (1, 1.0),
        (2, 0.5),
        (3, 1.0 / 3),
    ]
    assert [item.path for item in client.list_artifacts(first.run_id, "pictures")] == ["pictures/grid.png"]
    assert client.list_artifacts(first.run_id, "images")
    assert (tmp_path / "mlartifacts").is_dir()
