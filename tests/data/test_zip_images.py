"""Images out of a zip: what is listed, what is refused, and bytes from nowhere."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcld.data.codec import MAX_IMAGE_BYTES
from mcld.data.zip_images import DAMAGED, check_password, list_images, read_images
from mcld.errors import DataError
from tests.data.zip_writer import PASSWORD, ZipEntry, write_zip

NAME = "img_highres/WOMEN/Dresses/id_00000001/01_1_front.jpg"
OTHER = "img_highres/WOMEN/Dresses/id_00000001/01_3_back.jpg"
ENTRY = ZipEntry(name=NAME, data=b"picture" * 99, deflate=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "img_highres.zip"


def read_all(path: Path, *, password: str | None = PASSWORD) -> dict[str, bytes | str]:
    members = list_images(path)
    read = read_images(path, members=list(members.values()), password=password.encode() if password else None)
    return dict(zip(members, read, strict=True))


@pytest.mark.parametrize("password", [PASSWORD, None])
@pytest.mark.parametrize("deflate", [True, False])
def test_images_come_out_as_they_went_in(path: Path, password: str | None, deflate: bool) -> None:
    entries = [
        ZipEntry(name="img_highres/", data=b"", password=None),
        ZipEntry(name=NAME, data=b"one" * 999, password=password, deflate=deflate),
        ZipEntry(name=OTHER, data=b"", password=password, deflate=deflate),
        ZipEntry(name="img_highres/.DS_Store", data=b"x", password=password),
        ZipEntry(name="README.txt", data=b"x", password=password),
    ]
    write_zip(path, entries=entries)
    assert read_all(path, password=password) == {NAME: b"one" * 999, OTHER: b""}


def test_folders_above_the_images_do_not_matter(path: Path) -> None:
    write_zip(path, entries=[replace(ENTRY, name=f"In-shop/Img/{NAME}")])
    assert read_all(path) == {NAME: ENTRY.data}


def test_a_member_with_a_data_descriptor_is_read(path: Path) -> None:
    write_zip(path, entries=[replace(ENTRY, flags=0x8)])
    assert read_all(path) == {NAME: ENTRY.data}


def test_a_zip_of_python_with_64_bit_sizes_is_read(path: Path) -> None:
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(NAME, "w", force_zip64=True) as file,
    ):
        file.write(ENTRY.data)
    assert read_all(path, password=None) == {NAME: ENTRY.data}


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([replace(ENTRY, name=f"../{NAME}")], r"img_highres\.zip: member '\.\./img.*has an unsafe name"),
        ([replace(ENTRY, name=f"/{NAME}")], r"has an unsafe name"),
        ([replace(ENTRY, name="img_highres\\a.jpg")], r"has an unsafe name"),
        ([ENTRY, replace(ENTRY, name="x/../y.txt")], r"has an unsafe name"),
        ([replace(ENTRY, name=f"{NAME}\0.txt")], r"has an unsafe name"),
        ([replace(ENTRY, mode=0o120777)], r"front\.jpg is a link"),
        ([ENTRY, ENTRY], r"01_1_front\.jpg and .*01_1_front\.jpg are two members for one image"),
        ([ENTRY, replace(ENTRY, name=NAME.upper().replace("IMG_HIGHRES", "img_highres"))], "two members for"),
        ([ENTRY, replace(ENTRY, name=NAME.replace(".jpg", ".png"))], r"01_1_front\.jpg and .*png are two"),
        ([ENTRY, replace(ENTRY, name=f"Img/{NAME}")], r"are two members for one image"),
        ([replace(ENTRY, name="WOMEN/a.jpg")], r"holds no img_highres/ folder; is it the right zip\?"),
        ([replace(ENTRY, method=99)], r"is encrypted with AES, which is not read here; unpack the zip"),
        ([replace(ENTRY, flags=0x40)], r"is encrypted with AES"),
        ([replace(ENTRY, method=14)], r"is compressed by method 14, which is not read here; unpack the zip"),
    ],
)  # fmt: skip
def test_unsafe_double_or_unreadable_members_are_refused(
    path: Path, entries: list[ZipEntry], message: str
) -> None:
    write_zip(path, entries=entries)
    with pytest.raises(DataError, match=message):
        list_images(path)


def test_what_is_no_whole_zip_is_an_error(path: Path) -> None:
    with pytest.raises(DataError, match=r"img_highres\.zip: cannot be read"):
        list_images(path)
    write_zip(path, entries=[ENTRY])
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"img_highres\.zip: not a whole zip .*; download it again"):
        list_images(path)


def test_a_damaged_member_is_a_reason_and_its_neighbours_are_read(path: Path) -> None:
    entries = [replace(ENTRY, deflate=False), replace(ENTRY, name=OTHER), replace(ENTRY, name=NAME + ".png")]
    write_zip(path, entries=entries)
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    assert read_all(path) == {NAME: DAMAGED, OTHER: ENTRY.data, NAME + ".png": ENTRY.data}


@pytest.mark.parametrize("offset", [-5, 7, 10**6, 2**63, 2**64])
def test_a_member_that_is_not_where_it_should_be_is_damaged(path: Path, offset: int) -> None:
    write_zip(path, entries=[ENTRY])
    member = replace(list_images(path)[NAME], offset=offset)
    assert list(read_images(path, members=[member], password=PASSWORD.encode())) == [DAMAGED]


def test_more_bytes_than_declared_are_never_unpacked(path: Path) -> None:
    bomb = ZipEntry(name=NAME, data=bytes(50_000_000), deflate=True, password=None, declared_bytes=1000)
    write_zip(path, entries=[bomb])
    assert read_all(path, password=None) == {NAME: DAMAGED}


def test_a_declared_size_beyond_any_image_is_a_reason(path: Path) -> None:
    write_zip(path, entries=[replace(ENTRY, declared_bytes=MAX_IMAGE_BYTES + 1)])
    assert read_all(path) == {NAME: "image file of more than 256 MiB"}


def test_the_password_is_tried_on_the_smallest_members(path: Path) -> None:
    entries = [replace(ENTRY, name=f"img_highres/{n}.jpg", data=bytes(n)) for n in range(9)]
    write_zip(path, entries=entries)
    members = list_images(path).values()
    check_password(path, members=members, password=PASSWORD.encode())
    with pytest.raises(DataError, match=r"img_highres\.zip: the password does not open it; correct the pass"):
        check_password(path, members=members, password=b"wrong")


def test_one_damaged_member_does_not_make_the_password_wrong(path: Path) -> None:
    entries = [replace(ENTRY, name=f"img_highres/{n}.jpg", data=b"x" * n, deflate=False) for n in (9, 99)]
    write_zip(path, entries=entries)
    data = bytearray(path.read_bytes())
    data[65] ^= 1  # in the first and smallest
    path.write_bytes(data)
    assert DAMAGED in read_all(path).values()
    check_password(path, members=list_images(path).values(), password=PASSWORD.encode())


WHOLE_ZIP_ENTRIES = [ENTRY, replace(ENTRY, name=OTHER, password=None)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(place=st.integers(0, 10**6), bits=st.integers(1, 255), cut=st.integers(0, 40))
def test_any_damage_is_a_data_error_or_a_reason(path: Path, place: int, bits: int, cut: int) -> None:
    write_zip(path, entries=WHOLE_ZIP_ENTRIES)
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= bits
    path.write_bytes(data[: len(data) - cut])
    try:
        members = list(list_images(path).values())
        read = list(read_images(path, members=members, password=PASSWORD.encode()))
    except DataError:
        return
    for member, data_or_reason in zip(members, read, strict=True):
        assert isinstance(data_or_reason, str) or zlib.crc32(data_or_reason) == member.crc32
