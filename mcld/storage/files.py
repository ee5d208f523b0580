"""Write files so that a kill leaves either the old file or the new one, and hash what is written."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mcld.errors import DataError

HASH_BLOCK_BYTES = 1 << 20


def sha256_of_bytes(data: bytes) -> str:
    """Hex sha256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def sha256_of_file(path: Path) -> str:
    """Hex sha256 of a file, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(HASH_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def fingerprint(value: object) -> str:
    """Hex sha256 of `value` as canonical JSON: equal values give equal fingerprints on every machine."""
    return sha256_of_bytes(canonical_json(value).encode())


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no spaces; refuses NaN and anything that is not plain data."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path`; on success fsync and rename it over `path`, on failure remove it.

    Raises DataError when the disk is full or a file-size limit is met: nothing partial is left.
    """
    temporary = _temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        sync_file(temporary)
        os.replace(temporary, path)
        sync_dir(path.parent)
    except OSError as error:
        with suppress(OSError):  # as where the folder itself cannot be made
            temporary.unlink()
        raise DataError(
            f"{path}: cannot be written ({error.strerror or error}); "
            "free some space or fix permissions, then repeat the command"
        ) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, *, data: bytes) -> None:
    """Atomically write `data` to `path`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, *, value: object) -> None:
    """Atomically write `value` as readable, key-sorted JSON ending in a newline."""
    text = json.dumps(value, sort_keys=True, indent=1, allow_nan=False) + "\n"
    write_bytes(path, data=text.encode())


def read_json(path: Path) -> object:
    """Read JSON; raises DataError naming the file when it is missing or damaged."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise DataError(f"{path}: not found; run the stage that writes it") from error
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON ({error}); delete it and run its stage again") from error


@contextmanager
def atomic_dir(path: Path) -> Iterator[Path]:
    """Yield an empty temporary sibling folder; success moves it to `path` whole, failure removes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f".{path.name}.*.tmp"):  # of runs that were killed here
        shutil.rmtree(leftover, ignore_errors=True)
    temporary = _temporary(path)
    temporary.mkdir()
    try:
        yield temporary
        for file in sorted(temporary.rglob("*")):
            if file.is_file():
                sync_file(file)
        replace_dir(temporary, target=path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _temporary(path: Path) -> Path:
    """A sibling that nobody else writes: process numbers repeat over the machines that share a folder."""
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")


def replace_dir(source: Path, *, target: Path) -> None:
    """Move `source` to `target`, never half old, half new: an existing `target` is first moved aside."""
    aside = target.with_name(f".{target.name}.old")
    shutil.rmtree(aside, ignore_errors=True)
    if target.exists():
        os.replace(target, aside)
    os.replace(source, target)
    sync_dir(target.parent)
    shutil.rmtree(aside, ignore_errors=True)


def remove_leftovers(directory: Path) -> None:
    """Delete temporary files and folders that a killed run left in `directory`, if that exists."""
    if not directory.is_dir():
        return
    for leftover in [*directory.rglob(".*.tmp"), *directory.rglob(".*.old")]:
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    """Flush a file's bytes to the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_dir(path: Path) -> None:
    """Flush a directory's entries, so that a rename survives a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
