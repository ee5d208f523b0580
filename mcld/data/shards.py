"""Shards: tars that plain WebDataset reads, one sample an outfit, every byte answered for by the manifest.

A sample is `<outfit>.json`, then `<outfit>.<view>.<member>` for every view. The JSON names the sha256 of the
sample's other members; `samples.jsonl` names that of every JSON; `manifest.json` names that of
`samples.jsonl` and of every tar. So damage is found while streaming, and is told by shard and sample.

Members are a view's conditions and its latents, unless `latents.cache` is false: then these are made from
pixels when a sample is decoded. The manifest holds the latents' settings in either case. `pose.webp` is the
IUV map at the model's size. The originals of all views (pictures, and IUV maps of their size) come last, so
that what training from kept latents needs of a sample is read in one piece, without them.
"""

from __future__ import annotations

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
from mcld.data.manifest import MANIFEST_NAME, check_file_in, read_manifest_in, read_named_file
from mcld.data.tar import END_OF_TAR, TarMember, list_members, read_members
from mcld.errors import DataError
from mcld.progress import track
from mcld.storage import Folder, canonical_json, open_folder, sha256_of_bytes, sha256_of_file, write_bytes
from mcld.types import IuvResize, Latents, Manifest, Pair

SAMPLES_NAME = "samples.jsonl"
FACTS_MEMBER = "json"
BLANK_NAME = "blank.npy"  # (D,) float32: the blank image's CLIP embedding, beside latents
LATENT_MEMBERS = tuple(f"{array.name}.npy" for array in fields(Latents))
# What training needs only to make latents, or to bring maps to the model's size in another way.
ORIGINAL_MEMBERS = ("iuv.png", "image.jpg", "texture.png")
CONDITION_MEMBERS = ("face.npy", "pose.webp", *ORIGINAL_MEMBERS)
POSE_RESIZE: IuvResize = "nearest"  # of pose.webp: part numbers are labels
_TAR_ORDER = ("face.npy", *LATENT_MEMBERS, "pose.webp", *ORIGINAL_MEMBERS)
REMEDY = "run the stage 'shards' again"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutfitSample:
    """One row of samples.jsonl: where an outfit lies and which pairs it gives.

    `pairs` are (source, target) positions in `views`; `sha256` is of the sample's JSON; `offset` and
    `num_bytes` delimit its members within the tar, `num_training_bytes` those before the originals;
    `image_hw` is each view's own height and width.
    """

    split: str
    shard: str
    outfit: str
    views: tuple[str, ...]
    face_found: tuple[bool, ...]
    image_hw: tuple[tuple[int, int], ...]
    pairs: tuple[tuple[int, int], ...]
    sha256: str
    offset: int
    num_bytes: int
    num_training_bytes: int

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

    folder: Folder
    manifest: Manifest
    samples: tuple[OutfitSample, ...]

    @classmethod
    def open(cls, place: Path | str | Folder) -> ShardSet:
        """Raises DataError when the stage has not finished, or a tar is missing or of another length."""
        folder = open_folder(place) if isinstance(place, Path | str) else place
        manifest = read_manifest_in(folder)
        for record in manifest.parts:
            num_bytes = folder.size(record.path)
            if num_bytes != record.num_bytes:
                found = "is missing" if num_bytes is None else f"has {num_bytes} bytes"
                raise DataError(
                    f"{folder.place}/{record.path}: {found}, "
                    f"the manifest says {record.num_bytes} bytes; {REMEDY}"
                )
        return cls(folder=folder, manifest=manifest, samples=_read_samples(folder, manifest=manifest))

    @property
    def place(self) -> str:
        """Path or address of the folder, as errors name it."""
        return self.folder.place

    @cached_property
    def latents(self) -> LatentsParams:
        """The settings that the latents were made with, or are to be made with if the shards hold none.

        Raises DataError when the manifest does not say.
        """
        return latents_of(self.manifest, place=self.place)

    def read_blank(self) -> np.ndarray:
        """(D,) float32, the blank image's CLIP embedding. Raises DataError when it is missing or damaged."""
        return decode_npy(
            read_named_file(BLANK_NAME, manifest=self.manifest, folder=self.folder), shape=(None,)
        )

    def of_split(self, split: str) -> tuple[OutfitSample, ...]:
        """Samples of one split. Raises DataError when there are none."""
        samples = tuple(sample for sample in self.samples if sample.split == split)
        if not samples:
            known = ", ".join(sorted({sample.split for sample in self.samples}))
            raise DataError(f"{self.place}/{MANIFEST_NAME}: no samples of split '{split}'; it has {known}")
        return samples

    def read_sample(self, sample: OutfitSample) -> dict[str, bytes]:
        """Members of one sample, by random access: suffix to bytes, verified."""
        place = place_of(sample, folder=self.folder)
        data = self.folder.read_range(sample.shard, offset=sample.offset, num_bytes=sample.num_bytes)
        members = {}
        for name, member in read_members(data + END_OF_TAR, place=place):
            members[split_name(name, place=place)[1]] = member
        check_sample(members, sample=sample, place=place)
        return members


def latents_of(manifest: Manifest, *, place: str) -> LatentsParams:
    """The settings of the latents of a set of shards. Raises DataError when the manifest does not say."""
    try:
        return LatentsParams.model_validate(manifest.settings["latents"])
    except (KeyError, ValidationError) as error:
        raise DataError(
            f"{place}/{MANIFEST_NAME}: its latents' settings are not of this version; {REMEDY}"
        ) from error


def sample_members(
    outfit: str,
    *,
    split: str,
    views: Mapping[str, Mapping[str, bytes]],  # view to member to bytes
    members: Sequence[str],  # those that every view has
    face_found: Iterable[bool],
    image_hw: Iterable[tuple[int, int]],
    pairs: Iterable[tuple[int, int]],
) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of one sample's members in tar order: the JSON, view by view, then all originals."""
    ordered = [member for member in _TAR_ORDER if member in members]
    assert len(ordered) == len(members), members
    originals = [member for member in ordered if member in ORIGINAL_MEMBERS]
    others = [member for member in ordered if member not in ORIGINAL_MEMBERS]
    data_of = {
        f"{view}.{member}": views[view][member]
        for group in (others, originals)
        for view in views
        for member in group
    }
    facts = {
        "outfit": outfit,
        "split": split,
        "views": list(views),
        "face_found": list(face_found),
        "image_hw": [list(size) for size in image_hw],
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
        groups = _by_sample(list_members(file, place=str(path)), place=str(path))
        return [_row(file, members=members, path=path) for members in groups]


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
        check_file_in(shards.folder, name=record.path, num_bytes=record.num_bytes, sha256=record.sha256)
    return len(shards.samples)


def check_sample(
    members: Mapping[str, bytes], *, sample: OutfitSample, place: str, with_originals: bool = True
) -> None:
    """Raises DataError naming shard and sample when any member is missing, surplus or altered.

    Without originals these may be absent, and nothing else.
    """
    facts = members.get(FACTS_MEMBER)
    if facts is None or sha256_of_bytes(facts) != sample.sha256:
        raise DataError(f"{place}: its JSON is {'missing' if facts is None else 'altered'}; {REMEDY}")
    expected = {
        suffix: sha256
        for suffix, sha256 in json.loads(facts)["members"].items()
        if with_originals or not is_original(suffix)
    }
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


def is_original(suffix: str) -> bool:
    """Whether `1_front.image.jpg` and its like come after what training reads."""
    return suffix.partition(".")[2] in ORIGINAL_MEMBERS


def split_name(name: str, *, place: str) -> tuple[str, str]:
    """`outfit.1_front.iuv.png` gives `outfit` and `1_front.iuv.png`, as WebDataset splits it."""
    outfit, dot, suffix = name.partition(".")
    if not (outfit and dot and suffix) or "/" in name:
        raise DataError(f"{place}: member {name!r} is not named outfit.view.member; {REMEDY}")
    return outfit, suffix


def place_of(sample: OutfitSample, *, folder: Folder) -> str:
    """How errors name a sample: its shard, then itself."""
    return f"{folder.place}/{sample.shard}: sample {sample.outfit}"


def _by_sample(members: Iterable[TarMember], *, place: str) -> list[list[TarMember]]:
    """Every outfit's members, the first of which must be its JSON."""
    groups: list[list[TarMember]] = []
    seen: set[str] = set()
    current = ""
    for member in members:
        outfit, suffix = split_name(member.name, place=place)
        if outfit == current:
            groups[-1].append(member)
            continue
        if outfit in seen:
            raise DataError(f"{place}: members of sample {outfit} are not adjacent; {REMEDY}")
        if suffix != FACTS_MEMBER:
            raise DataError(
                f"{place}: sample {outfit} begins with {member.name}, not with its JSON; {REMEDY}"
            )
        seen.add(outfit)
        groups.append([member])
        current = outfit
    return groups


def _end_of(member: TarMember) -> int:
    return member.data_offset + -(-member.num_bytes // 512) * 512  # tars fill up blocks of 512 bytes


def _row(file: IO[bytes], *, members: Sequence[TarMember], path: Path) -> OutfitSample:
    first = members[0]
    training = [member for member in members if not is_original(split_name(member.name, place=str(path))[1])]
    file.seek(first.data_offset)
    data = file.read(first.num_bytes)
    facts = json.loads(data)
    return OutfitSample(
        split=facts["split"],
        shard=path.name,
        outfit=facts["outfit"],
        views=tuple(facts["views"]),
        face_found=tuple(facts["face_found"]),
        image_hw=_pairs_of(facts["image_hw"]),
        pairs=_pairs_of(facts["pairs"]),
        sha256=sha256_of_bytes(data),
        offset=first.offset,
        num_bytes=_end_of(members[-1]) - first.offset,
        num_training_bytes=_end_of(training[-1]) - first.offset,
    )


def _read_samples(folder: Folder, *, manifest: Manifest) -> tuple[OutfitSample, ...]:
    lines = read_named_file(SAMPLES_NAME, manifest=manifest, folder=folder).decode().splitlines()
    try:
        return tuple(_sample_of(json.loads(line)) for line in lines)
    except TypeError as error:
        raise DataError(f"{folder.place}/{SAMPLES_NAME}: not of this version; {REMEDY}") from error


def _sample_of(fields: dict[str, Any]) -> OutfitSample:
    """JSON has lists where the type has tuples."""
    for name in ("views", "face_found"):
        fields[name] = tuple(fields[name])
    for name in {"pairs", "image_hw"} & fields.keys():
        fields[name] = _pairs_of(fields[name])
    return OutfitSample(**fields)


def _pairs_of(lists: Iterable[Sequence[int]]) -> tuple[tuple[int, int], ...]:
    return tuple((first, second) for first, second in lists)
