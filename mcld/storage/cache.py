"""Keep whole files of a remote folder on this machine's disk, within a bound: those not read for longest go.

Files are kept under their sha256, which is verified when they arrive: so runs and processes share a cache,
and a file that was replaced at its source is never mistaken for the old one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mcld.errors import ConfigError, DataError, StorageError
from mcld.storage.files import atomic_path, sha256_of_file
from mcld.storage.folder import Folder
from mcld.storage.locks import locked
from mcld.storage.threads import in_threads

BLOCK_BYTES = 8 << 20
NUM_THREADS = 8
LOCK_SUFFIX = ".lock"
SHA256_LENGTH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedFolder:
    """`source`, with the files that `sha256s` names kept in `directory`; others are read where they lie.

    Reading a range of a file fetches all of it first, so this pays where a file is read more than once. While
    files are being fetched the bound is exceeded by these. Raises ConfigError for a file above the bound.
    """

    source: Folder
    directory: Path
    max_bytes: int
    sha256s: Mapping[str, str]  # name to sha256

    def __post_init__(self) -> None:
        if self.max_bytes <= 0:
            raise ConfigError(f"{self.directory}: a cache of {self.max_bytes} bytes holds nothing")

    @property
    def place(self) -> str:
        """Where the files come from."""
        return self.source.place

    def size(self, name: str) -> int | None:
        """Bytes of a file at its source; None when there is no such file."""
        return self.source.size(name)

    def read(self, name: str) -> bytes:
        """All of a file. Raises as `source` does, and StorageError when its bytes are others."""
        if name not in self.sha256s:
            return self.source.read(name)
        with self._open(name) as file:
            return file.read()

    def read_range(self, name: str, *, offset: int, num_bytes: int) -> bytes:
        """A part of a file, less where the file ends. Raises as `read` does."""
        if name not in self.sha256s:
            return self.source.read_range(name, offset=offset, num_bytes=num_bytes)
        with self._open(name) as file:
            file.seek(offset)
            return file.read(num_bytes)

    def _open(self, name: str) -> BinaryIO:
        """The kept file, which stays readable even if it is evicted now."""
        path = self.directory / self.sha256s[name]
        file = _open_kept(path)
        if file is not None:
            return file
        self.directory.mkdir(parents=True, exist_ok=True)
        with locked(path.with_name(f"{path.name}{LOCK_SUFFIX}"), waits=True):  # the others wait
            while (file := _open_kept(path)) is None:
                self._fetch(name, path=path)
            return file

    def _fetch(self, name: str, *, path: Path) -> None:
        num_bytes = self.source.size(name)
        if num_bytes is None:
            raise DataError(f"{self.place}/{name}: not found; check the address, or push it there")
        if num_bytes > self.max_bytes:
            raise ConfigError(
                f"{self.directory}: a cache of {self.max_bytes} bytes cannot hold {self.place}/{name} with "
                f"its {num_bytes}; make it larger"
            )
        for leftover in self.directory.glob(f".{path.name}.*.tmp"):  # of processes that were killed here
            leftover.unlink(missing_ok=True)
        with atomic_path(path) as temporary:
            self._copy(name, path=temporary, num_bytes=num_bytes)
            found = sha256_of_file(temporary)
            if found != self.sha256s[name]:
                raise StorageError(
                    f"{self.place}/{name}: damaged: sha256 {found[:12]}…, the manifest says "
                    f"{self.sha256s[name][:12]}…; push it again"
                )
        self._evict()

    def _copy(self, name: str, *, path: Path, num_bytes: int) -> None:
        with path.open("wb") as file:
            file.truncate(num_bytes)

        def fetch(offset: int) -> None:
            with path.open("r+b") as file:
                file.seek(offset)
                file.write(self.source.read_range(name, offset=offset, num_bytes=BLOCK_BYTES))

        in_threads(fetch, range(0, num_bytes, BLOCK_BYTES), num_threads=NUM_THREADS)

    def _evict(self) -> None:
        """Delete what was not read for longest until the bound holds."""
        with locked(self.directory / LOCK_SUFFIX, waits=True):
            kept = [path for path in self.directory.iterdir() if len(path.name) == SHA256_LENGTH]
            facts = {path: path.stat() for path in kept}
            total = sum(found.st_size for found in facts.values())
            for path in sorted(kept, key=lambda path: facts[path].st_mtime_ns):
                if total <= self.max_bytes:
                    return
                path.unlink()
                total -= facts[path].st_size


def _open_kept(path: Path) -> BinaryIO | None:
    """Open a kept file and note that it was read; None when it is not kept."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    os.utime(file.fileno())
    return file
