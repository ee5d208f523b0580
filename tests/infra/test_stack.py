"""`make stack`, for real: PostgreSQL, an S3 store, MLflow, Prefect and its workers, and mcld against them."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, cast
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import boto3
import psycopg
import pytest
from mlflow import MlflowClient
from PIL import Image

from infra.stack.asking import ask
from infra.stack.credentials import BUCKET
from infra.stack.postgres import PORT
from infra.stack.settings import HOST
from mcld.tracking import CHAMPION, Registry, TrackedRun, open_reader, open_run
from tests.infra.team_stack import CANARY, COMMAND, TeamStack, listening, team_stack, why_not

WAIT_S = 120.0

pytestmark = [pytest.mark.long, pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]


@pytest.fixture(scope="module")
def stack() -> Iterator[TeamStack]:
    with team_stack() as up:
        yield up


def test_everything_that_listens_does_so_on_loopback(stack: TeamStack) -> None:
    found = listening(stack.family())
    assert {address for address, _ in found} == {HOST}
    assert set(stack.settings.ports) <= {port for _, port in found}


def test_prefect_has_the_deployments_pools_and_the_limit_of_gpus(stack: TeamStack) -> None:
    deployments = _ask_prefect(stack, "deployments/filter")
    assert {one["name"] for one in deployments} >= {"pipeline", "train", "nightly-verify"}
    assert {pool["name"]: pool["status"] for pool in _ask_prefect(stack, "work_pools/filter")} == {
        "cpu": "READY",
        "gpu": "READY",
    }
    limits = {one["name"]: one["limit"] for one in _ask_prefect(stack, "v2/concurrency_limits/filter")}
    assert limits["gpu"] == 1


def test_no_foreign_page_may_call_the_servers(stack: TeamStack) -> None:
    """Neither from a browser here, nor by a name that has been made to point here."""
    api = f"{stack.client['PREFECT_API_URL']}/health"
    own = stack.settings.prefect_url
    assert _get(api, Origin=own).headers["access-control-allow-origin"] == own
    assert "access-control-allow-origin" not in _get(api, Origin="http://foreign.example").headers
    experiments = f"{stack.settings.mlflow_url}/api/2.0/mlflow/experiments/search?max_results=1"
    assert _get(experiments).status == 200
    with pytest.raises(HTTPError, match="403"):
        _get(experiments, Host="foreign.example")


def test_a_run_lies_in_postgresql_and_the_store_and_survives_a_killed_server(
    stack: TeamStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through mcld's tracking, with the address that a shell exports and without the store's keys."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", stack.client["MLFLOW_TRACKING_URI"])
    picture = tmp_path / "grid.png"
    Image.new("RGB", (8, 8), "red").save(picture)
    with _open(tmp_path) as tracked:
        tracked.log_params({"train": {"steps": 20}})
        tracked.log_series("loss", values=_losses(range(1, 11)))
        tracked.log_folder(tmp_path, artifact_path="model")
        assert tracked.flush(WAIT_S)
        stack.holder(stack.settings.mlflow_port).kill()
        tracked.log_series("loss", values=_losses(range(11, 21)))
        tracked.log_image(picture, key="samples", step=20)
        tracked.finish()
        assert tracked.flush(WAIT_S)  # the supervisor has brought it back
        run_id = tracked.run_id()
    assert run_id is not None
    assert "mlflow: is back" in stack.log_path.read_text()

    client = MlflowClient(tracking_uri=stack.settings.mlflow_url)
    history = client.get_metric_history(run_id, "loss")
    assert [(point.step, point.value) for point in history] == _losses(range(1, 21))
    assert client.get_run(run_id).data.params == {"train.steps": "20"}
    copy = Path(client.download_artifacts(run_id, "model/grid.png", str(tmp_path)))
    assert copy.read_bytes() == picture.read_bytes()
    assert _rows(stack, "SELECT count(*) FROM metrics WHERE run_uuid = %s", run_id) == [(20,)]
    assert any(key.endswith(f"{run_id}/artifacts/model/grid.png") for key in _objects(stack))

    registry = Registry(reader=open_reader(stack.settings.mlflow_url, root=tmp_path), name="mcld")
    version = registry.register(run_id, artifact_path="model", description="tried")
    registry.point(CHAMPION, version)
    assert registry.with_alias(CHAMPION) == version
    assert version.run_id == run_id


def test_objects_survive_a_killed_store(stack: TeamStack) -> None:
    before = _objects(stack)
    assert before
    stack.holder(stack.settings.store_port).kill()
    stack.wait_for("store: is back")
    assert _objects(stack) == before


def test_no_secret_is_on_a_command_line_in_a_log_in_mlflow_or_in_prefect(stack: TeamStack) -> None:
    for process in stack.family():
        said = [*process.cmdline(), *process.environ().values()]
        assert not [text for text in said if CANARY in text and process.pid != stack.process.pid]
    state = stack.settings.state_dir
    logs = [stack.log_path, state / "env", *(state / "logs").iterdir()]
    assert not [path for path in logs if CANARY in path.read_text(errors="replace")]
    runs = MlflowClient(tracking_uri=stack.settings.mlflow_url).search_runs(["0", "1"])
    assert runs
    assert CANARY not in json.dumps([run.to_dictionary() for run in runs])
    kinds = ("deployments", "work_pools", "flows", "flow_runs", "logs", "block_documents", "variables")
    assert CANARY not in json.dumps([_ask_prefect(stack, f"{kind}/filter") for kind in kinds])


def test_a_second_stack_in_the_same_folder_is_refused(stack: TeamStack) -> None:
    again = subprocess.run(
        COMMAND,
        cwd=stack.settings.checkout,
        env=stack.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 2
    assert f"process {stack.process.pid} keeps a stack up here" in again.stderr
    assert "Traceback" not in again.stderr


def test_ctrl_c_leaves_no_process(stack: TeamStack) -> None:
    family = stack.family()
    assert len(family) > 8
    os.kill(stack.process.pid, signal.SIGINT)
    assert stack.process.wait(WAIT_S) == 0
    assert not [process for process in family if process.is_running()]
    assert "Traceback" not in stack.log_path.read_text()


def _open(root: Path) -> TrackedRun:
    return open_run(
        state_dir=root / ".mcld",
        root=root,
        tracking_uri=None,
        experiment="team",
        identity="abc",
        name="run",
    )


def _losses(steps: range) -> list[tuple[int, float]]:
    return [(step, 1.0 / step) for step in steps]


def _ask_prefect(stack: TeamStack, path: str) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", ask(f"{stack.client['PREFECT_API_URL']}/{path}", body={}))


def _get(url: str, **headers: str) -> HTTPResponse:
    return cast("HTTPResponse", urlopen(Request(url, headers=headers)))


def _rows(stack: TeamStack, query: str, *values: str) -> list[tuple[Any, ...]]:
    target = {
        "host": str(stack.settings.state_dir / "postgres" / "socket"),
        "port": str(PORT),
        "user": "mlflow",
        "dbname": "mlflow",
        "passfile": str(stack.credentials.database_passwords),
    }
    with psycopg.connect(" ".join(f"{key}={value}" for key, value in target.items())) as connection:
        return connection.execute(query, values).fetchall()


def _objects(stack: TeamStack) -> set[str]:
    access_key, secret_key = stack.credentials.store_key_pair()
    client = boto3.client(
        "s3",
        endpoint_url=stack.settings.store_url,
        region_name="us-east-1",
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
    )
    return {found["Key"] for found in client.list_objects_v2(Bucket=BUCKET)["Contents"]}
