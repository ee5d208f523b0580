"""Prefect's server on PostgreSQL, and a worker for each work pool."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

from infra.stack.asking import answers, ask
from infra.stack.credentials import Credentials
from infra.stack.postgres import database_host
from infra.stack.service import Service, entrypoint
from infra.stack.settings import HOST, Settings


def prefect_server(
    settings: Settings, *, credentials: Credentials, environment: Mapping[str, str]
) -> Service:
    """Prefect's server on PostgreSQL, through asyncpg, which Prefect brings."""
    return Service(
        name="prefect",
        command=entrypoint("prefect-server.sh"),
        environment={
            **environment,
            "PREFECT_HOME": str(settings.state_dir / "prefect"),
            "MCLD_PORT": str(settings.prefect_port),
            "MCLD_POSTGRES_HOST": database_host(settings.state_dir / "postgres"),
            "MCLD_SECRETS_DIR": str(credentials.directory),
            # Prefect lets every page in the world call its API from a browser here; only its own may.
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(
                f"http://{name}:{settings.prefect_port}" for name in (HOST, "localhost")
            ),
        },
        address=settings.prefect_url,
        is_ready=lambda: answers(f"{settings.prefect_url}/api/health"),
        needs=("postgres",),
    )


def worker(pool: str, *, settings: Settings, environment: Mapping[str, str]) -> Service:
    """A worker that runs flows as processes in the checkout. It makes its work pool if there is none."""
    name = f"stack-{pool}"
    started = datetime.now(UTC)
    return Service(
        name=f"worker-{pool}",
        command=entrypoint("worker.sh", pool),
        environment={
            **environment,
            "PREFECT_HOME": str(settings.state_dir / "prefect"),
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "MCLD_WORKER_NAME": name,
        },
        address=f"work pool {pool}",
        is_ready=lambda: _has_called(settings, pool=pool, name=name, since=started),
        needs=("prefect",),
        has_work=True,  # a worker that ends kills its flow runs without a word to the server
    )


def _has_called(settings: Settings, *, pool: str, name: str, since: datetime) -> bool:
    try:
        found = ask(f"{settings.prefect_url}/api/work_pools/{pool}/workers/filter", body={})
    except OSError:  # no such pool yet
        return False
    found = cast("list[dict[str, Any]]", found)
    beats = [datetime.fromisoformat(one["last_heartbeat_time"]) for one in found if one["name"] == name]
    return any(beat >= since for beat in beats)
