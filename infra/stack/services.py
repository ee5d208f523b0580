"""The services of the team, each after those that it needs, and what shells and services are told of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from infra.stack.asking import answers
from infra.stack.credentials import BUCKET, REGION, Credentials
from infra.stack.postgres import database_host, postgres
from infra.stack.prefect import prefect_server, worker
from infra.stack.prefect_setup import POOLS
from infra.stack.service import Service, entrypoint
from infra.stack.settings import Settings
from infra.stack.store import object_store

# What must not reach the services from the shell they are started in: they have settings of their own.
FOREIGN = ("PREFECT_", "MLFLOW_", "AWS_", "PG", "WEED_", "S3_")
QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "1",
    "PYTHONUNBUFFERED": "1",  # so that a log says all when its process dies
}


def base_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What every service gets: the shell's environment without other services' settings, quiet."""
    own = {name: value for name, value in environment.items() if not name.startswith(FOREIGN)}
    path = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", os.defpath)])
    return own | QUIET | {"PATH": path}


def client_environment(settings: Settings, *, credentials: Credentials) -> dict[str, str]:
    """What a shell needs to use the stack. No secret: the keys are in a file that it names."""
    return {
        "MLFLOW_TRACKING_URI": settings.mlflow_url,
        "PREFECT_API_URL": f"{settings.prefect_url}/api",
        "AWS_ENDPOINT_URL_S3": settings.store_url,
        "AWS_SHARED_CREDENTIALS_FILE": str(credentials.store_keys),
        "AWS_DEFAULT_REGION": REGION,
    }


def services(
    settings: Settings, *, credentials: Credentials, environment: Mapping[str, str]
) -> list[Service]:
    """All services, each after those that it needs."""
    base = base_environment(environment)
    client = client_environment(settings, credentials=credentials)
    return [
        postgres(settings.state_dir / "postgres", credentials=credentials, environment=base),
        object_store(settings, credentials=credentials, environment=base),
        mlflow_server(settings, credentials=credentials, environment=base | client),
        prefect_server(settings, credentials=credentials, environment=base),
        *(worker(pool, settings=settings, environment=base | client) for pool in POOLS),
    ]


def mlflow_server(settings: Settings, *, credentials: Credentials, environment: Mapping[str, str]) -> Service:
    """MLflow on PostgreSQL. Artifacts pass through it to the store, so its clients need no keys."""
    return Service(
        name="mlflow",
        command=entrypoint("mlflow.sh"),
        environment={name: value for name, value in environment.items() if name != "MLFLOW_TRACKING_URI"}
        | {
            "MCLD_PORT": str(settings.mlflow_port),
            "MCLD_POSTGRES_HOST": database_host(settings.state_dir / "postgres"),
            "MCLD_SECRETS_DIR": str(credentials.directory),
            "MCLD_BUCKET": BUCKET,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # nobody asks for its jobs, and they take seconds
        },
        address=settings.mlflow_url,
        is_ready=lambda: answers(f"{settings.mlflow_url}/health"),
        needs=("postgres", "store"),
    )
