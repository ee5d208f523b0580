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


def start_long_training(site: PrefectSite, **parameters: object) -> str:
    """Begin a run of the train stage that would go on for minutes."""
    change_params(site.checkout, changes=LONG)
    return site.start("stage/train", name="train", **parameters)


def wait_for_log(site: PrefectSite, run_id: str, *, line: str, times: int = 1) -> None:
    """Wait until a run has logged a line so often."""
    wait_until(lambda: site.log(run_id).count(line) >= times, timeout_s=WAIT_S)


def checkpoints(site: PrefectSite) -> set[str]:
    """All that lie there, of any training."""
    return {str(path) for path in (site.checkout / ".mcld" / "checkpoints").glob("*/step-*")}


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


def test_cancelled_killed_and_left_alone_training_goes_on_from_its_checkpoint(site: PrefectSite) -> None:
    known = checkpoints(site)
    first = start_long_training(site)
    wait_until(lambda: bool(checkpoints(site) - known), timeout_s=WAIT_S)
    [process] = site.processes_of(first)
    state, said = site.finished(site.start("mcld/pipeline", until="train"))
    assert (state, f"process {process.pid} is running a stage here" in said) == ("Failed", True), said
    site.cancel(first)
    assert site.finished(first)[0] == "Cancelled"
    assert site.processes_of(first) == []
    assert "stopped by SIGTERM after step" in site.log(first)

    automate = [sys.executable, "-m", "flows.automations"]
    subprocess.run(automate, cwd=site.checkout, env=site.environment, check=True)
    run_id = start_long_training(site)
    wait_for_log(site, run_id, line="resuming from")
    wait_until(lambda: "progress-train" in site.artifacts(), timeout_s=WAIT_S)
    kill_all(site.processes_of(run_id))  # the worker says that it crashed
    wait_for_log(site, run_id, line="resuming from", times=2)

    site.kill("worker-gpu")
    kill_all(site.processes_of(run_id))  # nobody says it
    site.start_worker("gpu")
    site.change_state(run_id, "CRASHED")  # as the automation does after some minutes of silence
    wait_for_log(site, run_id, line="resuming from", times=3)
    assert site.run(run_id)["run_count"] == 3
    site.cancel(run_id)
    assert site.finished(run_id)[0] == "Cancelled"


def test_a_stage_that_takes_too_long_is_stopped(site: PrefectSite) -> None:
    run_id = start_long_training(site, stage_timeout_h=15 / 3600)
    state, said = site.finished(run_id)
    assert (state, "15" in said) == ("TimedOut", True), said
    wait_until(lambda: site.processes_of(run_id) == [], timeout_s=WAIT_S)


def test_a_server_that_goes_away_and_comes_back_ends_no_run(site: PrefectSite) -> None:
    change_params(site.checkout, changes={"train": {"steps": 40, "checkpoint_every_steps": 10}})
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
