"""One part of the index, from each of the three origins: people rendered here, an image folder, a zip.

A part's file `part-00007.images.json` lists its images, and, with their sha256, the files that were written
beside it, so that a repeated run trusts no file for being there.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

from mcld import faults
from mcld.data.deepfashion import ImageName
from mcld.data.scan import (
    FILE_NOT_FOUND,
    STAGE,
    RawImage,
    ScannedImage,
    ScanRules,
    check_siblings,
    raw_image,
    read_image_file,
    scan_image,
)
from mcld.data.tar import list_members, write_tar
from mcld.data.zip_images import ZipMember, read_images
from mcld.errors import ConfigError, DataError
from mcld.stages.parts import PartOutput, PartWork
from mcld.stages.raw import Rendering, SplitName, render_outfits
from mcld.storage import read_json, sha256_of_file, write_json
from mcld.types import ImageRecord

PART_SUFFIX = ".images.json"
TAR_SUFFIX = ".images.tar"  # beside a part from a zip: its images, as they came
PASSWORD_VARIABLE = "MCLD_DEEPFASHION_PASSWORD"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetPart:
    """Listed images, as (split, name), or people to render, as (split, number).

    `members` are the places of listed images in a zip; None where the zip has no such image.
    """

    index: int
    names: tuple[SplitName, ...] = ()
    members: tuple[ZipMember | None, ...] = ()
    people: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetWork(PartWork[DatasetPart]):
    """What the origins share: `files_dir` is where a part's own files lie."""

    files_dir: Path
    rules: ScanRules

    suffix = PART_SUFFIX

    def is_intact(self, path: Path) -> bool:
        """Whether every file written beside the part is still the one written."""
        return all(
            (self.files_dir / file).is_file() and sha256_of_file(self.files_dir / file) == sha256
            for file, sha256 in read_part(path).files.items()
        )

    def write(self, path: Path, *, scanned: Sequence[ScannedImage], files: Iterable[str]) -> PartOutput:
        """Write the part's file."""
        images = [asdict(image.record) for image in scanned if image.record]
        hashes = {file: sha256_of_file(self.files_dir / file) for file in sorted(files)}
        write_json(path, value={"images": images, "files": hashes})
        exclusions = tuple(image.exclusion for image in scanned if image.exclusion)
        return PartOutput(num_items=len(images), exclusions=exclusions, counts=_notes(scanned))


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedPeople(DatasetWork):
    """Renders a part's people, then looks at every image."""

    rendering: Rendering

    def inputs(self, payload: DatasetPart) -> object:
        """The people's numbers."""
        return [list(person) for person in payload.people]

    def build(self, payload: DatasetPart, *, path: Path) -> PartOutput:
        """Render, then scan in key order."""
        names, files = render_outfits(payload.people, root_dir=self.files_dir, rendering=self.rendering)
        raws = _read_files(self.files_dir, names=names)
        scanned = [_scan(raw, part=payload.index, rules=self.rules) for raw in raws]
        return self.write(path, scanned=scanned, files=files)


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderImages(DatasetWork):
    """Looks at a part's images in a folder; each is read and hashed once."""

    learns_inputs = True

    def inputs(self, payload: DatasetPart) -> object:
        """What every listed file holds."""
        return [_input_of(raw) for raw in _read_files(self.files_dir, names=payload.names)]

    def build(self, payload: DatasetPart, *, path: Path) -> PartOutput:
        """Scan the part's images, in key order."""
        inputs, scanned = [], []
        for raw in _read_files(self.files_dir, names=payload.names):
            inputs.append(_input_of(raw))
            scanned.append(_scan(raw, part=payload.index, rules=self.rules))
        return replace(self.write(path, scanned=scanned, files=()), inputs=inputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class ZippedImages(DatasetWork):
    """Copies a part's usable images out of a zip into a tar beside the part: they are decrypted this once."""

    zip_path: Path

    def inputs(self, payload: DatasetPart) -> object:
        """What the zip's directory says of every listed image; nothing is decrypted for it."""
        return [
            [split, name.key, [member.crc32, member.num_bytes] if member else FILE_NOT_FOUND]
            for split, name, member in _members(payload)
        ]

    def build(self, payload: DatasetPart, *, path: Path) -> PartOutput:
        """Read, scan and copy the part's images, in key order."""
        tar_path = path.with_name(path.name.removesuffix(PART_SUFFIX) + TAR_SUFFIX)
        scanned: list[ScannedImage] = []

        def copied() -> Iterator[tuple[str, bytes]]:
            for raw in self._read(payload):
                image = scan_image(raw, path=tar_path.name, part=payload.index, rules=self.rules)
                scanned.append(image)
                if image.record:
                    yield raw.name.path, raw.data

        write_tar(tar_path, members=copied())
        faults.passing(f"{STAGE}:images_written")
        return self.write(path, scanned=_with_offsets(scanned, tar_path=tar_path), files=[tar_path.name])

    def _read(self, payload: DatasetPart) -> Iterator[RawImage]:
        members = _members(payload)
        found = [member for _, _, member in members if member]
        data = read_images(self.zip_path, members=found, password=password_from_environment())
        for split, name, member in members:
            yield raw_image(next(data) if member else FILE_NOT_FOUND, name=name, split=split)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPart:
    """A part's file, read back."""

    images: tuple[ImageRecord, ...]
    files: dict[str, str]


def read_part(path: Path) -> StoredPart:
    """Raises DataError when the file is not of this version."""
    value = cast("dict[str, object]", read_json(path))
    try:
        images = cast("list[dict[str, object]]", value["images"])
        records = tuple(ImageRecord(**image) for image in images)  # type: ignore[arg-type]
        return StoredPart(images=records, files=cast("dict[str, str]", value["files"]))
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{path}: not a part of this version ({error}); delete it and run the stage again"
        ) from error


def password_from_environment() -> bytes | None:
    """The zip's password. It is read where it is needed, so that no parameter, record or log holds it."""
    password = os.environ.get(PASSWORD_VARIABLE)
    return password.encode() if password else None


def required_password(zip_path: Path) -> bytes:
    """Raises ConfigError naming the environment variable when there is none."""
    password = password_from_environment()
    if password is None:
        raise ConfigError(
            f"{zip_path}: is encrypted; set the environment variable {PASSWORD_VARIABLE} to the "
            "password that DeepFashion's makers gave you, then repeat the command"
        )
    return password


def _read_files(root_dir: Path, *, names: Iterable[SplitName]) -> Iterator[RawImage]:
    """Every image, in key order. Raises DataError on two files for one image."""
    ordered = sorted(names, key=lambda entry: entry[1].key)
    for folder in sorted({(root_dir / name.path).parent for _, name in ordered}):
        check_siblings(folder)
    for split, name in ordered:
        yield read_image_file(root_dir, name=name, split=split)


def _input_of(raw: RawImage) -> list[str]:
    return [raw.split, raw.name.key, raw.digest]


def _members(payload: DatasetPart) -> list[tuple[str, ImageName, ZipMember | None]]:
    """(split, name, member) in key order."""
    entries = zip(payload.names, payload.members, strict=True)
    return sorted(
        ((split, name, member) for (split, name), member in entries), key=lambda entry: entry[1].key
    )


def _scan(raw: RawImage, *, part: int, rules: ScanRules) -> ScannedImage:
    return scan_image(raw, path=raw.name.path, part=part, rules=rules)


def _with_offsets(scanned: Iterable[ScannedImage], *, tar_path: Path) -> list[ScannedImage]:
    """The same images, each with its place in the tar, which holds them in this order."""
    with tar_path.open("rb") as file:
        offsets = [member.data_offset for member in list_members(file, place=str(tar_path))]
    placed = iter(offsets)
    return [
        replace(image, record=replace(image.record, offset=next(placed))) if image.record else image
        for image in scanned
    ]


def _notes(scanned: Iterable[ScannedImage]) -> dict[str, int]:
    """How many images were converted, by what they were."""
    return dict(sorted(Counter(f"converted_{note}" for image in scanned for note in image.notes).items()))
