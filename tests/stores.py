"""Object storage in tests: one endpoint for all, a bucket and a script of faults for each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

import pytest

from mcld.storage.retries import Retries
from mcld.storage.s3 import S3Folder
from tests.s3_server import CREDENTIALS, S3Server, Script, faulty_server

QUICK = Retries(num_tries=4, base_delay_s=0.001, max_delay_s=0.002)
IMPATIENT = replace(QUICK, read_timeout_s=0.5)  # where something stalls
_numbers = count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """An empty folder in a bucket of its own. `script` is what will go wrong on the way to it."""

    bucket: str
    server: S3Server
    folder: S3Folder

    @property
    def script(self) -> Script:
        return self.server.script

    def opened_with(self, retries: Retries) -> S3Folder:
        """The same folder with other patience."""
        return S3Folder.at(self.folder.place, endpoint=self.server.endpoint, retries=retries)

    def put(self, name: str, data: bytes) -> None:
        """Write an object with a plain client, past all faults and without our metadata."""
        self.server.client().put_object(Bucket=self.bucket, Key=self.folder.key(name), Body=data)

    def names(self) -> set[str]:
        """What lies in the folder."""
        listed = self.server.client().list_objects_v2(Bucket=self.bucket).get("Contents", ())
        return {found["Key"].removeprefix("set/") for found in listed}


@pytest.fixture(scope="session")
def server() -> Iterator[S3Server]:
    with faulty_server() as running:
        yield running


@pytest.fixture
def store(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    for name in (
        "AWS_PROFILE",
        "AWS_SESSION_TOKEN",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_CA_BUNDLE",
    ):
        monkeypatch.delenv(name, raising=False)
    bucket = f"bucket-{next(_numbers)}"
    server.client().create_bucket(Bucket=bucket)
    server.script.begin()
    yield Store(
        bucket=bucket,
        server=server,
        folder=S3Folder.at(f"s3://{bucket}/set/", endpoint=server.endpoint, retries=QUICK),
    )
    server.script.released.set()
