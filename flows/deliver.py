"""After a pipeline: copies for others. What DVC tracks goes to its remote, the commit gets a name."""

from __future__ import annotations

import re
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc_data.hashfile.db import get_index

from flows.remote_store import (
    Remote,
    StageAtRemote,
    check_writable,
    default_remote,
    forget_lists,
    missing,
    stages_at,
)
from mcld.errors import ConfigError, StorageError
from mcld.storage.addresses import without_credentials
from mcld.storage.s3_errors import failures

if TYPE_CHECKING:
    from mcld.workspace import Workspace

_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,99}")


def push(*, workspace: Workspace) -> int:
    """Push all stage outputs to DVC's default remote, until it holds them all; returns how many files went.

    What a push that was cut has sent stays, and is not sent again. Raises ConfigError when there is no
    remote, StorageError when it refuses, or lacks files that are not here either.
    """
    with Repo(str(workspace.root)) as repo:
        remote = default_remote(repo)
        check_writable(remote)  # before hundreds of files are refused one by one
        num_sent = _push(repo, remote=remote)
        if torn := _torn(remote, repo=repo):
            # DVC trusts what it remembers to have sent: objects that were lost since are not sent again.
            forget_lists(torn, remote=remote)
            with closing(get_index(repo.cloud.get_remote_odb())) as index:
                index.clear()
            num_sent += _push(repo, remote=remote)
        if torn := _torn(remote, repo=repo):
            raise StorageError(f"{remote.url}: {missing(torn)}")
    return num_sent


def _push(repo: Repo, *, remote: Remote) -> int:
    try:
        return int(repo.push())
    except (DvcException, *failures()) as error:
        check_writable(remote)  # says better than DVC what is wrong, if it still is
        said = without_credentials(" ".join(str(error).split()))
        raise StorageError(
            f"{remote.url}: dvc push: {said}; repeat it: what has been sent stays there"
        ) from error


def _torn(remote: Remote, *, repo: Repo) -> list[StageAtRemote]:
    return [stage for stage in stages_at(remote, repo=repo) if stage.num_missing]


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
