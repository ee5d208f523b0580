"""Images out of a zip, encrypted or not, without unpacking it: bounded, checked, each decrypted once.

Python's zipfile reads the central directory. Members are read here, many at once, because zipfile decrypts a
byte at a time.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from mcld.data.codec import MAX_IMAGE_BYTES, TOO_MANY_BYTES
from mcld.data.deepfashion import IMAGE_FOLDER
from mcld.data.tar import check_member_name
from mcld.data.zipcrypto import decrypt
from mcld.errors import DataError

DAMAGED = "damaged in the zip (its checksum does not fit)"
_STORED, _DEFLATED, _AES = 0, 8, 99  # methods
_FLAG_ENCRYPTED, _FLAG_STRONG = 0x1, 0x40
_SIGNATURE = b"PK\3\4"
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, lengths of name and extra field
_BATCH_BYTES = 64 << 20  # of members read, decrypted and held at once
_NUM_TRIED = 3  # a damaged member must not pass for a wrong password


@dataclass(frozen=True, slots=True, kw_only=True)
class ZipMember:
    """One image, as the central directory describes it; `name` is as `ImageName.path`.

    `offset` is of its local header, `num_stored_bytes` counts its bytes in the zip, `num_bytes` the image's.
    """

    name: str
    offset: int
    num_stored_bytes: int
    num_bytes: int
    crc32: int
    is_deflated: bool
    is_encrypted: bool


def list_images(path: Path) -> dict[str, ZipMember]:
    """The images of a zip by name, `img_highres/…`, whatever folders the zip has above that.

    Raises DataError when it is no whole zip, has no image, holds unsafe names, links or two members for one
    image, or is packed or encrypted in a way that is not read here.
    """
    found: dict[str, ZipMember] = {}
    seen: dict[str, str] = {}
    for info in _central_directory(path):
        check_member_name(info.orig_filename.removesuffix("/"), place=str(path))
        if stat.S_ISLNK(info.external_attr >> 16):
            raise DataError(f"{path}: member {info.filename} is a link; only plain files are accepted")
        name = _image_name(info.filename)
        if name is None or info.is_dir():
            continue
        stem = str(PurePosixPath(name).with_suffix("")).casefold()
        if stem in seen:
            raise DataError(f"{path}: {seen[stem]} and {name} are two members for one image; remove one")
        seen[stem] = name
        found[name] = _member(info, name=name, place=path)
    if not found:
        raise DataError(f"{path}: holds no {IMAGE_FOLDER}/ folder; is it the right zip?")
    return found


def check_password(path: Path, *, members: Iterable[ZipMember], password: bytes) -> None:
    """Raises DataError unless the password opens one of the smallest encrypted members."""
    encrypted = [member for member in members if member.is_encrypted and member.num_bytes]
    tried = sorted(encrypted, key=lambda member: member.num_stored_bytes)[:_NUM_TRIED]
    found = (read for member in tried for read in read_images(path, members=[member], password=password))
    if tried and not any(isinstance(read, bytes) for read in found):
        raise DataError(
            f"{path}: the password does not open it; correct the password (or, if it is right, the zip is "
            "damaged: download it again), then repeat the command"
        )


def read_images(path: Path, *, members: Sequence[ZipMember], password: bytes | None) -> Iterator[bytes | str]:
    """Each member's data, or the reason why there are none, in the order given.

    Holds about 64 MiB of the zip at a time. Raises DataError when the zip itself cannot be read.
    """
    try:
        with path.open("rb") as file:
            for batch in _batches(members):
                yield from _read_batch(file, members=batch, password=password)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); restore it") from error


def _central_directory(path: Path) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.infolist()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); restore it") from error
    except Exception as error:  # zipfile raises BadZipFile, struct.error, UnicodeDecodeError, ValueError…
        raise DataError(f"{path}: not a whole zip ({error}); download it again") from error


def _image_name(name: str) -> str | None:
    """`name` from `img_highres/` on; None where that is no part of it, or for hidden files."""
    parts = name.split("/")
    if IMAGE_FOLDER not in parts or parts[0] == "__MACOSX" or parts[-1].startswith("."):
        return None
    return "/".join(parts[parts.index(IMAGE_FOLDER) :])


def _member(info: zipfile.ZipInfo, *, name: str, place: Path) -> ZipMember:
    if info.compress_type == _AES or info.flag_bits & _FLAG_STRONG:
        raise DataError(
            f"{place}: {name} is encrypted with AES, which is not read here; unpack the zip yourself (e.g. "
            f"7z x), so that {IMAGE_FOLDER}/ lies beside it"
        )
    if info.compress_type not in (_STORED, _DEFLATED):
        raise DataError(
            f"{place}: {name} is compressed by method {info.compress_type}, which is not read here; unpack "
            f"the zip yourself, so that {IMAGE_FOLDER}/ lies beside it"
        )
    return ZipMember(
        name=name,
        offset=info.header_offset,
        num_stored_bytes=info.compress_size,
        num_bytes=info.file_size,
        crc32=info.CRC,
        is_deflated=info.compress_type == _DEFLATED,
        is_encrypted=bool(info.flag_bits & _FLAG_ENCRYPTED),
    )


def _batches(members: Sequence[ZipMember]) -> Iterator[list[ZipMember]]:
    batch: list[ZipMember] = []
    for member in members:
        if batch and sum(other.num_stored_bytes for other in batch) + member.num_stored_bytes > _BATCH_BYTES:
            yield batch
            batch = []
        batch.append(member)
    if batch:
        yield batch


def _read_batch(
    file: IO[bytes], *, members: Sequence[ZipMember], password: bytes | None
) -> Iterator[bytes | str]:
    stored = [_stored_bytes(file, member=member) for member in members]
    locked = [index for index, member in enumerate(members) if member.is_encrypted]
    assert password is not None or not locked  # whoever lists an encrypted zip asks for its password
    opened = decrypt([stored[index] for index in locked], password=password or b"")
    for index, data in zip(locked, opened, strict=True):
        stored[index] = data
    for member, data in zip(members, stored, strict=True):
        yield _unpacked(data, member=member)


def _stored_bytes(file: IO[bytes], *, member: ZipMember) -> bytes:
    """A member's bytes as they lie in the zip; none where it is too large or not where it should be."""
    if max(member.num_bytes, member.num_stored_bytes) > MAX_IMAGE_BYTES:
        return b""
    if not 0 <= member.offset < os.fstat(file.fileno()).st_size:
        return b""
    file.seek(member.offset)
    header = file.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size or not header.startswith(_SIGNATURE):
        return b""
    _, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    file.seek(name_length + extra_length, io.SEEK_CUR)
    return file.read(member.num_stored_bytes)


def _unpacked(data: bytes, *, member: ZipMember) -> bytes | str:
    if max(member.num_bytes, member.num_stored_bytes) > MAX_IMAGE_BYTES:
        return TOO_MANY_BYTES
    if member.is_deflated:
        try:  # one byte more than declared is enough to see that there is more
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, member.num_bytes + 1)
        except zlib.error:
            return DAMAGED
    is_whole = len(data) == member.num_bytes and zlib.crc32(data) == member.crc32
    return data if is_whole else DAMAGED
