"""Tars as we write and accept them: plain files, safe names, whole, equal bytes for equal content."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mcld.errors import DataError
from mcld.storage import atomic_path

# What a reader wants to see after the last member; also of a piece of a tar that is read by itself.
END_OF_TAR = bytes(io.DEFAULT_BUFFER_SIZE)
_MODE = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class TarMember:
    """Where a member lies: `offset` of its header and of its data, in bytes from the tar's start."""

    name: str
    offset: int
    data_offset: int
    num_bytes: int


def write_tar(path: Path, *, members: Iterable[tuple[str, bytes]]) -> int:
    """Atomically write (name, data) members in the order given; returns their number.

    Streams: one member in memory at a time.
    """
    num_members = 0
    with atomic_path(path) as temporary, tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)  # owner, group and time stay 0: they would make equal content differ
            info.size = len(data)
            info.mode = _MODE
            tar.addfile(info, io.BytesIO(data))
            num_members += 1
    return num_members


def list_members(file: IO[bytes], *, place: str) -> Iterator[TarMember]:
    """Walk the headers of a seekable tar without reading its data.

    Raises DataError on a member that is no plain file or has an unsafe name, and on a tar that ends too
    early: Python's reader would take a cut tar for a shorter one.
    """
    file.seek(0, io.SEEK_END)
    size = file.tell()
    file.seek(0)
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for info in tar:
                check_member(info, place=place)
                if info.offset_data + info.size > size:
                    raise DataError(f"{place}: ends inside member {info.name}; run its stage again")
                yield TarMember(
                    name=info.name, offset=info.offset, data_offset=info.offset_data, num_bytes=info.size
                )
            _check_end(file, offset=tar.offset, place=place)
    except tarfile.TarError as error:
        raise DataError(f"{place}: not a whole tar ({error}); run its stage again") from error


def read_members(data: bytes, *, place: str) -> Iterator[tuple[str, bytes]]:
    """(name, data) of every member of a tar held in memory; checked as in `list_members`."""
    for member in list_members(io.BytesIO(data), place=place):
        yield member.name, data[member.data_offset : member.data_offset + member.num_bytes]


def check_member(info: tarfile.TarInfo, *, place: str) -> None:
    """Raises DataError on links, devices, directories, absolute names and `..`."""
    if not info.isreg() or info.issparse():
        raise DataError(
            f"{place}: member {info.name} is a link or special file; only plain files are accepted"
        )
    check_member_name(info.name, place=place)


def check_member_name(name: str, *, place: str) -> None:
    """Raises DataError on a name, of a tar's member or a zip's, that may lead out of a folder."""
    parts = name.split("/")
    if "\\" in name or "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise DataError(
            f"{place}: member {name!r} has an unsafe name; only relative names without '..' are accepted"
        )


def _check_end(file: IO[bytes], *, offset: int, place: str) -> None:
    """A whole tar ends in zeros; the reader also stops, without a word, at a cut or a damaged header."""
    file.seek(offset)
    if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise DataError(f"{place}: cut or damaged at byte {offset}; run its stage again")
