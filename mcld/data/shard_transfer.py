"""Push a finished set of shards to an object store, and verify it there."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from mcld.data.manifest import MANIFEST_NAME, read_manifest
from mcld.errors import DataError
from mcld.progress import track
from mcld.storage import sha256_of_file, write_bytes
from mcld.storage.multipart import DEFAULT_TRANSFER, TransferSettings
from mcld.storage.s3 import S3Folder
from mcld.storage.threads import in_threads
from mcld.storage.transfer import TransferSummary, upload_folder
from mcld.types import Manifest

REMEDY = "push the shards again"
NUM_REQUESTS = 16  # at once


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedShards:
    """What was found right. `num_unhashed` files carry no sha256: of these only the size is known to be."""

    num_shards: int
    num_bytes: int
    num_unhashed: int


def push_shards(
    directory: Path, *, folder: S3Folder, settings: TransferSettings = DEFAULT_TRANSFER
) -> TransferSummary:
    """Send a set of shards, its manifest last, so that half of a set never looks whole. Repeat it to resume.

    Raises DataError when the set is not finished or damaged, StorageError when the store fails.
    """
    files = _files_of(read_manifest(directory))
    manifest = {MANIFEST_NAME: sha256_of_file(directory / MANIFEST_NAME)}
    there = folder.facts(MANIFEST_NAME)
    if there is not None and there.sha256 != manifest[MANIFEST_NAME]:
        folder.bucket.remove(folder.key(MANIFEST_NAME))  # of a set that is no longer whole from now on
    return upload_folder(directory, files=files | manifest, folder=folder, settings=settings)


def verify_pushed(folder: S3Folder, *, deep: bool) -> PushedShards:
    """Compare sizes, and the sha256 that objects carry, with the manifest there; `deep` reads and hashes all.

    Raises DataError on the first damage, StorageError when the store fails.
    """
    manifest = _read_manifest(folder)
    num_bytes = {record.path: record.num_bytes for record in manifest.parts}
    files = _files_of(manifest)

    def has_no_hash(name: str) -> bool:
        facts = folder.facts(name)
        if facts is None:
            raise DataError(f"{folder.place}/{name}: missing, though the manifest names it; {REMEDY}")
        expected = num_bytes.get(name, facts.num_bytes)
        if facts.num_bytes != expected:
            raise DataError(
                f"{folder.place}/{name}: has {facts.num_bytes} bytes, the manifest says {expected}; {REMEDY}"
            )
        if facts.sha256 is not None:
            _check(facts.sha256, name=name, sha256=files[name], folder=folder)
        return facts.sha256 is None

    unhashed = sum(in_threads(has_no_hash, files, num_threads=NUM_REQUESTS))
    if deep:
        for name in track(files, description="verifying shards", total=len(files)):
            _check(_hash(folder, name=name), name=name, sha256=files[name], folder=folder)
    return PushedShards(
        num_shards=len(manifest.parts),
        num_bytes=sum(num_bytes.values()),
        num_unhashed=0 if deep else unhashed,
    )


def _files_of(manifest: Manifest) -> dict[str, str]:
    """Name to sha256 of all that a manifest names."""
    return {record.path: record.sha256 for record in manifest.parts} | manifest.files


def _read_manifest(folder: S3Folder) -> Manifest:
    data = folder.read(MANIFEST_NAME)
    with TemporaryDirectory() as directory:
        write_bytes(Path(directory) / MANIFEST_NAME, data=data)
        return read_manifest(Path(directory))


def _hash(folder: S3Folder, *, name: str) -> str:
    digest = hashlib.sha256()
    for chunk in folder.bucket.chunks(folder.key(name)):
        digest.update(chunk)
    return digest.hexdigest()


def _check(found: str, *, name: str, sha256: str, folder: S3Folder) -> None:
    if found != sha256:
        raise DataError(
            f"{folder.place}/{name}: damaged: sha256 {found[:12]}…, the manifest says {sha256[:12]}…; "
            f"{REMEDY}"
        )
