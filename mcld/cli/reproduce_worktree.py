"""A git worktree in which a run is made again: its commit and settings, the data as DVC recorded it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcld.errors import ConfigError, MCLDError

if TYPE_CHECKING:
    from mcld.cli.reproduction import Reproduction

MARKER = Path(".mcld") / "reproduce.json"  # written last: with it there is nothing left to set up
COUNTED = Path(".mcld") / "flops"  # what counting a step's work found; it takes seconds, and shapes nothing
BROUGHT = ("data", "bases")  # what users bring, and git does not know
CONFIG_LOCAL = Path(".dvc") / "config.local"
# Of the flow run that this may be called from, and of the MLflow that has the run: not of what is made here.
FOREIGN_VARIABLES = ("MCLD_FLOW_RUN_ID", "MCLD_FLOW_RUN_URL", "PREFECT__FLOW_RUN_ID", "MLFLOW_TRACKING_URI")
MAX_SAID = 300  # characters of what DVC complains of
STDERR = 2  # what DVC and the stages say; stdout is for the result


def set_up(folder: Path, *, reproduction: Reproduction, root: Path, everything: bool) -> Path:
    """Make the worktree, or find it as an earlier call left it; returns the project's folder in it.

    Raises ConfigError when the commit is not in this clone, or the folder is something else.
    """
    from mcld.storage import read_json, write_json

    wanted = {"run": reproduction.run.run_id, "commit": reproduction.commit, "everything": everything}
    project = folder / _git(root, "rev-parse", "--show-prefix")
    if (project / MARKER).is_file() and read_json(project / MARKER) == wanted:
        return project
    _add_worktree(
        folder, commit=reproduction.commit, root=root, host=reproduction.run.tags.get("host", "unknown")
    )
    _write_yaml(project / "params.yaml", value=reproduction.settings)
    _write_yaml(project / "dvc.lock", value=_lock(reproduction, project=project, everything=everything))
    for name in BROUGHT:
        if (root / name).exists() and not (project / name).exists():
            (project / name).symlink_to((root / name).resolve())
    if (root / COUNTED).is_dir():
        shutil.copytree(root / COUNTED, project / COUNTED, dirs_exist_ok=True)
    _share_dvc(root.resolve(), project=project)
    write_json(project / MARKER, value=wanted)
    return project


def bring_inputs(project: Path, *, num_threads: str | None) -> str | None:
    """Have DVC put the recorded outputs of the stages before training there; returns what it could not."""
    from mcld.stages.side_workspace import STAGES_BEFORE

    environment = environment_of(project, num_threads=num_threads)

    def dvc(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "dvc", *arguments]
        return subprocess.run(
            command, cwd=project, env=environment, capture_output=True, text=True, check=False
        )

    if dvc("checkout", "--quiet", *STAGES_BEFORE).returncode == 0:
        return None
    fetched = dvc("fetch", "--quiet", *STAGES_BEFORE)
    dvc("checkout", "--quiet", "--allow-missing", *STAGES_BEFORE)
    missing = [stage for stage in STAGES_BEFORE if not (project / "artifacts" / stage).is_dir()]
    if not missing:
        return None
    said = " ".join(fetched.stderr.split())
    return f"neither in DVC's cache nor pulled, so made anew: {', '.join(missing)}" + (
        f" ({said[:MAX_SAID]})" if said else ""
    )


def make_again(project: Path, *, until: str, num_threads: str | None) -> None:
    """Run what is not there yet, really: no earlier result of the same inputs is taken for it.

    Raises MCLDError when a stage fails.
    """
    command = [sys.executable, "-m", "dvc", "repro", "--no-run-cache", until]
    done = subprocess.run(
        command,
        cwd=project,
        env=environment_of(project, num_threads=num_threads),
        stdout=STDERR,
        check=False,
    )
    if done.returncode != 0:
        raise MCLDError(
            f"{project}: `dvc repro {until}` ended with exit code {done.returncode}; what it said stands "
            "above. Repeat the command to go on there"
        )


def environment_of(project: Path, *, num_threads: str | None) -> dict[str, str]:
    """This environment, with this Python's programs, the worktree's code, and as many threads as it had."""
    kept = {name: value for name, value in os.environ.items() if name not in FOREIGN_VARIABLES}
    paths = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")]),
        "PYTHONPATH": os.pathsep.join([str(project), *filter(None, [kept.get("PYTHONPATH")])]),
        "DVC_NO_ANALYTICS": "1",
    }
    return kept | paths | ({} if num_threads is None else {"OMP_NUM_THREADS": num_threads})


def _add_worktree(folder: Path, *, commit: str, root: Path, host: str) -> None:
    try:
        _git(root, "cat-file", "-e", f"{commit}^{{commit}}")
    except ConfigError as error:
        raise ConfigError(
            f"commit {commit}: is not in this clone; `git fetch --all`, or push it from where it was trained "
            f"(host {host})"
        ) from error
    if (folder / ".git").exists():
        found = _git(folder, "rev-parse", "HEAD")
        if found != commit:
            raise ConfigError(
                f"{folder}: is at commit {found[:12]}, not at {commit[:12]}; give another folder by --into"
            )
        return
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder}: holds other files; give another folder by --into")
    folder.parent.mkdir(parents=True, exist_ok=True)
    _git(root, "worktree", "prune")
    # Hooks of the clone, such as DVC's own, would work on the data of a worktree that is half set up.
    no_hooks = ("-c", f"core.hooksPath={os.devnull}")
    _git(root, *no_hooks, "worktree", "add", "--detach", str(folder.resolve()), commit)


def _lock(reproduction: Reproduction, *, project: Path, everything: bool) -> dict[str, Any]:
    """dvc.lock without training and what follows, which are to be made; without everything, if wanted."""
    from mcld.stages.made_from import inputs_lock

    lock = dict(reproduction.lock) or inputs_lock(project)
    return {"schema": lock.get("schema", "2.0"), "stages": {} if everything else lock.get("stages", {})}


def _share_dvc(root: Path, *, project: Path) -> None:
    """The clone's cache, and its remote if it is named for this clone alone."""
    local = root / CONFIG_LOCAL
    if local.is_file():
        text = re.sub(
            r"(?m)^(\s*url = )(?![/\w]*://|/)(.+)$",
            lambda found: f"{found[1]}{(root / '.dvc' / found[2]).resolve()}",
            local.read_text(),
        )
        (project / CONFIG_LOCAL).write_text(text)
        shutil.copymode(local, project / CONFIG_LOCAL)
    cache = _run(root, sys.executable, "-m", "dvc", "cache", "dir")
    _run(project, sys.executable, "-m", "dvc", "cache", "dir", "--local", cache)


def _write_yaml(path: Path, *, value: Mapping[str, Any]) -> None:
    from io import StringIO

    from ruamel.yaml import YAML

    from mcld.storage import write_bytes

    yaml, text = YAML(typ="safe", pure=True), StringIO()
    yaml.default_flow_style = False
    yaml.dump(dict(value), text)
    write_bytes(path, data=text.getvalue().encode())


def _git(root: Path, *arguments: str) -> str:
    return _run(root, "git", *arguments)


def _run(root: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = " ".join(done.stderr.split())
        raise ConfigError(
            f"{root.resolve()}: `{' '.join(command[-3:])}` failed: {said}; run it in a git clone"
        )
    return done.stdout.strip()
