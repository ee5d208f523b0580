"""`make remote`: say where DVC's remote is, see whether one can write there, and tell what it holds.

    MCLD_REMOTE_URL=s3://bucket/dvc MCLD_REMOTE_ENDPOINT=http://127.0.0.1:9000 make remote
    make remote                                                               of the one that is there already

The address goes into .dvc/config.local, which git ignores; credentials stay in the environment (AWS_PROFILE,
or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), from where DVC takes them as we do.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

from dvc.repo import Repo

from flows.deliver import push
from flows.remote_store import (
    Remote,
    StageAtRemote,
    check_writable,
    default_remote,
    missing,
    remote_at,
    stages_at,
)
from mcld.errors import ConfigError, MCLDError
from mcld.storage.addresses import without_credentials
from mcld.workspace import Workspace

NAME = "storage"
URL_VARIABLE = "MCLD_REMOTE_URL"
ENDPOINT_VARIABLES = ("MCLD_REMOTE_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
EXIT_USER_ERROR = 2


def set_up_remote(*, workspace: Workspace, environment: Mapping[str, str]) -> str:
    """Name the remote as the environment says, if it does, and check it; returns what to say.

    Raises ConfigError when there is no remote or an address holds a password, StorageError when it refuses.
    """
    with Repo(str(workspace.root)) as repo:
        if url := environment.get(URL_VARIABLE):
            endpoint = next((environment[name] for name in ENDPOINT_VARIABLES if environment.get(name)), None)
            _name(url, endpoint=endpoint, repo=repo)
        else:
            check_writable(default_remote(repo))
    with Repo(str(workspace.root)) as repo:
        remote = default_remote(repo)
        return describe(remote, stages=stages_at(remote, repo=repo))


def describe(remote: Remote, *, stages: Sequence[StageAtRemote]) -> str:
    """What a remote holds of this clone's dvc.lock, and what to do next."""
    if remote.folder is None:
        return f"{remote.name}: {remote.url}: not checked, DVC alone knows how to ask it"
    head = f"{remote.name}: {remote.url}: can be written"
    if not stages:
        return f"{head}; dvc.lock records nothing yet: `dvc repro`, then `dvc push`"
    torn = [stage for stage in stages if stage.num_missing]
    if not torn:
        return (
            f"{head}; all {len(stages)} recorded outputs are there: `dvc pull` in another clone brings them"
        )
    if len(torn) == len(stages) and all(stage.num_missing == stage.num_files for stage in torn):
        return f"{head}; none of the {len(stages)} recorded outputs is there: `dvc push` where they were made"
    return f"{head}; {missing(torn)}"


def _name(url: str, *, endpoint: str | None, repo: Repo) -> None:
    for variable, address in ((URL_VARIABLE, url), (ENDPOINT_VARIABLES[0], endpoint)):
        if address is not None and address != without_credentials(address):
            raise ConfigError(
                f"{variable}: {without_credentials(address)} must hold no name and password: it goes into "
                ".dvc/config.local; give them as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
            )
    settings = {"url": url} if endpoint is None else {"url": url, "endpointurl": endpoint}
    check_writable(remote_at(url, name=NAME, settings=settings))  # before the config speaks of it
    with repo.config.edit("local") as config:
        config["remote"][NAME] = settings
        config["core"]["remote"] = NAME


def main(arguments: Sequence[str]) -> None:
    """Without arguments set up and check; `push` sends what the store lacks, whatever DVC remembers."""
    try:
        if list(arguments) not in ([], ["push"]):
            raise ConfigError(f"{' '.join(arguments)}: not known; give nothing, or push")
        if arguments:
            sys.stdout.write(f"{push(workspace=Workspace())} files sent\n")
        sys.stdout.write(f"{set_up_remote(workspace=Workspace(), environment=os.environ)}\n")
    except MCLDError as error:
        sys.stderr.write(f"mcld: {error}\n")
        sys.exit(EXIT_USER_ERROR)


if __name__ == "__main__":
    main(sys.argv[1:])
