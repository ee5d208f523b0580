"""After a pipeline: copies for others. What DVC tracks goes to its remote, the commit gets a name."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from dvc.exceptions import DvcException
from dvc.repo import Repo

from mcld.errors import ConfigError

if TYPE_CHECKING:
    from mcld.workspace import Workspace

_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,99}")


def push(*, workspace: Workspace) -> int:
    """Push all stage outputs to DVC's default remote; returns how many files went.

    Raises ConfigError when there is no remote, or it refuses.
    """
    with Repo(str(workspace.root)) as repo:
        try:
            return int(repo.push())
        except DvcException as error:
            raise ConfigError(
                f"dvc push: {error}; name a remote by `dvc remote add --default NAME URL` and check its "
                "credentials, or leave `push` out"
            ) from error


def check_tag(tag: str, *, workspace: Workspace) -> None:
    """Raises ConfigError when `tag` is no name, or is there already."""
    if not _TAG.fullmatch(tag):
        raise ConfigError(f"tag: '{tag}' is no name of a tag; use letters, digits, '.', '_', '/' and '-'")
    if _git(workspace, "tag", "--list", tag):
        raise ConfigError(f"tag: '{tag}' is there already; give another, or delete it by `git tag -d {tag}`")


def tag_commit(tag: str, *, workspace: Workspace) -> None:
    """Tag the commit that is checked out. Raises ConfigError when dvc.lock says something else than it."""
    if _git(workspace, "status", "--porcelain", "--", "dvc.lock", "params.yaml"):
        raise ConfigError(
            f"tag: dvc.lock or params.yaml are not as committed, so a tag '{tag}' would not name this run; "
            "`git commit` them, then `git tag`"
        )
    _git(workspace, "tag", tag)


def _git(workspace: Workspace, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=workspace.root, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise ConfigError(
            f"git {arguments[0]}: {done.stderr.strip()}; run the flow in a clone of the project"
        )
    return done.stdout.strip()
