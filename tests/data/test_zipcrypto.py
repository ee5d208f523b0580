"""ZIP's old encryption: many members at once give what zipfile, and the program zip, give one by one."""

from __future__ import annotations

import shutil
import struct
import subprocess
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mcld.data.zipcrypto import decrypt
from tests.data.zip_writer import PASSWORD, ZipEntry, write_zip

# The third batch outlasts its lanes: the longest members end one by one.
LENGTHS: tuple[list[int], ...] = ([0, 1, 11, 4095, 4096, 4097], [50] * 40, [*range(0, 6000, 150), 30_000], [])


def payloads(lengths: Sequence[int]) -> list[bytes]:
    return [np.random.default_rng(length).bytes(length) for length in lengths]


def encrypted_members(path: Path) -> list[bytes]:
    """Every member's bytes as they lie in the zip."""
    members = []
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        for info in archive.infolist():
            file.seek(info.header_offset + 26)
            name_length, extra_length = struct.unpack("<HH", file.read(4))
            file.seek(name_length + extra_length, 1)
            members.append(file.read(info.compress_size))
    return members


@pytest.mark.parametrize("lengths", LENGTHS)
def test_members_are_decrypted_as_zipfile_does(tmp_path: Path, lengths: list[int]) -> None:
    plain = payloads(lengths)
    path = write_zip(
        tmp_path / "a.zip", entries=[ZipEntry(name=f"{n}.bin", data=data) for n, data in enumerate(plain)]
    )
    with zipfile.ZipFile(path) as archive:
        assert [archive.read(info, pwd=PASSWORD.encode()) for info in archive.infolist()] == plain
    assert decrypt(encrypted_members(path), password=PASSWORD.encode()) == plain


@pytest.mark.skipif(shutil.which("zip") is None, reason="needs the program zip")
def test_members_of_the_program_zip_are_decrypted(tmp_path: Path) -> None:
    plain = payloads(range(5000, 5040))
    for number, data in enumerate(plain):
        (tmp_path / f"{number:02d}.bin").write_bytes(data)
    files = sorted(path.name for path in tmp_path.iterdir())
    subprocess.run(["zip", "-q", "-0", "-P", "geheim ü", "a.zip", *files], cwd=tmp_path, check=True)
    assert decrypt(encrypted_members(tmp_path / "a.zip"), password="geheim ü".encode()) == plain


def test_a_wrong_password_gives_noise_of_the_same_length(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", entries=[ZipEntry(name="a.bin", data=b"plain" * 99)])
    (noise,) = decrypt(encrypted_members(path), password=b"wrong")
    assert len(noise) == 5 * 99
    assert noise != b"plain" * 99
