"""A real MLflow server that is absent, freezes, dies and comes back; a logging process that is killed.

Whatever happens, nobody who logs waits, and in the end everything is in MLflow exactly once.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from PIL import Image
from typer.testing import CliRunner

from mcld.cli.tracking import tracking_app
from mcld.errors import TrackingError
from mcld.tracking import TrackedRun, open_run
from tests.tracking.mlflow_server import Server

WAIT_S = 120.0

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Not started yet."""
    one = Server(directory=tmp_path_factory.mktemp("server"))
    yield one
    one.stop()


def _open(root: Path, *, server: Server, identity: str) -> TrackedRun:
    return open_run(
        state_dir=root / ".mcld",
        root=root,
        tracking_uri=server.uri,
        experiment="test",
        identity=identity,
        name="run",
    )


def _picture(root: Path, *, name: str) -> Path:
    path = root / name
    Image.new("RGB", (8, 8), "red").save(path)
    return path


def _losses(steps: range) -> list[tuple[int, float]]:
    return [(step, 1.0 / step) for step in steps]


def _the_run(server: Server, *, identity: str) -> tuple[MlflowClient, str]:
    client = MlflowClient(tracking_uri=server.uri)
    experiment = client.get_experiment_by_name("test")
    assert experiment is not None
    [run] = client.search_runs([experiment.experiment_id], f"tags.`mcld.identity` = '{identity}'")
    return client, run.info.run_id


@pytest.mark.long
def test_a_server_that_is_down_at_start_in_the_middle_and_at_the_end_gets_everything_once(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")  # else the thaw is noticed after 20 s
    monkeypatch.chdir(tmp_path)

    _train_without_server(tmp_path, server=server)
    assert caplog.text.count("is away") == 1
    assert "`mcld tracking sync`" in caplog.text

    server.start()
    again = _resume_and_freeze(tmp_path, server=server)
    _end_without_server(again, root=tmp_path, server=server)

    result = CliRunner().invoke(tracking_app, ["sync"])
    assert isinstance(result.exception, TrackingError)
    assert "run: 5 events left; run " in CliRunner().invoke(tracking_app, ["status"]).output
    server.start()
    assert CliRunner().invoke(tracking_app, ["sync"]).output == "run: 5 events sent, 0 left\n"
    _check_everything_is_there_once(server)


def _train_without_server(root: Path, *, server: Server) -> None:
    """Training dies before the server is there."""
    tracked = _open(root, server=server, identity="down")
    tracked.start()
    tracked.log_params({"train": {"steps": 40}})
    tracked.log_series("loss", values=_losses(range(1, 11)))
    tracked.log_image(_picture(root, name="step-10.png"), key="samples", step=10)
    assert not tracked.close(timeout_s=30.0, away_timeout_s=0.5)
    assert tracked.run_id() is None


def _resume_and_freeze(root: Path, *, server: Server) -> TrackedRun:
    """The command is repeated, from the checkpoint of step 5, and the server freezes in the middle."""
    tracked = _open(root, server=server, identity="down")
    tracked.log_params({"train": {"steps": 40}})
    tracked.log_series("loss", values=_losses(range(6, 21)))
    assert tracked.flush(WAIT_S)
    assert tracked.run_id() is not None
    server.freeze()
    for step in range(21, 31):  # each of these calls returns, or the test would hang here
        tracked.log_metrics({"loss": 1.0 / step}, step=step)
    assert not tracked.flush(1.0)
    server.thaw()
    assert tracked.flush(WAIT_S)
    return tracked


def _end_without_server(tracked: TrackedRun, *, root: Path, server: Server) -> None:
    server.stop()
    tracked.log_series("loss", values=_losses(range(31, 41)))
    picture = _picture(root, name="step-40.png")
    tracked.log_image(picture, key="samples", step=40)
    tracked.log_file(picture, artifact_path="pictures")
    tracked.set_tags({"done": "yes"})
    tracked.finish()
    assert not tracked.close(timeout_s=30.0, away_timeout_s=0.5)


def _check_everything_is_there_once(server: Server) -> None:
    client, run_id = _the_run(server, identity="down")
    history = client.get_metric_history(run_id, "loss")
    assert [(point.step, point.value) for point in history] == _losses(range(1, 41))
    run = client.get_run(run_id)
    assert (run.info.status, run.data.tags["done"]) == ("FINISHED", "yes")
    assert run.data.params == {"train.steps": "40"}
    assert len(client.list_artifacts(run_id, "images")) == 4  # two pictures, each with its thumbnail
    assert [item.path for item in client.list_artifacts(run_id, "pictures")] == ["pictures/step-40.png"]


@pytest.mark.parametrize("point", ["run_made:1", "sent:1", "sent:2"])
def test_a_kill_between_telling_mlflow_and_writing_that_down_doubles_nothing(
    server: Server, tmp_path: Path, point: str
) -> None:
    if not server.is_running:
        server.start()
    _picture(tmp_path, name="grid.png")
    identity = point.replace(":", "-")
    command = [sys.executable, "-m", "tests.tracking.killed_logger", str(tmp_path), server.uri, identity]
    killed = subprocess.run(command, env=os.environ | {"MCLD_FAULT": f"tracking:{point}"}, check=False)
    assert killed.returncode == -signal.SIGKILL
    _the_run(server, identity=identity)  # it was told, and what was told is not yet written down

    subprocess.run(command, check=True)
    client, run_id = _the_run(server, identity=identity)
    history = client.get_metric_history(run_id, "loss")
    assert [(one.step, one.value) for one in history] == [(step, step / 10) for step in range(10)]
    assert client.get_run(run_id).data.params == {"a": "1"}
    assert len(client.list_artifacts(run_id, "images")) == 2
