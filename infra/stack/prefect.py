"""Prefect's server on PostgreSQL, and a worker for each work pool."""

from __future__ import annotations

import sys
import urllib.error
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

from infra.stack.asking import answers, ask
from infra.stack.credentials import Credentials
from infra.stack.postgres import database_url
from infra.stack.service import Service
from infra.stack.settings import HOST, Settings, StackError

POOLS = ("cpu", "gpu")
GPU_LIMIT = "gpu"  # what flows/run_stage.py waits for
PREFECT = (sys.executable, "-m", "prefect")


def prefect_server(
    settings: Settings, *, credentials: Credentials, environment: Mapping[str, str]
) -> Service:
    """Prefect's server on PostgreSQL, through asyncpg, which Prefect brings."""
    return Service(
        name="prefect",
        command=[*PREFECT, "server", "start", f"--host={HOST}", f"--port={settings.prefect_port}"],
        environment={
            **environment,
            "PREFECT_HOME": str(settings.state_dir / "prefect"),
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": database_url(
                settings.state_dir / "postgres", driver="asyncpg", name="prefect"
            ),
            "PGPASSFILE": str(credentials.database_passwords),
            # Prefect allows every page in the world to call its API from a browser here; only its own may.
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": settings.prefect_url,
        },
        address=settings.prefect_url,
        is_ready=lambda: answers(f"{settings.prefect_url}/api/health"),
        prepare=lambda: make_gpu_limit(settings),
        needs=("postgres",),
    )


def make_gpu_limit(settings: Settings) -> None:
    """Let as many stages compute with a model at once as there are GPUs. A limit that exists stays."""
    limit = {"name": GPU_LIMIT, "limit": settings.num_gpus}
    try:
        ask(f"{settings.prefect_url}/api/v2/concurrency_limits/", body=limit)
    except urllib.error.HTTPError as error:
        if error.code != 409:  # it is there
            raise StackError(
                f"{settings.prefect_url}: no limit '{GPU_LIMIT}' can be made: {error}"
            ) from error


def worker(pool: str, *, settings: Settings, environment: Mapping[str, str]) -> Service:
    """A worker that runs flows as processes in the checkout. It makes its work pool if there is none."""
    name = f"stack-{pool}"
    started = datetime.now(UTC)
    return Service(
        name=f"worker-{pool}",
        command=[*PREFECT, "worker", "start", "--pool", pool, "--type", "process", "--name", name],
        environment={
            **environment,
            "PREFECT_HOME": str(settings.state_dir / "prefect"),
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "PREFECT_LOGGING_EXTRA_LOGGERS": "mcld",
        },
        address=f"work pool {pool}",
        is_ready=lambda: _has_called(settings, pool=pool, name=name, since=started),
        needs=("prefect",),
    )


def _has_called(settings: Settings, *, pool: str, name: str, since: datetime) -> bool:
    try:
        found = ask(f"{settings.prefect_url}/api/work_pools/{pool}/workers/filter", body={})
    except OSError:  # no such pool yet
        return False
    found = cast("list[dict[str, Any]]", found)
    beats = [datetime.fromisoformat(one["last_heartbeat_time"]) for one in found if one["name"] == name]
    return any(beat >= since for beat in beats)
