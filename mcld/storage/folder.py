"""A folder that one reads by name, wherever it lies: on a disk, or in an object store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mcld.errors import ConfigError, DataError
from mcld.storage.threads import in_threads


class Folder(Protocol):
    """Files by name, read whole or in ranges. Reading may be done from several threads."""

    @property
    def place(self) -> str:
        """Path or address of the folder, as errors name it."""
        ...

    def size(self, name: str) -> int | None:
        """Bytes of a file; None when there is no such file."""
        ...

    def read(self, name: str) -> bytes:
        """All of a file. Raises DataError when it is missing."""
        ...

    def read_range(self, name: str, *, offset: int, num_bytes: int) -> bytes:
        """A part of a file, less where the file ends. Raises DataError when it is missing."""
        ...


@dataclass(frozen=True, slots=True)
class LocalFolder:
    """A folder of this machine."""

    path: Path

    @property
    def place(self) -> str:
        """The folder's path."""
        return str(self.path)

    def size(self, name: str) -> int | None:
        """Bytes of a file; None when there is no such file."""
        path = self.path / name
        return path.stat().st_size if path.is_file() else None

    def read(self, name: str) -> bytes:
        """All of a file. Raises DataError when it is missing."""
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError as error:
            raise DataError(f"{self.path / name}: not found; run the stage that writes it") from error

    def read_range(self, name: str, *, offset: int, num_bytes: int) -> bytes:
        """A part of a file, less where the file ends. Raises DataError when it is missing."""
        try:
            with (self.path / name).open("rb") as file:
                file.seek(offset)
                return file.read(num_bytes)
        except FileNotFoundError as error:
            raise DataError(f"{self.path / name}: not found; run the stage that writes it") from error


def open_folder(place: str | Path, *, endpoint: str | None = None) -> Folder:
    """The folder at a path or at `s3://bucket/prefix`; an S3-compatible store's `endpoint` may be named.

    Nothing is asked of a store yet. Raises ConfigError for a kind of address that is not known.
    """
    scheme, separator, _ = str(place).partition("://")
    if not separator:
        return LocalFolder(Path(place))
    if scheme != "s3":
        raise ConfigError(
            f"{place}: addresses of kind '{scheme}' are not read here; use a path or s3://bucket/prefix"
        )
    from mcld.storage.s3 import S3Folder

    return S3Folder.at(str(place), endpoint=endpoint)


def sizes_of(folder: Folder, *, names: Iterable[str], num_threads: int = 16) -> dict[str, int | None]:
    """Bytes of many files, asked for at the same time; None for those that are missing."""
    names = tuple(names)
    return dict(zip(names, in_threads(folder.size, names, num_threads=num_threads), strict=True))
