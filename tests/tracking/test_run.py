"""Runs are remembered in a real MLflow store: a file in the workspace."""

import logging
import re
from pathlib import Path

import pytest
from mlflow import MlflowClient
from PIL import Image

from mcld.storage.locks import locked
from mcld.tracking import TrackedRun, default_uri, deliveries, open_run, state_of
from mcld.tracking.store import open_store

WAIT_S = 120.0

pytestmark = pytest.mark.slow  # the database is made once, which takes seconds


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="module")
def client(root: Path) -> MlflowClient:
    return open_store(default_uri(root), root=root).client


@pytest.fixture
def identity(request: pytest.FixtureRequest) -> str:
    return re.sub(r"\W", "-", request.node.name)


def _open(root: Path, *, identity: str, tracking_uri: str | None = None) -> TrackedRun:
    return open_run(
        state_dir=root / ".mcld",
        root=root,
        tracking_uri=tracking_uri,
        experiment="test",
        identity=identity,
        name="run",
    )


def _run_ids(client: MlflowClient, *, identity: str) -> list[str]:
    experiment = client.get_experiment_by_name("test")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], f"tags.`mcld.identity` = '{identity}'")
    return [run.info.run_id for run in found]


def _points(client: MlflowClient, run_id: str, name: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in client.get_metric_history(run_id, name)]


def test_a_repeated_command_finds_its_run_again_and_everything_said_is_there(
    root: Path, client: MlflowClient, identity: str
) -> None:
    with _open(root, identity=identity) as first:
        first.log_params({"train": {"steps": 3}})
        first.log_series("loss", values=[(1, 1.0), (2, 0.5)])
    with _open(root, identity=identity) as again:
        again.log_params({"train": {"steps": 3}})
        again.log_series("loss", values=[(step, 1.0 / step) for step in range(1, 4)])
        again.log_metrics({"rate": float("nan")}, step=1)
        picture = root / "pictures" / "grid.png"
        picture.parent.mkdir()
        Image.new("RGB", (4, 4), "red").save(picture)
        again.log_folder(picture.parent, artifact_path="pictures")
        again.log_file(picture)
        again.log_dataset("mannequins-shards", digest="0" * 32 + ".dir", source=str(root))
        again.log_checkpoint(picture.parent, sha256="ab" * 32, step=3, upload=True)
        again.finish()
        assert again.flush(WAIT_S)
        run_id = again.run_id()
    assert run_id is not None
    assert _run_ids(client, identity=identity) == [run_id]
    run = client.get_run(run_id)
    assert run.data.params == {"train.steps": "3"}
    assert run.info.status == "FINISHED"
    assert _points(client, run_id, "loss") == [(1, 1.0), (2, 0.5), (3, 1.0 / 3)]
    assert len(_points(client, run_id, "rate")) == 1
    assert run.inputs is not None
    [data] = run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("mannequins-shards", "0" * 32 + ".dir")
    kept = root / "mlartifacts" / run_id / "artifacts"
    assert {path.relative_to(kept).as_posix() for path in kept.rglob("*.*")} == {
        "grid.png",
        "pictures/grid.png",
        "checkpoints/step-00000003.json",
        "checkpoints/step-00000003/grid.png",
    }


def test_an_image_is_named_as_mlflows_panel_reads_it_and_a_repeated_step_replaces_it(
    root: Path, client: MlflowClient, identity: str
) -> None:
    path = root / "step.png"
    with _open(root, identity=identity) as tracked:
        for colour in ("red", "blue"):
            Image.new("RGB", (600, 300), colour).save(path)
            tracked.log_image(path, key="samples/fixed", step=12)
            assert tracked.flush(WAIT_S)
        run_id = tracked.run_id()
    assert run_id is not None
    theirs = client.create_run("0").info.run_id
    client.log_image(theirs, Image.new("RGB", (600, 300)), key="samples/fixed", step=12)

    def shape(run: str) -> list[str]:
        names = sorted(item.path for item in client.list_artifacts(run, "images"))
        return [re.sub(r"timestamp\+\d+\+[^+.]+", "timestamp+T+ID", name) for name in names]

    assert shape(run_id) == shape(theirs)
    assert client.get_run(run_id).data.tags["mlflow.loggedImages"] == "True"
    [whole] = (root / "mlartifacts" / run_id).rglob("*.png")
    with Image.open(whole) as image:
        assert image.convert("RGB").getpixel((0, 0)) == (0, 0, 255)


def test_a_file_that_is_gone_is_said_once_and_costs_nothing_else(
    root: Path, client: MlflowClient, identity: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = root / "gone.txt"
    path.write_text("a")
    with caplog.at_level(logging.WARNING), locked(_send_lock(root, identity), waits=True):
        tracked = _open(root, identity=identity)
        tracked.log_file(path)
        tracked.log_metrics({"after": 1.0})
        path.unlink()
    assert tracked.close(timeout_s=WAIT_S)
    with _open(root, identity=identity):
        pass
    assert caplog.text.count("artifact gone.txt is not sent") == 1
    [run_id] = _run_ids(client, identity=identity)
    assert _points(client, run_id, "after") == [(0, 1.0)]
    [delivery] = [one for one in deliveries(state_dir=root / ".mcld", root=root) if one.identity == identity]
    assert (state_of(delivery).num_left, state_of(delivery).receipt.num_skipped) == (0, 1)


def test_what_mlflow_refuses_costs_no_other_event_of_its_call(
    root: Path, client: MlflowClient, identity: str, caplog: pytest.LogCaptureFixture
) -> None:
    with _open(root, identity=identity) as tracked, caplog.at_level(logging.WARNING):
        tracked.log_metrics({"good": 1.0})
        tracked.log_metrics({"bad!name?": 1.0})
        tracked.log_metrics({"better": 2.0})
        assert tracked.flush(WAIT_S)
        run_id = tracked.run_id()
    assert run_id is not None
    assert "metrics bad!name? is not sent" in caplog.text
    assert client.get_run(run_id).data.metrics == {"good": 1.0, "better": 2.0}


def test_nobody_sends_a_journal_that_another_is_sending(root: Path, identity: str) -> None:
    with locked(_send_lock(root, identity), waits=True):
        tracked = _open(root, identity=identity)
        tracked.log_metrics({"a": 1.0})
        assert not tracked.flush(3.0)
        assert tracked.run_id() is None
    assert tracked.close(timeout_s=WAIT_S)


def test_a_killed_and_resumed_run_runs_again_until_it_ends(
    root: Path, client: MlflowClient, identity: str
) -> None:
    statuses = []
    for ends in ("KILLED", None, "FINISHED"):
        with _open(root, identity=identity) as tracked:
            tracked.start()
            if ends == "KILLED" or ends == "FINISHED":
                tracked.finish(ends)
            assert tracked.flush(WAIT_S)
            run_id = tracked.run_id()
        assert run_id is not None
        statuses.append(client.get_run(run_id).info.status)
    assert statuses == ["KILLED", "RUNNING", "FINISHED"]


def test_a_deleted_run_is_made_again_whole(root: Path, client: MlflowClient, identity: str) -> None:
    with _open(root, identity=identity) as tracked:
        tracked.log_series("loss", values=[(1, 1.0)])
        assert tracked.flush(WAIT_S)
        deleted = tracked.run_id()
        assert deleted is not None
        client.delete_run(deleted)
        tracked.log_series("loss", values=[(2, 2.0)])
        assert tracked.flush(WAIT_S)
    [run_id] = _run_ids(client, identity=identity)
    assert _points(client, run_id, "loss") == [(1, 1.0), (2, 2.0)]


def test_of_runs_that_late_answers_left_the_oldest_counts_and_empty_ones_go(
    root: Path, client: MlflowClient, identity: str
) -> None:
    experiment = client.get_experiment_by_name("test")
    assert experiment is not None
    tags = {"mcld.identity": identity}
    oldest, *_ = [
        client.create_run(experiment.experiment_id, start_time=time, tags=tags).info.run_id
        for time in (1, 2, 3)
    ]
    with _open(root, identity=identity) as tracked:
        assert tracked.flush(WAIT_S)
        assert tracked.run_id() == oldest
    assert _run_ids(client, identity=identity) == [oldest]


def test_a_change_of_store_brings_everything_to_the_new_one(root: Path, identity: str) -> None:
    with _open(root, identity=identity) as tracked:
        tracked.log_series("loss", values=[(1, 1.0), (2, 0.5)])
    other = f"sqlite:///{root / 'other.db'}"
    with _open(root, identity=identity, tracking_uri=other) as tracked:
        tracked.log_series("loss", values=[(2, 0.5), (3, 0.25)])
        assert tracked.flush(WAIT_S)
        run_id = tracked.run_id()
    assert run_id is not None
    there = open_store(other, root=root).client
    assert _points(there, run_id, "loss") == [(1, 1.0), (2, 0.5), (3, 0.25)]


def test_the_receipt_may_be_lost_and_nothing_is_there_twice(
    root: Path, client: MlflowClient, identity: str
) -> None:
    with _open(root, identity=identity) as tracked:
        tracked.log_series("loss", values=[(step, float("nan") if step == 5 else 1.0) for step in range(9)])
    [receipt] = (root / ".mcld" / "journal" / identity).glob("sent-*.json")
    receipt.write_text("{")
    with _open(root, identity=identity):
        pass
    [run_id] = _run_ids(client, identity=identity)
    assert [step for step, _ in _points(client, run_id, "loss")] == list(range(9))


def test_a_disk_that_takes_nothing_stops_no_training(
    root: Path, identity: str, caplog: pytest.LogCaptureFixture
) -> None:
    tracked = _open(root, identity=identity)
    assert tracked.flush(WAIT_S)
    journal_file = max(tracked.journal.directory.glob("events-*.jsonl"))
    kept = journal_file.read_bytes()
    journal_file.unlink()
    journal_file.mkdir()
    with caplog.at_level(logging.ERROR):
        tracked.log_metrics({"a": 1.0})
        tracked.log_metrics({"a": 1.0}, step=1)
    assert caplog.text.count("cannot be written") == 1
    journal_file.rmdir()
    journal_file.write_bytes(kept)
    tracked.log_metrics({"a": 2.0}, step=2)
    assert tracked.close(timeout_s=WAIT_S)


def _send_lock(root: Path, identity: str) -> Path:
    path = root / ".mcld" / "journal" / identity / "send.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
