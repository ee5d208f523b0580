"""What a worker's process does before its first work, wherever in the cluster it runs."""

from __future__ import annotations

import importlib.metadata
import os
import pickle
import platform
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import mcld
from mcld.cluster.leases import hold
from mcld.errors import ConfigError, MCLDError
from mcld.storage import fingerprint, sha256_of_file

CODE_DIR = Path(mcld.__file__).resolve().parents[1]
# Of the command's environment: passwords of data sets, credentials of stores, and what tests set.
HANDED_ON = ("MCLD_", "AWS_", "MLFLOW_")
# What shapes the bytes of a part, besides our own code.
PACKAGES = ("torch", "numpy", "opencv-python", "pillow", "diffusers", "transformers")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSetup:
    """What makes a process of another machine one of this command's workers.

    Travels as an argument, never as part of Ray's own description of a job: pages and logs show that.
    """

    directory: Path  # absolute; the command's working directory, under this name on every machine
    lease: Path  # absolute
    environment: Mapping[str, str] = field(repr=False)
    versions: Mapping[str, str]

    def begin(self) -> None:
        """Make this process a worker. Raises ConfigError when its machine cannot do the same work."""
        if not self.lease.is_file():
            raise ConfigError(
                f"runtime.mapper: the machine {socket.gethostname()} does not see {self.lease.parent}; put "
                "the workspace into a folder that every machine of the cluster mounts under the same name"
            )
        hold(self.lease)
        _check(self.versions)
        os.chdir(self.directory)
        os.environ.update(self.environment)


def apply(work: bytes) -> bytes:
    """Carry out a pickled (function, arguments) of our own command; returns the pickled result.

    Errors for the user are results too: Ray would wrap them into its own.
    """
    function, arguments = pickle.loads(work)  # noqa: S301
    try:
        return pickle.dumps(function(*arguments))
    except MCLDError as error:
        return pickle.dumps(error)


def environment_for_workers(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables of this process that workers elsewhere need as well."""
    return {name: value for name, value in environment.items() if name.startswith(HANDED_ON)}


@cache
def versions_here() -> dict[str, str]:
    """What this process runs: a hash of our code, and the packages that shape its output."""
    files = {
        path.relative_to(CODE_DIR).as_posix(): sha256_of_file(path)
        for path in (CODE_DIR / mcld.__name__).rglob("*.py")
    }
    versions = {name: _version(name) for name in PACKAGES}
    return {"mcld": fingerprint(files)[:12], "python": platform.python_version(), **versions}


def _version(package: str) -> str:
    """Without the build: a head without a GPU may do with another one."""
    try:
        return importlib.metadata.version(package).partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def _check(wanted: Mapping[str, str]) -> None:
    here = versions_here()
    differing = [
        f"{name} {here[name]} instead of {wanted[name]}" for name in wanted if here[name] != wanted[name]
    ]
    if differing:
        raise ConfigError(
            f"runtime.mapper: the machine {socket.gethostname()} would make other bytes, it runs "
            f"{', '.join(differing)}; install the same there (requirements.lock)"
        )
