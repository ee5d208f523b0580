"""The bucket that MLflow and DVC share: `python -m infra.stack.bucket`, in a shell that uses the store."""

from __future__ import annotations

import os
from pathlib import Path

from infra.stack.credentials import BUCKET, REGION, Credentials
from mcld.errors import MCLDError


def make_bucket(endpoint: str, *, credentials: Credentials) -> None:
    """Make it if it is not there yet. Raises MCLDError where the store refuses or does not answer."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    access_key, secret_key = credentials.store_key_pair()
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
    )
    try:
        if all(found["Name"] != BUCKET for found in client.list_buckets()["Buckets"]):
            client.create_bucket(Bucket=BUCKET)
    except (BotoCoreError, ClientError) as error:
        raise MCLDError(f"{endpoint}: the bucket {BUCKET} cannot be made: {error}") from error


if __name__ == "__main__":
    secrets = Path(os.environ.get("MCLD_SECRETS_DIR", "/run/secrets"))
    make_bucket(os.environ["AWS_ENDPOINT_URL_S3"], credentials=Credentials(directory=secrets))
