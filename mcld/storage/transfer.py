"""Send files to an object store and fetch them, verified by sha256; a repeated call skips what is there.

An object carries its file's sha256 as metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mcld.errors import DamagedError, DataError, StorageError
from mcld.progress import track
from mcld.storage.files import atomic_path, sha256_of_file
from mcld.storage.multipart import DEFAULT_TRANSFER, TransferSettings, put_bytes, upload_in_parts
from mcld.storage.s3 import ObjectFacts, S3Folder
from mcld.storage.threads import in_threads


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferSummary:
    """How many files were sent, of how many bytes, and how many were there already."""

    num_sent: int
    num_bytes: int
    num_skipped: int


def upload_file(
    path: Path,
    *,
    folder: S3Folder,
    name: str,
    sha256: str | None = None,
    settings: TransferSettings = DEFAULT_TRANSFER,
) -> bool:
    """Send a file; False when the store has it already. `sha256` is what it must have, if that is known.

    Raises DataError when the file is missing or another one, StorageError as `S3Bucket.call` does.
    """
    if not path.is_file():
        raise DataError(f"{path}: not found, so it cannot be sent to {folder.place}")
    num_bytes = path.stat().st_size
    found = folder.facts(name)
    if sha256 is not None and _holds(found, num_bytes=num_bytes, sha256=sha256):
        return False
    ours = sha256_of_file(path)
    if sha256 is not None and ours != sha256:
        raise DataError(
            f"{path}: damaged: sha256 {ours[:12]}…, expected {sha256[:12]}…; nothing was sent; "
            "run its stage again"
        )
    if _holds(found, num_bytes=num_bytes, sha256=ours):
        return False
    if num_bytes <= settings.part_bytes:
        put_bytes(path.read_bytes(), bucket=folder.bucket, key=folder.key(name), sha256=ours)
    else:
        upload_in_parts(path, bucket=folder.bucket, key=folder.key(name), sha256=ours, settings=settings)
    if not _holds(folder.facts(name), num_bytes=num_bytes, sha256=ours):
        raise StorageError(
            f"{folder.place}/{name}: was sent, but the store does not show it with its {num_bytes} bytes and "
            "sha256; does something else write there? Repeat the command"
        )
    return True


def upload_folder(
    directory: Path,
    *,
    files: Mapping[str, str],  # name to sha256
    folder: S3Folder,
    settings: TransferSettings = DEFAULT_TRANSFER,
) -> TransferSummary:
    """Send files of a folder in the order given; repeat it to resume. Raises as `upload_file`."""
    num_sent = num_bytes = 0
    for name in track(files, description=f"sending to {folder.place}", total=len(files)):
        path = directory / name
        if upload_file(path, folder=folder, name=name, sha256=files[name], settings=settings):
            num_sent += 1
            num_bytes += path.stat().st_size
    return TransferSummary(num_sent=num_sent, num_bytes=num_bytes, num_skipped=len(files) - num_sent)


def download_file(
    path: Path,
    *,
    folder: S3Folder,
    name: str,
    sha256: str | None = None,
    settings: TransferSettings = DEFAULT_TRANSFER,
) -> bool:
    """Fetch a file whole or not at all; False when `path` is that file already.

    `sha256` is what it must have; without it, what the object says of itself. Raises DataError when the
    object is missing or `path` cannot be written, DamagedError when its bytes are others, StorageError when
    the store fails.
    """
    place = f"{folder.place}/{name}"
    facts = folder.facts(name)
    if facts is None:
        raise DataError(f"{place}: not found; check the address, or push it there")
    expected = sha256 or facts.sha256
    if expected is None:
        raise StorageError(f"{place}: carries no sha256, so it cannot be verified; push it with mcld")
    if path.is_file() and path.stat().st_size == facts.num_bytes and sha256_of_file(path) == expected:
        return False
    with atomic_path(path) as temporary:
        _fetch(temporary, folder=folder, name=name, facts=facts, settings=settings)
        found = sha256_of_file(temporary)
        if found != expected:
            raise DamagedError(
                f"{place}: damaged: sha256 {found[:12]}…, expected {expected[:12]}…; push it again"
            )
    return True


def _fetch(
    path: Path, *, folder: S3Folder, name: str, facts: ObjectFacts, settings: TransferSettings
) -> None:
    """All parts at once, of one version of the object."""
    with path.open("wb") as file:
        file.truncate(facts.num_bytes)

    def fetch(offset: int) -> None:
        end = min(offset + settings.part_bytes, facts.num_bytes)
        with path.open("r+b") as file:
            file.seek(offset)
            for chunk in folder.bucket.chunks(folder.key(name), offset=offset, end=end, etag=facts.etag):
                file.write(chunk)

    in_threads(fetch, range(0, facts.num_bytes, settings.part_bytes), num_threads=settings.num_threads)


def _holds(facts: ObjectFacts | None, *, num_bytes: int, sha256: str) -> bool:
    return facts is not None and (facts.num_bytes, facts.sha256) == (num_bytes, sha256)
