"""Shards: tars that plain WebDataset reads, one sample an outfit, every byte answered for by the manifest.

A sample is `<outfit>.json`, then `<outfit>.<view>.<member>` for every view. The JSON names the sha256 of the
sample's other members; `samples.jsonl` names that of every JSON; `manifest.json` names that of
`samples.jsonl` and of every tar. So damage is found while streaming, and is told by shard and sample.

Members are a view's conditions and its latents, unless `latents.cache` is false: then these are made from
pixels when a sample is decoded. The manifest holds the latents' settings in either case.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np
from pydantic import ValidationError

from mcld.config import LatentsParams
from mcld.data.codec import decode_npy
from mcld.data.manifest import MANIFEST_NAME, check_file, read_manifest, read_named_file
from mcld.data.tar import TarMember, list_members, read_members
from mcld.errors import DataError
from mcld.progress import track
from mcld.storage import canonical_json, sha256_of_bytes, sha256_of_file, write_bytes
from mcld.types import Latents, Manifest, Pair

SAMPLES_NAME = "samples.jsonl"
FACTS_MEMBER = "json"
BLANK_NAME = "blank.npy"  # (D,) float32: the blank image's CLIP embedding, beside latents
CONDITION_MEMBERS = ("image.jpg", "iuv.png", "texture.png", "face.npy")
LATENT_MEMBERS = tuple(f"{array.name}.npy" for array in fields(Latents))
REMEDY = "run the stage 'shards' again"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutfitSample:
    """One row of samples.jsonl: where an outfit lies and which pairs it gives.

    `pairs` are (source, target) positions in `views`; `sha256` is of the sample's JSON; `offset` and
    `num_bytes` delimit its members within the tar.
    """

    split: str
    shard: str
    outfit: str
    views: tuple[str, ...]
    face_found: tuple[bool, ...]
    pairs: tuple[tuple[int, int], ...]
    sha256: str
    offset: int
    num_bytes: int

    def pair(self, number: int) -> Pair:
        """The `number`-th pair, as image keys."""
        source, target = self.pairs[number]
        return Pair(source=self.key(source), target=self.key(target), split=self.split)

    def key(self, view_index: int) -> str:
        """The image key of a view."""
        return f"{self.outfit}/{self.views[view_index]}"


@dataclass(frozen=True, kw_only=True)
class ShardSet:
    """A finished set of shards: folder, manifest, and the samples in the order they lie in the tars."""

    directory: Path
    manifest: Manifest
    samples: tuple[OutfitSample, ...]

    @classmethod
    def open(cls, directory: Path) -> ShardSet:
        """Raises DataError when the stage has not finished, or a tar is missing or of another length."""
        manifest = read_manifest(directory)
        for record in manifest.parts:
            path = directory / record.path
            num_bytes = path.stat().st_size if path.is_file() else None
            if num_bytes != record.num_bytes:
                found = "is missing" if num_bytes is None else f"has {num_bytes} bytes"
                raise DataError(f"{path}: {found}, the manifest says {record.num_bytes} bytes; {REMEDY}")
        return cls(
            directory=directory, manifest=manifest, samples=_read_samples(directory, manifest=manifest)
        )

    @cached_property
    def latents(self) -> LatentsParams:
        """The settings that the latents were made with, or are to be made with if the shards hold none.

        Raises DataError when the manifest does not say.
        """
        return latents_of(self.manifest, directory=self.directory)

    def read_blank(self) -> np.ndarray:
        """(D,) float32, the blank image's CLIP embedding. Raises DataError when it is missing or damaged."""
        return decode_npy(
            read_named_file(BLANK_NAME, manifest=self.manifest, directory=self.directory), shape=(None,)
        )

    @cached_property
    def by_shard(self) -> dict[str, tuple[OutfitSample, ...]]:
        """The samples of every shard, as they lie there."""
        groups: dict[str, list[OutfitSample]] = {}
        for sample in self.samples:
            groups.setdefault(sample.shard, []).append(sample)
        return {shard: tuple(group) for shard, group in groups.items()}

    def of_split(self, split: str) -> tuple[OutfitSample, ...]:
        """Samples of one split. Raises DataError when there are none."""
        samples = tuple(sample for sample in self.samples if sample.split == split)
        if not samples:
            known = ", ".join(sorted({sample.split for sample in self.samples}))
            raise DataError(
                f"{self.directory / MANIFEST_NAME}: no samples of split '{split}'; it has {known}"
            )
        return samples

    def read_sample(self, sample: OutfitSample) -> dict[str, bytes]:
        """Members of one sample, by random access: suffix to bytes, verified."""
        path = self.directory / sample.shard
        with path.open("rb") as file:
            file.seek(sample.offset)
            data = file.read(sample.num_bytes)
        place = _place(path, sample=sample)
        members = {}
        for name, member in read_members(data + bytes(io.DEFAULT_BUFFER_SIZE), place=place):
            members[split_name(name, place=place)[1]] = member
        check_sample(members, sample=sample, path=path)
        return members


def latents_of(manifest: Manifest, *, directory: Path) -> LatentsParams:
    """The settings of the latents of a set of shards. Raises DataError when the manifest does not say."""
    try:
        return LatentsParams.model_validate(manifest.settings["latents"])
    except (KeyError, ValidationError) as error:
        raise DataError(
            f"{directory / MANIFEST_NAME}: its latents' settings are not of this version; {REMEDY}"
        ) from error


def sample_members(
    outfit: str,
    *,
    split: str,
    views: Mapping[str, Mapping[str, bytes]],  # view to member to bytes
    members: Sequence[str],  # those that every view has, in tar order
    face_found: Iterable[bool],
    pairs: Iterable[tuple[int, int]],
) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of one sample's members in tar order: the JSON, then view by view."""
    data_of = {f"{view}.{member}": views[view][member] for view in views for member in members}
    facts = {
        "outfit": outfit,
        "split": split,
        "views": list(views),
        "face_found": list(face_found),
        "pairs": [list(pair) for pair in pairs],
        "members": {suffix: sha256_of_bytes(data) for suffix, data in data_of.items()},
    }
    yield f"{outfit}.{FACTS_MEMBER}", canonical_json(facts).encode()
    for suffix, data in data_of.items():
        yield f"{outfit}.{suffix}", data


def index_shard(path: Path) -> list[OutfitSample]:
    """Rows of samples.jsonl for one tar, from its headers and JSON members alone.

    Raises DataError on unsafe members and when an outfit's members are not adjacent.
    """
    with path.open("rb") as file:
        members = list(list_members(file, place=str(path)))
        firsts = _first_members(members, place=str(path))
        ends = [first.offset for first in firsts[1:]] + [_end_of(members)]
        return [_row(file, first=first, end=end, path=path) for first, end in zip(firsts, ends, strict=True)]


def write_samples(directory: Path, *, samples: Iterable[OutfitSample]) -> str:
    """Atomically write samples.jsonl; returns its sha256."""
    lines = "".join(canonical_json(asdict(sample)) + "\n" for sample in samples)
    write_bytes(directory / SAMPLES_NAME, data=lines.encode())
    return sha256_of_file(directory / SAMPLES_NAME)


def verify_shards(shards: ShardSet, *, deep: bool) -> int:
    """Hash every tar; returns the number of samples. `deep` hashes sample by sample first, and so names them.

    Raises DataError on the first damage.
    """
    if deep:
        for sample in track(shards.samples, description="verifying samples", total=len(shards.samples)):
            shards.read_sample(sample)
    records = shards.manifest.parts
    for record in track(records, description="verifying shards", total=len(records)):
        check_file(shards.directory / record.path, sha256=record.sha256)
    return len(shards.samples)


def check_sample(members: Mapping[str, bytes], *, sample: OutfitSample, path: Path) -> None:
    """Raises DataError naming shard and sample when any member is missing, surplus or altered."""
    place = _place(path, sample=sample)
    facts = members.get(FACTS_MEMBER)
    if facts is None or sha256_of_bytes(facts) != sample.sha256:
        raise DataError(f"{place}: its JSON is {'missing' if facts is None else 'altered'}; {REMEDY}")
    expected = json.loads(facts)["members"]
    found = {suffix: sha256_of_bytes(data) for suffix, data in members.items() if suffix != FACTS_MEMBER}
    for suffix in sorted(expected.keys() | found.keys()):
        if expected.get(suffix) != found.get(suffix):
            state = (
                "missing"
                if suffix not in found
                else "altered"
                if suffix in expected
                else "not of this sample"
            )
            raise DataError(f"{place}: member {suffix} is {state}; {REMEDY}")


def split_name(name: str, *, place: str) -> tuple[str, str]:
    """`outfit.1_front.iuv.png` gives `outfit` and `1_front.iuv.png`, as WebDataset splits it."""
    outfit, dot, suffix = name.partition(".")
    if not (outfit and dot and suffix) or "/" in name:
        raise DataError(f"{place}: member {name!r} is not named outfit.view.member; {REMEDY}")
    return outfit, suffix


def _place(path: Path, *, sample: OutfitSample) -> str:
    return f"{path}: sample {sample.outfit}"


def _first_members(members: Iterable[TarMember], *, place: str) -> list[TarMember]:
    """Every outfit's first member, which must be its JSON."""
    firsts: list[TarMember] = []
    seen: set[str] = set()
    current = ""
    for member in members:
        outfit, suffix = split_name(member.name, place=place)
        if outfit == current:
            continue
        if outfit in seen:
            raise DataError(f"{place}: members of sample {outfit} are not adjacent; {REMEDY}")
        if suffix != FACTS_MEMBER:
            raise DataError(
                f"{place}: sample {outfit} begins with {member.name}, not with its JSON; {REMEDY}"
            )
        seen.add(outfit)
        firsts.append(member)
        current = outfit
    return firsts


def _end_of(members: list[TarMember]) -> int:
    if not members:
        return 0
    last = members[-1]
    return last.data_offset + -(-last.num_bytes // 512) * 512  # tars fill up blocks of 512 bytes


def _row(file: IO[bytes], *, first: TarMember, end: int, path: Path) -> OutfitSample:
    file.seek(first.data_offset)
    data = file.read(first.num_bytes)
    facts = json.loads(data)
    return OutfitSample(
        split=facts["split"],
        shard=path.name,
        outfit=facts["outfit"],
        views=tuple(facts["views"]),
        face_found=tuple(facts["face_found"]),
        pairs=tuple((source, target) for source, target in facts["pairs"]),
        sha256=sha256_of_bytes(data),
        offset=first.offset,
        num_bytes=end - first.offset,
    )


def _read_samples(directory: Path, *, manifest: Manifest) -> tuple[OutfitSample, ...]:
    lines = read_named_file(SAMPLES_NAME, manifest=manifest, directory=directory).decode().splitlines()
    return tuple(_sample_of(json.loads(line)) for line in lines)


def _sample_of(fields: dict[str, Any]) -> OutfitSample:
    """JSON has lists where the type has tuples."""
    for name in ("views", "face_found"):
        fields[name] = tuple(fields[name])
    fields["pairs"] = tuple((source, target) for source, target in fields["pairs"])
    return OutfitSample(**fields)
