"""What a worker's process does before its first work, wherever in the cluster it runs."""

from __future__ import annotations

import importlib.metadata
import os
import pickle
import platform
import socket
from collections.abc import Callable, Mapping
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
    leases_dir: Path  # absolute; of the workspace, and there already
    environment: Mapping[str, str] = field(repr=False)
    versions: Mapping[str, str]

    @classmethod
    def here(cls, leases_dir: Path, *, environment: Mapping[str, str]) -> WorkerSetup:
        """Of workers for this process, with `environment` beside what all of them need of its own."""
        handed_on = {name: value for name, value in os.environ.items() if name.startswith(HANDED_ON)}
        return cls(
            directory=Path.cwd(),
            leases_dir=leases_dir.resolve(),
            environment={**handed_on, **environment},
            versions=versions_here(),
        )

    def begin(self, lease: Path) -> None:
        """Make this process a worker, for as long as its lease is there."""
        self.check()
        hold(lease)
        os.chdir(self.directory)
        os.environ.update(self.environment)

    def check(self) -> None:
        """Raises ConfigError when this machine cannot do the same work."""
        name = socket.gethostname()
        if not self.leases_dir.is_dir():
            raise ConfigError(
                f"runtime: the machine {name} of the Ray cluster does not see {self.leases_dir}; put the "
                "workspace into a folder that every machine of the cluster mounts under the same name"
            )
        here = versions_here()
        differing = [
            f"{key} {here[key]} instead of {wanted}"
            for key, wanted in self.versions.items()
            if here[key] != wanted
        ]
        if differing:
            raise ConfigError(
                f"runtime: the machine {name} of the Ray cluster would make other bytes, it runs "
                f"{', '.join(differing)}; install the same there (requirements.lock)"
            )


def outcome_of(begin: bytes, *, function: bytes) -> tuple[Callable[[bytes], bytes], bytes]:
    """Call the pickled `begin`; returns what applies the pickled `function` to items, and how it went.

    Outcomes are pickled results, or errors for the user: Ray would wrap these into its own.
    """
    begun = _outcome(pickle.loads(begin))  # noqa: S301 - all of it is of our own command
    apply = cache(lambda: pickle.loads(function))  # noqa: S301 - of use only where the beginning went well

    def apply_to(item: bytes) -> bytes:
        return _outcome(lambda: apply()(pickle.loads(item)))  # noqa: S301

    return apply_to, begun


def _outcome(function: Callable[[], object]) -> bytes:
    try:
        return pickle.dumps(function())
    except MCLDError as error:
        return pickle.dumps(error)


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
