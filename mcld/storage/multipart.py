"""Send a big file to an object store in parts, and go on where an earlier attempt was killed."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

from mcld.errors import StorageError
from mcld.storage.s3 import SHA256_FIELD, S3Bucket
from mcld.storage.threads import in_threads

MAX_PARTS = 1000  # of one listing; the store allows ten times as many


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferSettings:
    """Bytes of a part, and how many parts are under way at once; memory is the product of both."""

    part_bytes: int = 16 << 20  # Amazon takes no part under 5 MiB, but the last
    num_threads: int = 8


DEFAULT_TRANSFER = TransferSettings()


def put_bytes(data: bytes, *, bucket: S3Bucket, key: str, sha256: str) -> None:
    """Write a small object in one request. Raises as `S3Bucket.call` does."""
    bucket.call(
        lambda client: client.put_object(
            Bucket=bucket.name,
            Key=key,
            Body=data,
            ContentMD5=_md5_header(data),
            Metadata={SHA256_FIELD: sha256},
        ),
        key=key,
    )


def upload_in_parts(
    path: Path, *, bucket: S3Bucket, key: str, sha256: str, settings: TransferSettings
) -> None:
    """Write a big object. Parts of an earlier attempt are kept if they hold the same bytes.

    What cannot be continued is aborted, so that it does not go on costing money. Raises StorageError as
    `S3Bucket.call` does, with the parts kept for a repetition.
    """
    parts = _Parts.of(path, settings=settings)
    upload_id, done = _begun_upload(parts, bucket=bucket, key=key)
    if upload_id is not None:
        _send(parts, bucket=bucket, key=key, upload_id=upload_id, done=done, settings=settings)
        facts = bucket.facts(key)
        if facts is not None and facts.sha256 == sha256:
            return
        # It was begun for another file that has the same first parts, and carries that one's sha256.
    created = bucket.call(
        lambda client: client.create_multipart_upload(
            Bucket=bucket.name, Key=key, Metadata={SHA256_FIELD: sha256}
        ),
        key=key,
    )
    _send(parts, bucket=bucket, key=key, upload_id=created["UploadId"], done={}, settings=settings)


def abort_uploads(*, bucket: S3Bucket, prefix: str) -> None:
    """End all uploads that were begun under a prefix and never finished. Raises as `S3Bucket.call` does."""
    found = bucket.call(
        lambda client: client.list_multipart_uploads(Bucket=bucket.name, Prefix=prefix), key=prefix
    )
    for upload in found.get("Uploads", ()):
        _abort(upload["UploadId"], bucket=bucket, key=upload["Key"])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """How a file is cut. Parts are numbered from 1, as the store does."""

    path: Path
    num_bytes: int
    part_bytes: int

    @classmethod
    def of(cls, path: Path, *, settings: TransferSettings) -> _Parts:
        num_bytes = path.stat().st_size
        return cls(
            path=path,
            num_bytes=num_bytes,
            part_bytes=max(settings.part_bytes, -(-num_bytes // MAX_PARTS)),
        )

    @property
    def numbers(self) -> range:
        return range(1, -(-self.num_bytes // self.part_bytes) + 1)

    def read(self, number: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek((number - 1) * self.part_bytes)
            return file.read(self.part_bytes)

    def is_sent(self, number: int, *, etag: str) -> bool:
        """Whether the store's part holds these bytes; its tag is their MD5, unless the store encrypts."""
        return number in self.numbers and etag.strip('"') == _md5(self.read(number)).hex()


def _begun_upload(parts: _Parts, *, bucket: S3Bucket, key: str) -> tuple[str | None, dict[int, str]]:
    """An upload of this file that is under way, and the tags of its parts; all others of this key end."""
    found = bucket.call(lambda client: client.list_multipart_uploads(Bucket=bucket.name, Prefix=key), key=key)
    chosen: tuple[str | None, dict[int, str]] = (None, {})
    for upload_id in (upload["UploadId"] for upload in found.get("Uploads", ()) if upload["Key"] == key):
        sent = _sent_parts(upload_id, bucket=bucket, key=key)
        is_ours = bool(sent) and all(parts.is_sent(number, etag=etag) for number, etag in sent.items())
        if is_ours and len(sent) > len(chosen[1]):
            upload_id, chosen = chosen[0], (upload_id, sent)
        if upload_id is not None:
            _abort(upload_id, bucket=bucket, key=key)
    return chosen


def _sent_parts(upload_id: str, *, bucket: S3Bucket, key: str) -> dict[int, str]:
    listed = bucket.call(
        lambda client: client.list_parts(Bucket=bucket.name, Key=key, UploadId=upload_id, MaxParts=MAX_PARTS),
        key=key,
    )
    return {part["PartNumber"]: part["ETag"] for part in listed.get("Parts", ())}


def _abort(upload_id: str, *, bucket: S3Bucket, key: str) -> None:
    bucket.call(
        lambda client: client.abort_multipart_upload(Bucket=bucket.name, Key=key, UploadId=upload_id),
        key=key,
    )


def _send(
    parts: _Parts,
    *,
    bucket: S3Bucket,
    key: str,
    upload_id: str,
    done: dict[int, str],
    settings: TransferSettings,
) -> None:
    def send(number: int) -> str:
        data = parts.read(number)
        answer = bucket.call(
            lambda client: client.upload_part(
                Bucket=bucket.name,
                Key=key,
                UploadId=upload_id,
                PartNumber=number,
                Body=data,
                ContentMD5=_md5_header(data),
            ),
            key=key,
        )
        return str(answer["ETag"])

    missing = [number for number in parts.numbers if number not in done]
    tags = done | dict(zip(missing, in_threads(send, missing, num_threads=settings.num_threads), strict=True))
    listed = [{"PartNumber": number, "ETag": tags[number]} for number in parts.numbers]
    _complete(listed, bucket=bucket, key=key, upload_id=upload_id, num_bytes=parts.num_bytes)


def _complete(
    listed: list[dict[str, object]], *, bucket: S3Bucket, key: str, upload_id: str, num_bytes: int
) -> None:
    try:
        bucket.call(
            lambda client: client.complete_multipart_upload(
                Bucket=bucket.name, Key=key, UploadId=upload_id, MultipartUpload={"Parts": listed}
            ),
            key=key,
        )
    except StorageError:
        # Done, if the answer to the first try was lost and the second found the upload ended.
        facts = bucket.facts(key)
        if facts is None or facts.num_bytes != num_bytes:
            raise


def _md5_header(data: bytes) -> str:
    """The store compares it with what arrived."""
    return b64encode(_md5(data)).decode()


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()
