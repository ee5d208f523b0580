"""Stream shards through WebDataset: plain local files only, strict members, every sample verified.

WebDataset alone would skip links, open `pipe:` addresses, and take a cut tar for a shorter one. Here the
files are opened by us, each member is checked, and what must come is known beforehand.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from mcld.data.shards import REMEDY, OutfitSample, ShardSet, check_sample
from mcld.data.tar import check_member
from mcld.errors import DataError


def stream_samples(
    shards: ShardSet, *, samples: Sequence[OutfitSample]
) -> Iterator[tuple[OutfitSample, dict[str, bytes]]]:
    """(sample, members) of `samples`, which must be ordered shard by shard as they lie there.

    Raises DataError naming shard and sample when anything is missing, altered or out of place.
    """
    for shard, wanted in _by_shard(samples):
        path = shards.directory / shard
        keys = {sample.outfit for sample in wanted}
        last = wanted[-1].outfit
        raw = _raw_samples(path, expected=shards.by_shard[shard])
        for sample, members in raw:
            if sample.outfit in keys:
                check_sample(members, sample=sample, path=path)
                yield sample, members
            if sample.outfit == last:
                break  # what follows in this shard is not asked for: do not read it


def _by_shard(samples: Sequence[OutfitSample]) -> Iterator[tuple[str, list[OutfitSample]]]:
    groups: dict[str, list[OutfitSample]] = {}
    for sample in samples:
        groups.setdefault(sample.shard, []).append(sample)
    yield from groups.items()


def _raw_samples(
    path: Path, *, expected: Sequence[OutfitSample]
) -> Iterator[tuple[OutfitSample, dict[str, bytes]]]:
    """What WebDataset reads from one shard, held against what must come."""
    from webdataset import DataPipeline
    from webdataset.tariterators import group_by_keys

    # A list within a list: WebDataset takes the outer one for stages, the inner one for its source.
    arriving = iter(DataPipeline([[path]], _read_shards, group_by_keys))
    for sample in expected:
        try:
            raw = next(arriving, None)
        except (tarfile.TarError, OSError, ValueError) as error:
            raise DataError(
                f"{path}: broken at or before sample {sample.outfit} ({error}); {REMEDY}"
            ) from error
        if raw is None:
            raise DataError(f"{path}: ends before sample {sample.outfit}; {REMEDY}")
        if raw["__key__"] != sample.outfit:
            raise DataError(f"{path}: sample {raw['__key__']} lies where {sample.outfit} must be; {REMEDY}")
        yield sample, {suffix: data for suffix, data in raw.items() if not suffix.startswith("__")}


def _read_shards(paths: Iterable[Path]) -> Iterator[dict[str, object]]:
    """Members of tars in the form that WebDataset groups."""
    for path in paths:
        with path.open("rb") as file:
            yield from _read_members(file, path=path)
        yield {}  # WebDataset's mark for the end of a shard


def _read_members(file: IO[bytes], *, path: Path) -> Iterator[dict[str, object]]:
    with tarfile.open(fileobj=file, mode="r|") as tar:
        for info in tar:
            check_member(info, place=str(path))
            member = tar.extractfile(info)
            assert member is not None  # check_member lets plain files through only
            yield {"fname": info.name, "data": member.read(), "__url__": str(path)}
            tar.members = []  # type: ignore[attr-defined]  # else the list grows with the tar
