"""Tars and columns: equal bytes for equal content, and nothing damaged or unsafe is read."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from mcld.data.columns import Column, split_member_name, write_part
from mcld.data.manifest import read_manifest, read_record, write_manifest, write_record
from mcld.data.tar import list_members, read_members, write_tar
from mcld.errors import DataError
from mcld.storage import sha256_of_file
from mcld.types import Exclusion, Manifest, PartRecord

ITEMS = [
    ("A-id_1-01/1_front", {"iuv.png": b"front", "facts.json": b"{}"}),
    ("A-id_1-01/2_side", {"iuv.png": b"side" * 300}),
]


def make_column(directory: Path) -> Column:
    path = directory / "part-00000.tar"
    num_items = write_part(path, items=ITEMS)
    excluded = Exclusion(key="A-id_1-01/6_flat", reason="no person detected", stage="densepose")
    record = PartRecord(
        index=0,
        path=path.name,
        sha256=sha256_of_file(path),
        num_bytes=path.stat().st_size,
        num_items=num_items,
        fingerprint="f",
        exclusions=(excluded,),
        counts={"x": 1},
    )
    manifest = Manifest(
        stage="densepose", format_version=1, settings={"a": 1}, parts=(record,), files={"b": "c"}
    )
    write_manifest(directory, manifest=manifest)
    return Column.open(directory)


def test_manifest_and_record_survive_a_round_trip(tmp_path: Path) -> None:
    column = make_column(tmp_path)
    assert read_manifest(tmp_path) == column.manifest
    write_record(tmp_path / "r.json", record=column.manifest.parts[0])
    assert read_record(tmp_path / "r.json") == column.manifest.parts[0]
    (tmp_path / "r.json").write_text('{"index": 0}')
    assert read_record(tmp_path / "r.json") is None


@pytest.mark.parametrize("text", ["[]", "{}", '{"parts": 3', '{"parts": [{"index": 0}]}'])
def test_damaged_manifest_is_a_data_error_naming_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=r"manifest\.json: "):
        read_manifest(tmp_path)


def test_unfinished_stage_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the stage 'face' has not finished here"):
        Column.open(tmp_path / "face")


def test_items_come_back_as_written(tmp_path: Path) -> None:
    column = make_column(tmp_path)
    assert column.read_part(0) == dict(ITEMS)
    assert column.read_item("A-id_1-01/2_side", part_index=0) == ITEMS[1][1]


def test_missing_item_says_why_it_is_missing(tmp_path: Path) -> None:
    column = make_column(tmp_path)
    with pytest.raises(DataError, match=r"no item A-id_1-01/6_flat in part 0: no person detected"):
        column.read_item("A-id_1-01/6_flat", part_index=0)
    with pytest.raises(DataError, match="has no part 3 of 1"):
        column.read_part(3)


@pytest.mark.parametrize("change", ["flip", "cut", "remove"])
def test_damaged_part_is_an_error_naming_it(tmp_path: Path, change: str) -> None:
    column = make_column(tmp_path)
    path = tmp_path / "part-00000.tar"
    data = bytearray(path.read_bytes())
    data[600] ^= 1
    if change == "remove":
        path.unlink()
    else:
        path.write_bytes(bytes(data) if change == "flip" else bytes(data[:-512]))
    with pytest.raises(DataError, match=r"part-00000\.tar: .*run its stage again"):
        column.read_part(0)


def test_equal_items_give_equal_bytes_without_owner_or_time(tmp_path: Path) -> None:
    for name in ("a.tar", "b.tar"):
        write_part(tmp_path / name, items=ITEMS)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert {(info.mtime, info.uid, info.uname, info.mode) for info in tar} == {(0, 0, "", 0o644)}


def test_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> object:
        yield "a/1", {"x": b"1"}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_part(tmp_path / "part.tar", items=broken())  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_tar_cut_at_any_block_is_not_taken_for_a_shorter_one(tmp_path: Path) -> None:
    write_tar(tmp_path / "whole.tar", members=[(f"m{number}.bin", bytes(700)) for number in range(4)])
    whole = (tmp_path / "whole.tar").read_bytes()
    end_of_members = 4 * (512 + 1024)
    assert len(list(read_members(whole, place="x"))) == 4
    for length in range(0, end_of_members + 1, 256):
        with pytest.raises(DataError, match=r"^shard-7: "):
            list(read_members(whole[:length], place="shard-7"))


def tar_with(info: tarfile.TarInfo) -> io.BytesIO:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        tar.addfile(info, io.BytesIO(bytes(info.size)))
    return file


@pytest.mark.parametrize(
    "name", ["../evil.png", "/etc/passwd.png", "a/../b.png", "a//b.png", "a\\b.png", "./a.png"]
)
def test_unsafe_member_names_are_refused(name: str) -> None:
    info = tarfile.TarInfo("x")
    info.name = name
    with pytest.raises(DataError, match="unsafe name"):
        list(list_members(tar_with(info), place="t"))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE]
)
def test_links_and_special_members_are_refused(kind: bytes) -> None:
    info = tarfile.TarInfo("a/1_front.iuv.png")
    info.type, info.linkname = kind, "/etc/passwd"
    with pytest.raises(DataError, match="link or special file"):
        list(list_members(tar_with(info), place="t"))


def test_member_name_is_key_and_member() -> None:
    assert split_member_name("A-id_1-01/1_front.iuv.png", place="t") == ("A-id_1-01/1_front", "iuv.png")
    with pytest.raises(DataError, match="not named outfit/view"):
        split_member_name("front", place="t")
