"""A column: one condition of every image, as a folder of part tars with records and a manifest.

Members are named `<outfit>/<view>.<member>`, e.g. `WOMEN-Dresses-id_00000692-02/3_back.iuv.png`: the item's
key, then what it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mcld.data.manifest import part_of, read_manifest, read_named_file
from mcld.data.tar import read_members, write_tar
from mcld.errors import DataError
from mcld.storage import LocalFolder, sha256_of_bytes
from mcld.types import Manifest, PartRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A finished column: its folder and manifest. Every read is verified against the manifest."""

    directory: Path
    manifest: Manifest

    @classmethod
    def open(cls, directory: Path) -> Column:
        """Raises DataError when the column's stage has not finished."""
        return cls(directory=directory, manifest=read_manifest(directory))

    def record(self, part_index: int) -> PartRecord:
        """The record of one part. Raises DataError when there is no such part."""
        return part_of(self.manifest, index=part_index, directory=self.directory)

    def excluded(self) -> dict[str, str]:
        """Reason by key of the images that this column leaves out."""
        return {exclusion.key: exclusion.reason for exclusion in self.manifest.exclusions}

    def read_file(self, name: str) -> bytes:
        """An output beside the parts. Raises DataError when it is not named in the manifest, or damaged."""
        return read_named_file(name, manifest=self.manifest, folder=LocalFolder(self.directory))

    def read_part(self, part_index: int) -> dict[str, dict[str, bytes]]:
        """All items of a part: key to member name (like `iuv.png`) to bytes. Raises DataError if damaged."""
        record = self.record(part_index)
        path = self.directory / record.path
        items: dict[str, dict[str, bytes]] = {}
        for name, member in read_members(_verified_bytes(path, record=record), place=str(path)):
            key, suffix = split_member_name(name, place=str(path))
            items.setdefault(key, {})[suffix] = member
        if len(items) != record.num_items:
            raise DataError(
                f"{path}: holds {len(items)} items, its record says {record.num_items}; run its stage again"
            )
        return items

    def read_item(self, key: str, *, part_index: int) -> dict[str, bytes]:
        """One item: member name to bytes.

        Raises DataError when the column lacks it, with the reason if one is known.
        """
        items = self.read_part(part_index)
        if key not in items:
            reason = self.excluded().get(key, "not an image of this part")
            raise DataError(f"{self.directory}: has no item {key} in part {part_index}: {reason}")
        return items[key]


def write_part(path: Path, *, items: Iterable[tuple[str, Mapping[str, bytes]]]) -> int:
    """Atomically write (key, members) items in the order given; returns their number.

    One item in memory at a time.
    """
    counted = _Counted()
    write_tar(path, members=counted.members(items))
    return counted.num_items


def member_name(key: str, *, member: str) -> str:
    """`outfit/view` and `iuv.png` give `outfit/view.iuv.png`."""
    return f"{key}.{member}"


def split_member_name(name: str, *, place: str) -> tuple[str, str]:
    """The reverse of `member_name`. Raises DataError on a name without a suffix."""
    folder, _, file = name.rpartition("/")
    stem, dot, member = file.partition(".")
    if not (folder and stem and dot and member):
        raise DataError(f"{place}: member {name!r} is not named outfit/view.member; run its stage again")
    return f"{folder}/{stem}", member


class _Counted:
    """Counts items while they stream into a tar."""

    def __init__(self) -> None:
        self.num_items = 0

    def members(self, items: Iterable[tuple[str, Mapping[str, bytes]]]) -> Iterator[tuple[str, bytes]]:
        seen: set[str] = set()
        for key, members in items:
            assert key not in seen, f"item {key} written twice"
            seen.add(key)
            self.num_items += 1
            for member in sorted(members):
                yield member_name(key, member=member), members[member]


def _verified_bytes(path: Path, *, record: PartRecord) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); run its stage again") from error
    if len(data) != record.num_bytes:
        raise DataError(f"{path}: {len(data)} bytes, its record says {record.num_bytes}; run its stage again")
    if sha256_of_bytes(data) != record.sha256:
        raise DataError(f"{path}: damaged: its sha256 is not the recorded one; run its stage again")
    return data
