"""A finished run goes to others: to a remote, from there to another clone, under a tag, and is made again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from flows.deliver import check_tag, push, tag_commit
from flows.remote import URL_VARIABLE, set_up_remote
from mcld.cli.compare import reader_of
from mcld.cli.reproduce import compared
from mcld.cli.reproduce_worktree import set_up
from mcld.cli.reproduction import Reproduction, notes_on, reproduction_of
from mcld.cli.run_records import find_run
from mcld.errors import ConfigError, MCLDError, StorageError
from mcld.stages import STAGES
from mcld.tracking import RunRecord
from mcld.workspace import Workspace
from tests.s3_server import Fault
from tests.stores import Store
from tests.workspaces import CHECKOUT, commit_all, environment, make_checkout, run_mcld, run_python

pytestmark = pytest.mark.long
CANARY = "c4n4ry-Secret"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which the miniature pipeline has run, and is recorded with DVC and committed."""
    checkout = make_checkout(tmp_path_factory.mktemp("finished") / "checkout")
    shutil.copy(CHECKOUT / ".dvc" / ".gitignore", checkout / ".dvc")
    shutil.copy(CHECKOUT / "requirements.lock", checkout)
    commit_all(checkout)
    done = subprocess.run(
        [sys.executable, "-m", "tests.flows.finished_run", str(checkout)],
        cwd=CHECKOUT,
        env=environment(PYTHONPATH=str(CHECKOUT)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return checkout


@pytest.fixture
def team(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The store as DVC is to find it."""
    (tmp_path / "aws").touch()  # DVC opens whatever these name
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "aws"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "dvc"))
    return store


def name_remote(folder: Path, *, store: Store) -> str:
    variables = {URL_VARIABLE: f"s3://{store.bucket}/set", "AWS_ENDPOINT_URL": store.server.endpoint}
    return set_up_remote(workspace=Workspace(root=folder), environment=variables)


def clone_of(folder: Path, *, target: Path) -> Path:
    subprocess.run(["git", "clone", "--quiet", str(folder), str(target)], check=True)
    return target


def test_a_push_that_was_cut_is_told_and_finished_and_a_clone_then_has_nothing_to_do(
    finished: Path, team: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    workspace = Workspace(root=finished)
    clone = clone_of(finished, target=tmp_path / "clone")
    assert "recorded: `dvc pull train` brings it from the remote" in run_mcld("status", cwd=clone).stdout
    assert "none of the 12 recorded outputs is there: `dvc push`" in name_remote(finished, store=team)
    team.script.begin(Fault(kind="status", status=403, method="PUT", match="files/md5", skip=60, times=999))
    with pytest.raises(
        StorageError, match=rf"s3://{team.bucket}/set: dvc push: .*; repeat it: what has been"
    ):
        push(workspace=workspace)
    team.script.begin()
    told = name_remote(clone, store=team)
    assert "half pushed, missing: " in told
    assert "Where they were made: `dvc push`" in told

    before = team.names()
    team.script.begin(
        Fault(kind="status", status=503, method="PUT", match="files/md5", times=2),
        Fault(kind="reset", method="PUT", match="files/md5", skip=9),
    )
    assert push(workspace=workspace) > 0
    assert all(fault.times == 0 for fault in team.script.faults)
    sent = {request.path.partition("/set/")[2] for request in team.script.of("PUT", "files/md5")}
    assert sent == team.names() - before  # and nothing twice
    # An object that was lost at the store, which DVC takes for sent as long as its folder's list is there.
    lost = min(name for name in team.names() if "files/md5" in name and not name.endswith(".dir"))
    team.server.client().delete_object(Bucket=team.bucket, Key=f"set/{lost}")
    assert push(workspace=workspace) > 0
    assert push(workspace=workspace) == 0
    assert "all 12 recorded outputs are there: `dvc pull`" in name_remote(clone, store=team)

    assert pull_with_faults(clone, team=team) == ""
    repro = run_python("-m", "dvc", "repro", cwd=clone)
    assert repro.stdout.count("didn't change, skipping") == 12
    assert repro.stdout.endswith("Data and pipelines are up to date.\n")
    kept = [path for path in clone.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]
    assert kept == []
    assert CANARY not in caplog.text


def pull_with_faults(clone: Path, *, team: Store) -> str:
    """Pull through a 503 and cut bodies; what was said on stderr."""
    team.script.begin(
        Fault(kind="status", status=503, match="files/md5", times=2),
        Fault(kind="cut", match="files/md5", skip=7, times=2, after_bytes=20),
    )
    pulled = run_python("-m", "dvc", "pull", cwd=clone)
    assert pulled.returncode == 0, pulled.stderr
    assert all(fault.times == 0 for fault in team.script.faults)
    assert CANARY not in pulled.stdout + pulled.stderr
    return pulled.stderr


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("denied", r"mcld-write-check: access denied \(HTTP 403.*credentials: the environment"),
        ("anonymous", "no credentials were found"),
        ("password", r"MCLD_REMOTE_URL: s3://nowhere/set must hold no name and password"),
        ("none", "DVC has no default remote; `MCLD_REMOTE_URL=s3://bucket/folder make remote` names one"),
    ],
)
def test_a_remote_that_refuses_is_told_at_once(
    team: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, message: str
) -> None:
    workspace = Workspace(root=make_checkout(tmp_path / "checkout"))
    variables = {URL_VARIABLE: team.folder.place, "AWS_ENDPOINT_URL": team.server.endpoint}
    if kind == "denied":  # it was named when it could be written
        set_up_remote(workspace=workspace, environment=variables)
        variables = {}
    team.script.begin(Fault(kind="status", status=403, method="PUT", match="", times=99))
    if kind == "password":
        variables[URL_VARIABLE] = f"s3://somebody:{CANARY}@nowhere/set"
    if kind == "anonymous":
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    if kind == "none":
        variables = {}
    with pytest.raises(MCLDError, match=message) as caught:
        set_up_remote(workspace=workspace, environment=variables)
    assert len(team.script.requests) <= 1
    if kind in ("denied", "none"):
        with pytest.raises(MCLDError, match=message):
            push(workspace=workspace)
        assert len(team.script.requests) <= 2
    assert CANARY not in str(caught.value)
    is_named = (workspace.root / ".dvc" / "config.local").exists()
    assert is_named == (kind == "denied")  # nothing speaks of a remote that cannot be used


def test_a_tag_names_the_commit_of_a_run_and_no_other(finished: Path, tmp_path: Path) -> None:
    workspace = Workspace(root=clone_of(finished, target=tmp_path / "clone"))
    with pytest.raises(ConfigError, match=r"tag: 'a b' is no name of a tag"):
        check_tag("a b", workspace=workspace)
    check_tag("v1", workspace=workspace)
    with (workspace.root / "params.yaml").open("a") as file:
        file.write("# edited\n")
    with pytest.raises(ConfigError, match=r"dvc\.lock or params\.yaml are not as committed"):
        tag_commit("v1", workspace=workspace)
    subprocess.run(["git", "checkout", "--quiet", "params.yaml"], cwd=workspace.root, check=True)
    tag_commit("v1", workspace=workspace)
    with pytest.raises(ConfigError, match=r"tag: 'v1' is there already"):
        check_tag("v1", workspace=workspace)
    with pytest.raises(ConfigError, match="run the flow in a clone of the project"):
        check_tag("v1", workspace=Workspace(root=tmp_path))


def test_a_model_is_made_again_to_the_same_bytes_and_a_difference_is_told(
    finished: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    [record] = finished.glob("mlartifacts/**/reproduce/model.json")
    model = json.loads(record.read_text())
    altered = {**model, "files": {**model["files"], "metrics/loss.csv": "0" * 64}}
    record.write_text(json.dumps(altered))
    done = run_mcld("reproduce", "artifacts/train", cwd=finished)
    said = capfd.readouterr().err
    assert done.returncode == 1, done.stderr + said
    ran = [spec.name for spec in STAGES if f"Running stage '{spec.name}'" in said]
    assert ran == ["train", "generate", "evaluate"]  # and the data was brought
    rows = {line.split()[0]: line.split()[1] for line in done.stdout.splitlines()[2:-1]}
    assert [name for name, verdict in rows.items() if verdict != "same"] == ["metrics/loss.csv"]
    assert "metrics/evaluate.json" in rows
    assert sum(name.endswith(".safetensors") for name in rows) == 4
    assert done.stdout.splitlines()[-1].split() == ["generated", "images", "same", "(16", "of", "16)"]

    [project] = (finished / ".mcld" / "reproduce").iterdir()
    identity = str(model["identity"])
    assert all(row.is_same for row in compared(model["files"], identity=identity, project=project))
    lock = (project / "dvc.lock").read_bytes()
    reader = reader_of(finished)
    run = find_run(None, root=finished, reader=reader)
    assert run is not None
    again = reproduction_of(run, reader=reader)
    assert set_up(project, reproduction=again, root=finished, everything=False) == project
    assert (project / "dvc.lock").read_bytes() == lock  # repeated, it goes on with what is there


RUN = RunRecord(
    run_id="abc",
    name="one",
    experiment_id="1",
    experiment="mcld",
    identity="identity",
    parent_id=None,
    params={},
    metrics={},
    tags={
        "host": "elsewhere",
        "git.dirty": "true",
        "git.changed": "mcld/x.py params.yaml",
        "version.torch": "1",
    },
)
MADE = Reproduction(
    run=RUN, commit="f" * 40, settings={}, lock={}, identity="identity", files={}, until="train"
)


def test_what_may_make_a_difference_is_told_before(finished: Path, tmp_path: Path) -> None:
    first, *others = notes_on(MADE, root=finished)
    assert "may not be what ran, uncommitted were: mcld/x.py. The model is made from the commit" in first
    assert [note.partition(":")[0] for note in others] == ["Python", "torch", "requirements.lock"]
    with pytest.raises(
        ConfigError, match=rf"commit {'f' * 40}: is not in this clone; `git fetch --all`, or push"
    ):
        set_up(tmp_path / "new", reproduction=MADE, root=finished, everything=False)
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=finished, capture_output=True, text=True, check=True
    )
    (tmp_path / "mine").touch()
    with pytest.raises(ConfigError, match="holds other files; give another folder by --into"):
        set_up(
            tmp_path, reproduction=replace(MADE, commit=head.stdout.strip()), root=finished, everything=False
        )
    unknown = run_mcld("reproduce", "nothing-of-the-kind", cwd=finished)
    assert unknown.returncode == 2
    assert "neither a folder here nor the name or id of a run" in unknown.stderr
