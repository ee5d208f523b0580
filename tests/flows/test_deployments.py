"""Deployments on a real Prefect server with real workers: what they make, and what no interruption spoils.

One server serves all tests of this file, in their order.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from mlflow import MlflowClient

from mcld.stages import STAGES
from mcld.tracking import default_uri
from tests.flows.prefect_site import PrefectSite, kill_all, prefect_site, wait_until
from tests.workspaces import change_params, run_python

WAIT_S = 240.0
LONG: dict[str, dict[str, object]] = {
    "train": {"steps": 4000, "checkpoint_every_steps": 20, "sample_every_steps": 4000}
}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectSite]:
    with prefect_site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def training(site: PrefectSite) -> Iterator[str]:
    """A run of the train stage that has saved a checkpoint and would go on for minutes."""
    change_params(site.checkout, changes=LONG)
    known = checkpoints(site)
    run_id = site.start("stage/train", name="train")
    wait_until(lambda: bool(checkpoints(site) - known), timeout_s=WAIT_S)
    yield run_id
    site.cancel(run_id)
    site.finished(run_id)
    kill_all(site.processes_of(run_id))


def checkpoints(site: PrefectSite) -> set[str]:
    """All that lie there, of any training."""
    return {str(path) for path in (site.checkout / ".mcld" / "checkpoints").glob("*/step-*")}


def run_count(site: PrefectSite, run_id: str) -> int:
    return int(site.run(run_id)["run_count"])


def test_a_deployment_makes_everything_and_leaves_dvc_nothing_to_do(site: PrefectSite) -> None:
    run_id = site.start("mcld/pipeline")
    assert site.finished(run_id)[0] == "Completed", site.log(run_id)
    status = run_python("-m", "dvc", "status", "--json", cwd=site.checkout)
    assert json.loads(status.stdout) == {}
    repro = run_python("-m", "dvc", "repro", cwd=site.checkout)
    unchanged = [f"Stage '{spec.name}' didn't change, skipping" for spec in STAGES]
    assert sorted(line for line in repro.stdout.splitlines() if line.startswith("Stage")) == sorted(unchanged)


def test_the_pages_of_prefect_and_mlflow_lead_to_each_other(site: PrefectSite) -> None:
    artifacts = site.artifacts()
    assert {"summary", "data-sheet", "sample-grid", "metrics", "code", "mlflow-run"} <= artifacts.keys()
    client = MlflowClient(tracking_uri=default_uri(site.checkout))
    experiment = client.get_experiment_by_name("mcld")
    assert experiment is not None
    [run] = client.search_runs([experiment.experiment_id])
    assert (
        f"#/experiments/{experiment.experiment_id}/runs/{run.info.run_id}" in artifacts["mlflow-run"]["data"]
    )
    assert run.data.tags["prefect.flow_run_id"] == artifacts["mlflow-run"]["flow_run_id"]
    page = f"http://127.0.0.1:{site.port}/runs/flow-run/{artifacts['mlflow-run']['flow_run_id']}"
    assert run.data.tags["prefect.flow_run_url"] == page


def test_an_altered_file_is_found_by_night(site: PrefectSite) -> None:
    assert site.finished(site.start("nightly-verify/nightly-verify"))[0] == "Completed"
    path = next((site.checkout / "artifacts" / "texture").glob("*.tar"))
    whole = path.read_bytes()
    path.unlink()  # what is linked to DVC's cache must not be written through
    path.write_bytes(b"altered")
    run_id = site.start("nightly-verify/nightly-verify")
    assert site.finished(run_id)[0] == "Failed"
    assert path.name in site.run(run_id)["state"]["message"]
    path.write_bytes(whole)


def test_a_second_run_of_the_workspace_is_refused_and_cancelling_leaves_what_was_done(
    site: PrefectSite, training: str
) -> None:
    [process] = site.processes_of(training)
    state, said = site.finished(site.start("mcld/pipeline", until="train"))
    assert (state, f"process {process.pid} is running a stage here" in said) == ("Failed", True), said
    site.cancel(training)
    assert site.finished(training)[0] == "Cancelled"
    assert site.processes_of(training) == []
    assert "stopped by SIGTERM after step" in site.log(training)
    again = site.start("stage/train", name="train")
    wait_until(lambda: "resuming from" in site.log(again), timeout_s=WAIT_S)
    wait_until(lambda: "progress-train" in site.artifacts(), timeout_s=WAIT_S)
    site.cancel(again)
    assert site.finished(again)[0] == "Cancelled"


def test_a_stage_that_takes_too_long_is_stopped(site: PrefectSite) -> None:
    run_id = site.start("stage/train", name="train", stage_timeout_h=20 / 3600)
    state, said = site.finished(run_id)
    assert state in ("Failed", "TimedOut"), said
    assert "20" in said
    assert site.processes_of(run_id) == []


def test_a_crashed_run_goes_on_by_itself(site: PrefectSite, training: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "flows.automations"], cwd=site.checkout, env=site.environment, check=True
    )
    kill_all(site.processes_of(training))
    wait_until(lambda: run_count(site, training) == 2, timeout_s=WAIT_S)
    wait_until(lambda: "resuming from" in site.log(training), timeout_s=WAIT_S)


def test_a_run_whose_machine_went_away_is_taken_up_by_another_worker(
    site: PrefectSite, training: str
) -> None:
    site.kill("worker-gpu")
    kill_all(site.processes_of(training))
    site.start_worker("gpu")
    site.change_state(training, "CRASHED")  # as the automation does after some minutes of silence
    wait_until(lambda: run_count(site, training) == 2, timeout_s=WAIT_S)
    wait_until(lambda: "resuming from" in site.log(training), timeout_s=WAIT_S)


def test_a_server_that_goes_away_and_comes_back_ends_no_run(site: PrefectSite) -> None:
    change_params(site.checkout, changes={"train": {"steps": 60, "checkpoint_every_steps": 10}})
    known = checkpoints(site)
    run_id = site.start("stage/train", name="train")
    wait_until(lambda: bool(checkpoints(site) - known), timeout_s=WAIT_S)
    site.kill("server")
    site.start_server()
    assert site.finished(run_id)[0] == "Completed", site.log(run_id)
    status = run_python("-m", "dvc", "status", "train", "--json", cwd=site.checkout)
    assert json.loads(status.stdout) == {}


def test_without_a_server_dvc_repro_works_regardless(site: PrefectSite) -> None:
    site.kill("server")
    repro = run_python("-m", "dvc", "repro", "train", cwd=site.checkout)
    assert repro.returncode == 0, repro.stderr
    assert "Stage 'train' didn't change, skipping" in repro.stdout
