"""Objects of an S3-compatible store: failures that pass are waited for, the others are told at once.

Lengths are always verified: a body that was cut is continued where it was cut, and only from the same version
of the object. The endpoint is an argument, or boto3's own (AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from mcld.errors import ConfigError, DataError, MCLDError, StorageError
from mcld.storage.addresses import without_credentials
from mcld.storage.retries import DEFAULT_RETRIES, Retries
from mcld.storage.s3_errors import code_of, credential_source, explained, failures, given_up, is_transient

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from botocore.session import Session

T = TypeVar("T")
CHUNK_BYTES = 1 << 16  # read at once; what a body that goes silent loses at most
MAX_CONNECTIONS = 32
SHA256_FIELD = "sha256"  # of an object's metadata
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectFacts:
    """What the store says of an object. `sha256` is None when whoever wrote the object did not say."""

    num_bytes: int
    etag: str
    sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Connection:
    """A client, with the session that knows where its credentials come from."""

    client: BaseClient
    session: Session


@dataclass(frozen=True, slots=True)
class S3Bucket:
    """One bucket. Threads may share it; a process that it is sent to makes connections of its own."""

    name: str
    endpoint: str | None = None
    retries: Retries = DEFAULT_RETRIES
    # By process id: a forked process must not write to its parent's sockets. No lock, which a fork could copy
    # while it is held: threads that begin at the same moment may each make a client, and one is kept.
    _connections: dict[int, _Connection] = field(default_factory=dict, init=False, compare=False, repr=False)

    def __reduce__(self) -> tuple[type[S3Bucket], tuple[str, str | None, Retries]]:
        return (S3Bucket, (self.name, self.endpoint, self.retries))

    def place(self, key: str | None) -> str:
        """The address of an object, or of the bucket."""
        return f"s3://{self.name}" if key is None else f"s3://{self.name}/{key}"

    def call(self, request: Callable[[BaseClient], T], *, key: str | None) -> T:
        """`request(client)`, repeated while it fails in a way that passes.

        Raises DataError when the object is missing, StorageError when the store refuses or too many tries
        have failed.
        """
        num_failed = 0
        while True:
            try:
                return request(self._connection(key).client)
            except failures() as error:
                num_failed += 1
                self._pause_or_raise(error, key=key, num_failed=num_failed)

    def facts(self, key: str) -> ObjectFacts | None:
        """What the store says of an object; None when it is missing. Raises StorageError as `call` does."""
        try:
            answer = self.call(lambda client: client.head_object(Bucket=self.name, Key=key), key=key)
        except DataError:
            self._check_exists()  # an answer to HEAD has no body to say whether the bucket is missing
            return None
        return ObjectFacts(
            num_bytes=answer["ContentLength"],
            etag=answer["ETag"],
            sha256=answer["Metadata"].get(SHA256_FIELD),
        )

    def chunks(
        self, key: str, *, offset: int = 0, end: int | None = None, etag: str | None = None
    ) -> Iterator[bytes]:
        """Bytes `offset` to `end` (or the object's end, if that comes first), of the version `etag` if given.

        Raises as `call` does, and StorageError when the object is replaced meanwhile.
        """
        position, num_failed = offset, 0
        while True:
            try:
                answer = self._open(key, offset=position, end=end, etag=etag)
                if answer is None:
                    return
                etag = answer["ETag"]
                end = self._end_of(answer, key=key, offset=position, end=end)
                with closing(answer["Body"]) as body:
                    while position < end and (chunk := body.read(min(CHUNK_BYTES, end - position))):
                        position += len(chunk)
                        yield chunk
                if position == end:
                    return
                raise ConnectionError("the body was cut")
            except failures() as error:
                num_failed += 1
                self._pause_or_raise(error, key=key, num_failed=num_failed)

    def keys(self, prefix: str) -> list[str]:
        """Keys of all objects whose key begins with `prefix`. Raises StorageError as `call` does."""
        found: list[str] = []
        after: dict[str, str] = {}
        while True:
            page = self._listed(prefix, after=after)
            found += [entry["Key"] for entry in page.get("Contents", ())]
            if not page.get("IsTruncated"):
                return found
            after = {"ContinuationToken": page["NextContinuationToken"]}

    def _listed(self, prefix: str, *, after: dict[str, str]) -> dict[str, Any]:
        def ask(client: BaseClient) -> dict[str, Any]:
            answer: dict[str, Any] = client.list_objects_v2(Bucket=self.name, Prefix=prefix, **after)
            return answer

        return self.call(ask, key=None)

    def remove(self, key: str) -> None:
        """Delete an object, if it is there. Raises StorageError as `call` does."""
        self.call(lambda client: client.delete_object(Bucket=self.name, Key=key), key=key)

    def _open(self, key: str, *, offset: int, end: int | None, etag: str | None) -> dict[str, Any] | None:
        """The answer to a ranged request; None when the object has no byte there."""
        span = {"Range": f"bytes={offset}-{'' if end is None else end - 1}"}
        same = {} if etag is None else {"IfMatch": etag}
        client = self._connection(key).client
        try:
            answer: dict[str, Any] = client.get_object(Bucket=self.name, Key=key, **span, **same)
        except client.exceptions.ClientError as error:
            if code_of(error) == "InvalidRange":
                return None
            raise
        return answer

    def _end_of(self, answer: dict[str, Any], *, key: str, offset: int, end: int | None) -> int:
        """Where the bytes asked for end, once it is known how long the object is."""
        if "ContentRange" not in answer and offset == 0 and end is None:
            return int(answer["ContentLength"])  # all was asked for, and some stores then say no range
        found = _CONTENT_RANGE.fullmatch(answer.get("ContentRange", ""))
        if found is None or int(found[1]) != offset:
            answer["Body"].close()
            raise StorageError(
                f"{self.place(key)}: byte {offset} on was asked for, the store sent "
                f"'{answer.get('ContentRange', 'all of it')}'; this store cannot be read in ranges"
            )
        total = int(found[3])
        return total if end is None else min(end, total)

    def _check_exists(self) -> None:
        """Raises StorageError when there is no such bucket; passes where one may not ask."""
        from botocore.exceptions import ClientError

        def ask(client: BaseClient) -> None:
            try:
                client.head_bucket(Bucket=self.name)
            except ClientError as error:
                if code_of(error) not in ("403", "AccessDenied"):
                    raise

        self.call(ask, key=None)

    def _pause_or_raise(self, error: Exception, *, key: str | None, num_failed: int) -> None:
        place = self.place(key)
        if not is_transient(error):
            raise self._explained(error, key=key) from error
        if num_failed >= self.retries.num_tries:
            endpoint = self._connection(key).client.meta.endpoint_url
            raise given_up(error, place=place, num_tries=num_failed, endpoint=endpoint) from error
        self.retries.pause(num_failed)

    def _explained(self, error: Exception, *, key: str | None) -> MCLDError:
        connection = self._connection(key)
        return explained(
            error,
            place=self.place(key),
            has_key=key is not None,
            endpoint=connection.client.meta.endpoint_url,
            credentials=credential_source(connection.session),
        )

    def _connection(self, key: str | None) -> _Connection:
        """This process's connection. Raises StorageError when the machine's AWS settings do not allow one."""
        found = self._connections.get(os.getpid())
        if found is not None:
            return found
        from botocore.exceptions import BotoCoreError

        try:
            made = _connect(self.endpoint, retries=self.retries)
        except (BotoCoreError, ValueError) as error:  # an unknown profile; an endpoint that is no address
            said = without_credentials(str(error))
            raise StorageError(f"{self.place(key)}: {said}; correct this machine's AWS settings") from error
        return self._connections.setdefault(os.getpid(), made)


@dataclass(frozen=True, slots=True)
class S3Folder:
    """The objects under a prefix of a bucket, read by name."""

    bucket: S3Bucket
    prefix: str  # without slashes at its ends; empty for all of the bucket

    @classmethod
    def at(cls, place: str, *, endpoint: str | None = None, retries: Retries = DEFAULT_RETRIES) -> S3Folder:
        """The folder at `s3://bucket/prefix`. Raises ConfigError when the address names no bucket."""
        scheme, _, rest = place.partition("://")
        bucket, _, prefix = rest.partition("/")
        if "@" in bucket:
            raise ConfigError(
                f"{without_credentials(place)}: an address in an object store holds no name and password; "
                "give them as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
            )
        if scheme != "s3" or not bucket:
            raise ConfigError(f"{place}: not an address in an object store; write s3://bucket/prefix")
        return cls(S3Bucket(bucket, endpoint, retries), prefix.strip("/"))

    @property
    def place(self) -> str:
        """The folder's address."""
        return self.bucket.place(self.prefix or None)

    def key(self, name: str) -> str:
        """A file's key in the bucket."""
        return f"{self.prefix}/{name}" if self.prefix else name

    def facts(self, name: str) -> ObjectFacts | None:
        """What the store says of a file; None when it is missing. Raises StorageError as `read` does."""
        return self.bucket.facts(self.key(name))

    def below(self, name: str) -> S3Folder:
        """A folder in this one."""
        return S3Folder(self.bucket, self.key(name))

    def names(self) -> list[str]:
        """Of all files, those in folders below too. Raises StorageError as `read` does."""
        start = self.key("")
        return [key.removeprefix(start) for key in self.bucket.keys(start)]

    def size(self, name: str) -> int | None:
        """Bytes of a file; None when there is no such file. Raises StorageError as `read` does."""
        facts = self.facts(name)
        return None if facts is None else facts.num_bytes

    def read(self, name: str) -> bytes:
        """All of a file.

        Raises DataError when it is missing, StorageError when the store refuses or goes on failing.
        """
        return b"".join(self.bucket.chunks(self.key(name)))

    def read_range(self, name: str, *, offset: int, num_bytes: int) -> bytes:
        """A part of a file, less where the file ends. Raises as `read` does."""
        if num_bytes <= 0:
            return b""
        return b"".join(self.bucket.chunks(self.key(name), offset=offset, end=offset + num_bytes))


def _connect(endpoint: str | None, *, retries: Retries) -> _Connection:
    import boto3
    import botocore.session
    from botocore.config import Config

    session = botocore.session.Session()
    settings = Config(
        connect_timeout=retries.connect_timeout_s,
        read_timeout=retries.read_timeout_s,
        retries={"total_max_attempts": 1},  # ours also continue bodies that were cut
        max_pool_connections=MAX_CONNECTIONS,
        # The checksums that boto3 adds by default are not understood by every compatible store.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    maker = boto3.session.Session(botocore_session=session)
    client = maker.client("s3", endpoint_url=endpoint, config=settings)
    if not _is_amazons(client.meta.endpoint_url) and not _has_addressing_style(session):
        # Compatible stores seldom have a host name for every bucket.
        by_path = settings.merge(Config(s3={"addressing_style": "path"}))
        client = maker.client("s3", endpoint_url=endpoint, config=by_path)
    return _Connection(client=client, session=session)


def _is_amazons(endpoint: str) -> bool:
    return re.search(r"\.amazonaws\.com(\.cn)?(:\d+)?/?$", endpoint) is not None


def _has_addressing_style(session: Session) -> bool:
    """Whether the user's AWS config file says how buckets are addressed."""
    return "addressing_style" in (session.get_scoped_config().get("s3") or {})
