"""Shards: readable by plain WebDataset, and every damage an error naming shard and sample."""

from __future__ import annotations

import io
import json
import re
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from mcld.data.shards import ORIGINAL_MEMBERS, ShardSet, index_shard, verify_shards
from mcld.data.stream import stream_samples
from mcld.data.tar import list_members, read_members, write_tar
from mcld.errors import DataError
from mcld.storage import Folder, open_folder, sha256_of_file
from tests.data.shard_factory import VIEWS, outfit_key, view_members, write_shards


@pytest.fixture(scope="module")
def pristine_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("shards"), views_per_outfit=[[2, 3], [5, 2, 3]])


@pytest.fixture
def shards_dir(pristine_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine_dir, tmp_path / "shards"))


def read_all(directory: Path, *, with_originals: bool = True) -> int:
    shards = ShardSet.open(directory)
    return len(list(stream_samples(shards, samples=shards.samples, with_originals=with_originals)))


def test_whole_shards_verify_and_stream(pristine_dir: Path) -> None:
    shards = ShardSet.open(pristine_dir)
    assert verify_shards(shards, deep=True) == read_all(pristine_dir) == 5
    assert [sample.outfit for sample in shards.samples] == [outfit_key(number) for number in range(5)]
    assert [len(sample.pairs) for sample in shards.samples] == [2, 6, 20, 2, 6]


def test_random_access_and_streaming_read_the_same_bytes(pristine_dir: Path) -> None:
    shards = ShardSet.open(pristine_dir)
    for sample, members in stream_samples(shards, samples=shards.samples):
        assert members == shards.read_sample(sample)
        for view in sample.views:
            for member, data in view_members(f"{sample.outfit}/{view}").items():
                assert members[f"{view}.{member}"] == data


def test_plain_webdataset_finds_every_key_suffix_and_byte(pristine_dir: Path) -> None:
    import webdataset as wds

    names = [str(path) for path in sorted(pristine_dir.glob("*.tar"))]
    samples = list(wds.WebDataset(names, shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == [outfit_key(number) for number in range(5)]
    for sample in samples:
        facts = json.loads(sample["json"])
        found = {name: data for name, data in sample.items() if not name.startswith("__") and name != "json"}
        assert found == {
            f"{view}.{member}": data
            for view in facts["views"]
            for member, data in view_members(f"{sample['__key__']}/{view}").items()
        }


def test_plain_webdataset_decodes_a_shard(pristine_dir: Path) -> None:
    import webdataset as wds

    plain = wds.WebDataset([str(pristine_dir / "train-00001.tar")], shardshuffle=False).decode("rgb8")
    samples = list(plain)
    assert [sample["__key__"] for sample in samples] == [outfit_key(number) for number in (2, 3, 4)]
    assert samples[0]["json"]["views"] == list(VIEWS)
    assert samples[0]["1_front.iuv.png"].shape == (48, 32, 3)
    assert samples[0]["7_additional.image_moments.npy"].dtype == np.float16


@pytest.mark.parametrize("shard", ["train-00000.tar", "train-00001.tar"])
def test_flipped_byte_anywhere_is_found_and_told_by_shard_and_sample(shards_dir: Path, shard: str) -> None:
    path = shards_dir / shard
    whole = path.read_bytes()
    samples = [sample for sample in ShardSet.open(shards_dir).samples if sample.shard == shard]
    end = samples[-1].offset + samples[-1].num_bytes
    ends = [member.data_offset + member.num_bytes for member in list_members(io.BytesIO(whole), place=shard)]
    paddings = [range(end_of_data, -(-end_of_data // 512) * 512) for end_of_data in ends]
    for position in range(300, end, 1499):
        changed = bytearray(whole)
        changed[position] ^= 0x10
        path.write_bytes(bytes(changed))
        with pytest.raises(DataError, match=shard):
            verify_shards(ShardSet.open(shards_dir), deep=False)
        # What fills up a block is nobody's data: only the tar's own hash sees it.
        if not any(position in padding for padding in paddings):
            with pytest.raises(
                DataError, match=rf"{shard}: .*sample {'|'.join(s.outfit for s in samples)}|{shard}"
            ):
                read_all(shards_dir)


def test_altered_member_is_told_by_shard_sample_and_member(shards_dir: Path) -> None:
    sample = ShardSet.open(shards_dir).samples[2]
    path = shards_dir / sample.shard
    whole = path.read_bytes()
    face = view_members(f"{sample.outfit}/3_back")["face.npy"]
    path.write_bytes(whole.replace(face, face[:-1] + b"\x00"))
    with pytest.raises(
        DataError, match=rf"{sample.shard}: sample {sample.outfit}: member 3_back.face.npy is altered"
    ):
        read_all(shards_dir)
    with pytest.raises(
        DataError, match=rf"{sample.shard}: sample {sample.outfit}: member 3_back.face.npy is altered"
    ):
        ShardSet.open(shards_dir).read_sample(sample)


class ReadBytes:
    """A folder that remembers what was read of it."""

    def __init__(self, folder: Folder) -> None:
        self.folder, self.place = folder, folder.place
        self.ranges: list[tuple[str, int, int]] = []

    def size(self, name: str) -> int | None:
        return self.folder.size(name)

    def read(self, name: str) -> bytes:
        return self.folder.read(name)

    def read_range(self, name: str, *, offset: int, num_bytes: int) -> bytes:
        self.ranges.append((name, offset, num_bytes))
        return self.folder.read_range(name, offset=offset, num_bytes=num_bytes)


def test_without_originals_one_piece_of_each_sample_is_read_and_holds_all_else(pristine_dir: Path) -> None:
    folder = ReadBytes(open_folder(pristine_dir))
    shards = ShardSet.open(folder)
    chosen = [shards.samples[number] for number in (3, 0, 2)]
    for sample, members in stream_samples(shards, samples=chosen, with_originals=False):
        whole = shards.folder.read(sample.shard)[sample.offset : sample.offset + sample.num_bytes]
        assert members == {
            suffix: data
            for suffix, data in shards.read_sample(sample).items()
            if not suffix.endswith(ORIGINAL_MEMBERS)
        }
        for view in sample.views:
            for name in ORIGINAL_MEMBERS:
                header = f"{sample.outfit}.{view}.{name}".encode()
                assert sample.num_training_bytes <= whole.index(header) < sample.num_bytes
    pieces = [(sample.shard, sample.offset, sample.num_training_bytes) for sample in chosen]
    assert [found for found in folder.ranges if found in pieces] == sorted(pieces, key=folder.ranges.index)
    assert len(folder.ranges) == 2 * len(chosen)  # and those of the comparison


def test_a_flipped_byte_of_an_original_harms_those_alone_who_read_it(shards_dir: Path) -> None:
    sample = ShardSet.open(shards_dir).samples[0]
    path = shards_dir / sample.shard
    data = bytearray(path.read_bytes())
    data[sample.offset + sample.num_training_bytes + 600] ^= 1
    path.write_bytes(bytes(data))
    assert read_all(shards_dir, with_originals=False) == 5
    with pytest.raises(DataError, match=rf"{sample.shard}: sample {sample.outfit}: member 1_front.iuv.png"):
        read_all(shards_dir)


@pytest.mark.parametrize("with_originals", [True, False])
def test_a_cut_at_any_block_is_never_a_shorter_epoch(shards_dir: Path, with_originals: bool) -> None:
    shards = ShardSet.open(shards_dir)
    wanted = [sample for sample in shards.samples if sample.shard == "train-00000.tar"]
    path = shards_dir / "train-00000.tar"
    whole = path.read_bytes()
    end = wanted[-1].offset + (wanted[-1].num_bytes if with_originals else wanted[-1].num_training_bytes)
    for length in range(0, end, 512):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"train-00000\.tar: .*sample WOMEN"):
            list(stream_samples(shards, samples=wanted, with_originals=with_originals))
    path.write_bytes(whole[:end])
    assert len(list(stream_samples(shards, samples=wanted, with_originals=with_originals))) == len(wanted)


def test_samples_of_an_earlier_version_are_an_error_saying_what_to_run(shards_dir: Path) -> None:
    table, manifest = shards_dir / "samples.jsonl", shards_dir / "manifest.json"
    before = sha256_of_file(table)
    table.write_text(re.sub(r'"num_training_bytes":\d+,', "", table.read_text()))
    manifest.write_text(manifest.read_text().replace(before, sha256_of_file(table)))
    with pytest.raises(DataError, match=r"samples\.jsonl: not of this version; run the stage 'shards' again"):
        ShardSet.open(shards_dir)


def test_cut_tar_is_an_error_at_opening_and_while_streaming(shards_dir: Path) -> None:
    shards = ShardSet.open(shards_dir)
    path = shards_dir / "train-00001.tar"
    whole = path.read_bytes()
    for length in [sample.offset for sample in shards.samples if sample.shard == path.name] + [
        700,
        5120,
        9999,
    ]:
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=rf"train-00001\.tar: has {length} bytes, the manifest says"):
            ShardSet.open(shards_dir)
        with pytest.raises(DataError, match=r"train-00001\.tar: .*sample WOMEN"):
            list(stream_samples(shards, samples=shards.samples))


def test_zeroed_tail_of_the_right_length_is_never_a_shorter_epoch(shards_dir: Path) -> None:
    last = ShardSet.open(shards_dir).samples[-1]
    path = shards_dir / last.shard
    whole = path.read_bytes()
    path.write_bytes(whole[: last.offset] + bytes(len(whole) - last.offset))
    with pytest.raises(DataError, match=f"ends before sample {last.outfit}"):
        read_all(shards_dir)


def test_missing_shard_and_altered_table_are_errors(shards_dir: Path) -> None:
    table = shards_dir / "samples.jsonl"
    table.write_text(table.read_text().replace("true", "false", 1))
    with pytest.raises(DataError, match=r"samples\.jsonl: damaged"):
        ShardSet.open(shards_dir)
    (shards_dir / "train-00000.tar").unlink()
    with pytest.raises(DataError, match=r"train-00000\.tar: is missing"):
        ShardSet.open(shards_dir)


def test_keys_that_are_not_adjacent_are_refused(shards_dir: Path) -> None:
    path = shards_dir / "train-00000.tar"
    members = list(read_members(path.read_bytes(), place="t"))
    write_tar(path, members=[*members[1:15], *members])
    with pytest.raises(DataError, match=r"begins with .*, not with its JSON"):
        index_shard(path)
    write_tar(path, members=[*members[:8], *members[15:23], *members[8:15]])  # 15 are of the first sample
    with pytest.raises(DataError, match=f"members of sample {outfit_key(0)} are not adjacent"):
        index_shard(path)


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("../../evil.1_front.iuv.png", tarfile.REGTYPE, "unsafe name"),
        ("/tmp/evil.1_front.iuv.png", tarfile.REGTYPE, "unsafe name"),
        (f"{outfit_key(0)}.1_front.iuv.png", tarfile.SYMTYPE, "link or special file"),
    ],
)
def test_unsafe_members_are_refused_while_streaming(
    shards_dir: Path, name: str, kind: bytes, message: str
) -> None:
    shards = ShardSet.open(shards_dir)
    path = shards_dir / "train-00000.tar"
    whole = path.read_bytes()
    info = tarfile.TarInfo("x")
    info.name, info.type, info.linkname = name, kind, "/etc/passwd" if kind == tarfile.SYMTYPE else ""
    head = io.BytesIO()
    with tarfile.open(fileobj=head, mode="w") as tar:
        tar.addfile(info)
    path.write_bytes(head.getvalue()[:512] + whole[:-512])
    with pytest.raises(DataError, match=message):
        list(stream_samples(shards, samples=shards.samples))


def test_unknown_split_says_what_there_is(pristine_dir: Path) -> None:
    with pytest.raises(DataError, match="no samples of split 'test'; it has train"):
        ShardSet.open(pristine_dir).of_split("test")
