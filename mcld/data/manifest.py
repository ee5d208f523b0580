"""Manifests and part records as JSON: what a stage wrote, from what, and what it left out.

A part's record (`part-00000.json`) is written after the part, and `manifest.json` after all records, so a
file that is named by a record is whole. Neither holds a time or the path of a machine: equal work gives equal
bytes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import cast

from mcld.errors import DataError
from mcld.storage import Folder, LocalFolder, read_json, sha256_of_bytes, sha256_of_file, write_json
from mcld.types import Exclusion, Manifest, PartRecord

MANIFEST_NAME = "manifest.json"
_BLOCK_BYTES = 8 << 20  # asked for at once: few requests, little memory


def write_manifest(directory: Path, *, manifest: Manifest) -> None:
    """Atomically write `directory`/manifest.json."""
    write_json(directory / MANIFEST_NAME, value=asdict(manifest))


def read_manifest(directory: Path) -> Manifest:
    """Read `directory`/manifest.json.

    Raises DataError when the stage has not finished or the file is damaged.
    """
    return read_manifest_in(LocalFolder(directory))


def read_manifest_in(folder: Folder) -> Manifest:
    """As `read_manifest`, from a folder wherever it lies."""
    path = f"{folder.place}/{MANIFEST_NAME}"
    if folder.size(MANIFEST_NAME) is None:
        stage = folder.place.rstrip("/").rpartition("/")[2]
        raise DataError(f"{path}: not found; the stage '{stage}' has not finished here: run it first")
    try:
        value = json.loads(folder.read(MANIFEST_NAME))
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON ({error}); delete it and run its stage again") from error
    fields = _as_object(value, place=path)
    try:
        parts = tuple(_part_record(part) for part in cast("list[dict[str, object]]", fields.pop("parts")))
        return Manifest(parts=parts, **fields)  # type: ignore[arg-type]
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: not a manifest of this version ({error}); run the stage again") from error


def whole_manifest(directory: Path) -> Manifest | None:
    """The manifest, if every part that it names lies there undamaged; None when anything is amiss."""
    try:
        manifest = read_manifest(directory)
        for part in manifest.parts:
            check_file(directory / part.path, sha256=part.sha256)
    except DataError:
        return None
    return manifest


def write_record(path: Path, *, record: PartRecord) -> None:
    """Atomically write one part's record."""
    write_json(path, value=asdict(record))


def read_record(path: Path) -> PartRecord | None:
    """Read one part's record; None when there is none, or a damaged one: its part is then made again."""
    if not path.is_file():
        return None
    try:
        return _part_record(_as_object(read_json(path), place=path))
    except (DataError, KeyError, TypeError):
        return None


def part_of(manifest: Manifest, *, index: int, directory: Path) -> PartRecord:
    """The record of part `index`. Raises DataError when the manifest has no such part."""
    for record in manifest.parts:
        if record.index == index:
            return record
    raise DataError(
        f"{directory / MANIFEST_NAME}: has no part {index} of {len(manifest.parts)}; run its stage again"
    )


def read_named_file(name: str, *, manifest: Manifest, folder: Folder) -> bytes:
    """An output beside the parts. Raises DataError when the manifest does not name it, or it is damaged."""
    if name not in manifest.files:
        raise DataError(
            f"{folder.place}/{MANIFEST_NAME}: does not name {name}; run the stage '{manifest.stage}' again"
        )
    if folder.size(name) is None:
        raise _missing(f"{folder.place}/{name}")
    data = folder.read(name)
    _check_sha256(sha256_of_bytes(data), expected=manifest.files[name], place=f"{folder.place}/{name}")
    return data


def check_file(path: Path, *, sha256: str) -> None:
    """Raises DataError when a file is missing or is not the one that its manifest speaks of."""
    if not path.is_file():
        raise _missing(str(path))
    _check_sha256(sha256_of_file(path), expected=sha256, place=str(path))


def check_file_in(folder: Folder, *, name: str, num_bytes: int, sha256: str) -> None:
    """As `check_file`, of a folder wherever it lies; never more than a block of it in memory."""
    if folder.size(name) is None:
        raise _missing(f"{folder.place}/{name}")
    digest = hashlib.sha256()
    for offset in range(0, num_bytes, _BLOCK_BYTES):
        digest.update(folder.read_range(name, offset=offset, num_bytes=_BLOCK_BYTES))
    _check_sha256(digest.hexdigest(), expected=sha256, place=f"{folder.place}/{name}")


def _missing(place: str) -> DataError:
    return DataError(f"{place}: missing, though the manifest names it; run its stage again")


def _check_sha256(found: str, *, expected: str, place: str) -> None:
    if found != expected:
        raise DataError(
            f"{place}: damaged: sha256 {found[:12]}…, the manifest says {expected[:12]}…; run its stage again"
        )


def _part_record(fields: dict[str, object]) -> PartRecord:
    exclusions = cast("list[dict[str, str]]", fields.pop("exclusions"))
    kept = tuple(Exclusion(**exclusion) for exclusion in exclusions)
    return PartRecord(exclusions=kept, **fields)  # type: ignore[arg-type]


def _as_object(value: object, *, place: Path | str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise DataError(f"{place}: holds {type(value).__name__}, not an object; run its stage again")
    return value
