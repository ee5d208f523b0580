"""What a run was made from and where: code, data, machine, versions."""

from __future__ import annotations

import hashlib
import os
import platform
import socket
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from mcld import __version__
from mcld.errors import DataError
from mcld.storage import read_json, sha256_of_file

# Our flows set these; Prefect sets the last in the processes of a flow run.
FLOW_RUN_VARIABLE = "MCLD_FLOW_RUN_ID"
FLOW_RUN_PAGE_VARIABLE = "MCLD_FLOW_RUN_URL"
PREFECT_VARIABLE = "PREFECT__FLOW_RUN_ID"
LOCKS = {"dvc.lock": "dvc.lock.sha256", "requirements.lock": "environment.lock.sha256"}
CODE = ("mcld", "flows")
MAX_CHANGED = 50  # files that are named in a tag
RESULTS = (":(exclude)dvc.lock", ":(exclude)metrics")
MAX_DIGEST = 36  # characters that MLflow keeps; DVC's md5 of a folder, with ".dir", has as many


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeState:
    """A git commit, and the files that differ from it: tracked ones, and new ones among the code."""

    commit: str
    changed: tuple[str, ...]


def code_state(root: Path) -> CodeState | None:
    """Where the code stands; None where there is no git.

    `dvc.lock` and the files of metrics are results, which every run changes: they are no difference.
    """
    commit = _git(root, "rev-parse", "HEAD")
    if not commit:
        return None
    lines = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", *RESULTS).splitlines()
    changed = [line.strip().split(maxsplit=1)[1] for line in lines]
    # What git does not know yet runs all the same, if it lies among the code.
    added = _git(root, "ls-files", "--others", "--exclude-standard", "--", *CODE).splitlines()
    return CodeState(commit=commit, changed=tuple(sorted([*changed, *added])))


def code_tags(root: Path) -> dict[str, str]:
    """Where the code stands, as far as known: git commit, what differs from it, hashes of the locks."""
    tags: dict[str, str] = {}
    code = code_state(_project(root))
    if code is not None:
        tags["git.commit"] = code.commit
        tags["git.dirty"] = str(bool(code.changed)).lower()
        tags["git.changed"] = " ".join(code.changed[:MAX_CHANGED]) or "nothing"
        tags["mlflow.source.git.commit"] = code.commit  # MLflow's page shows this one
    for name, tag in LOCKS.items():
        if (root / name).is_file():
            tags[tag] = sha256_of_file(root / name)
    return tags


def _project(root: Path) -> Path:
    """The folder with the code: of a workspace beside, that of the clone in which it lies."""
    top = _git(root, "rev-parse", "--show-toplevel")
    return Path(top) if top and not (root / "dvc.yaml").is_file() else root


def machine_tags() -> dict[str, str]:
    """The machine, the versions that compute, and the Prefect flow run if there is one."""
    tags = {
        "host": socket.gethostname(),
        "version.python": platform.python_version(),
        "version.torch": version("torch"),
        "version.mcld": __version__,
    }
    if flow_run_id := os.environ.get(FLOW_RUN_VARIABLE) or os.environ.get(PREFECT_VARIABLE):
        tags["prefect.flow_run_id"] = flow_run_id
    if page := os.environ.get(FLOW_RUN_PAGE_VARIABLE):
        tags["prefect.flow_run_url"] = page
    return tags


def folder_digest(folder: Path, *, stage: str, root: Path, index_name: str) -> str:
    """DVC's md5 of a stage's folder, if dvc.lock speaks of this very content; else its index's sha256, cut.

    `index_name` is a file in the folder that changes whenever another does. A folder may be newer than
    dvc.lock: DVC's list of the folder, in its cache, says whether that file is the one that was recorded.
    """
    index = folder / index_name
    recorded = _recorded_md5(root, stage=stage, path=folder)
    if recorded is not None:
        listed = _listed_md5(root, digest=recorded, name=index_name)
        if listed == hashlib.md5(index.read_bytes(), usedforsecurity=False).hexdigest():
            return recorded
    return sha256_of_file(index)[:MAX_DIGEST]


def _recorded_md5(root: Path, *, stage: str, path: Path) -> str | None:
    lock = root / "dvc.lock"
    if not lock.is_file():
        return None
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        stages = YAML(typ="safe").load(lock.read_text())["stages"]
        outs = stages[stage]["outs"]
        return next(str(out["md5"]) for out in outs if (root / out["path"]).resolve() == path.resolve())
    except (YAMLError, KeyError, TypeError, StopIteration):
        return None


def _listed_md5(root: Path, *, digest: str, name: str) -> str | None:
    path = root / ".dvc" / "cache" / "files" / "md5" / digest[:2] / digest[2:]
    if not path.is_file():
        return None
    try:
        entries = read_json(path)
    except DataError:
        return None
    if not isinstance(entries, list):
        return None
    return next((str(entry["md5"]) for entry in entries if entry["relpath"] == name), None)


def _git(root: Path, *arguments: str) -> str:
    """Git's answer, or nothing where there is no git or no repository."""
    try:
        result = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""
