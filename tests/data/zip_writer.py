"""Encrypted zips for tests: Python's zipfile reads them but writes none."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PASSWORD = "a test's password"
_SALT = bytes(range(11))
_DOS_TIME = 0x6C32  # 13:33:36 on 2016-05-17, as good as any
_DOS_DATE = 0x48B1
_CRC_STEPS = [zlib.crc32(bytes([byte]), 0xFFFFFFFF) ^ 0xFFFFFFFF for byte in range(256)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ZipEntry:
    """What to write; `data` are the image's bytes. Fields that are set lie to the reader."""

    name: str
    data: bytes
    deflate: bool = False
    password: str | None = PASSWORD
    method: int | None = None
    declared_bytes: int | None = None
    mode: int = 0o100644
    flags: int = 0


def write_zip(path: Path, *, entries: Iterable[ZipEntry]) -> Path:
    """Write the entries in the order given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    local, central, count = bytearray(), bytearray(), 0
    for entry in entries:
        count += 1
        fixed, stored = _fixed_fields(entry)
        name = entry.name.encode()
        central += b"PK\1\2" + struct.pack("<H", 0x0314) + fixed
        central += struct.pack("<HHHHHLL", len(name), 0, 0, 0, 0, entry.mode << 16, len(local)) + name
        local += b"PK\3\4" + fixed + struct.pack("<HH", len(name), 4) + name + b"\0\0\0\0" + stored
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(central), len(local), 0)
    path.write_bytes(local + central + end)
    return path


def zip_folder(path: Path, *, folder: Path, password: str | None = PASSWORD) -> Path:
    """Write every file below `folder`, by its name from the folder's parent on."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    entries = (
        ZipEntry(
            name=file.relative_to(folder.parent).as_posix(),
            data=file.read_bytes(),
            deflate=number % 2 == 1,
            password=password,
        )
        for number, file in enumerate(files)
    )
    return write_zip(path, entries=entries)


def _fixed_fields(entry: ZipEntry) -> tuple[bytes, bytes]:
    """The fields that both headers share, and the bytes stored."""
    stored = entry.data
    if entry.deflate:
        compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        stored = compressor.compress(stored) + compressor.flush()
    crc = zlib.crc32(entry.data)
    if entry.password is not None:
        stored = _encrypted(_SALT + bytes([crc >> 24]) + stored, password=entry.password.encode())
    method = entry.method if entry.method is not None else 8 * entry.deflate
    num_bytes = len(entry.data) if entry.declared_bytes is None else entry.declared_bytes
    flags = entry.flags | (entry.password is not None)
    return struct.pack("<5H3L", 20, flags, method, _DOS_TIME, _DOS_DATE, crc, len(stored), num_bytes), stored


def _encrypted(plain: bytes, *, password: bytes) -> bytes:
    keys = [0x12345678, 0x23456789, 0x34567890]
    for byte in password:
        _move_on(keys, byte=byte)
    encrypted = bytearray()
    for byte in plain:
        mask = keys[2] | 2
        encrypted.append(byte ^ mask * (mask ^ 1) >> 8 & 0xFF)
        _move_on(keys, byte=byte)
    return bytes(encrypted)


def _move_on(keys: list[int], *, byte: int) -> None:
    keys[0] = keys[0] >> 8 ^ _CRC_STEPS[(keys[0] ^ byte) & 0xFF]
    keys[1] = ((keys[1] + (keys[0] & 0xFF)) * 134775813 + 1) & 0xFFFFFFFF
    keys[2] = keys[2] >> 8 ^ _CRC_STEPS[(keys[2] ^ keys[1] >> 24) & 0xFF]
