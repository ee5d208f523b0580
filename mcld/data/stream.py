"""Stream samples of shards through WebDataset: strict members, every sample verified, no byte without need.

WebDataset alone would skip links, open `pipe:` addresses, and take a cut tar for a shorter one. Here the
bytes are read by us, of each sample only the piece that is asked for; each member is checked, and what must
come is known beforehand.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from tarfile import BLOCKSIZE

from mcld.data.shards import REMEDY, OutfitSample, ShardSet, check_sample, place_of
from mcld.data.tar import END_OF_TAR, read_members
from mcld.errors import DataError
from mcld.storage import Folder, LocalFolder

_NUM_READERS = 4  # of an object store: each request waits for its answer
_NUM_READ_AHEAD = 12


def stream_samples(
    shards: ShardSet, *, samples: Sequence[OutfitSample], with_originals: bool = True
) -> Iterator[tuple[OutfitSample, dict[str, bytes]]]:
    """(sample, members) of `samples`, in their order; without pictures the bytes of these are not read.

    From an object store several samples are read ahead. Raises DataError naming shard and sample when
    anything is missing, altered or out of place.
    """
    from webdataset import DataPipeline
    from webdataset.tariterators import group_by_keys

    def read(sample: OutfitSample) -> bytes:
        num_bytes = sample.num_bytes if with_originals else sample.num_training_bytes
        return shards.folder.read_range(sample.shard, offset=sample.offset, num_bytes=num_bytes)

    def members(samples: Iterable[OutfitSample]) -> Iterator[dict[str, object]]:
        return _members(samples, read=read, folder=shards.folder)

    # A list within a list: WebDataset takes the outer one for stages, the inner one for its source.
    arriving = iter(DataPipeline([list(samples)], members, group_by_keys))
    for sample in samples:
        place = place_of(sample, folder=shards.folder)
        try:
            raw = next(arriving, None)
        except (OSError, ValueError) as error:
            raise DataError(f"{place}: cannot be read ({error}); {REMEDY}") from error
        if raw is None or raw["__key__"] != sample.outfit:
            lies = "nothing" if raw is None else f"sample {raw['__key__']}"
            raise DataError(f"{place}: {lies} lies where it must be; {REMEDY}")
        found = {suffix: data for suffix, data in raw.items() if not suffix.startswith("__")}
        check_sample(found, sample=sample, place=place, with_originals=with_originals)
        yield sample, found


def _members(
    samples: Iterable[OutfitSample], *, read: Callable[[OutfitSample], bytes], folder: Folder
) -> Iterator[dict[str, object]]:
    """Members in the form that WebDataset groups. Each sample's piece of a tar is a tar by itself."""
    pieces = _each(samples, read=read) if isinstance(folder, LocalFolder) else _ahead(samples, read=read)
    for sample, data in pieces:
        place = place_of(sample, folder=folder)
        if not data[:BLOCKSIZE].strip(b"\0"):
            raise DataError(f"{folder.place}/{sample.shard}: ends before sample {sample.outfit}; {REMEDY}")
        for name, member in read_members(data + END_OF_TAR, place=place):
            yield {"fname": name, "data": member, "__url__": place}
        yield {}  # WebDataset's mark for an end: nothing that follows is of this sample


def _each(
    samples: Iterable[OutfitSample], *, read: Callable[[OutfitSample], bytes]
) -> Iterator[tuple[OutfitSample, bytes]]:
    for sample in samples:
        yield sample, read(sample)


def _ahead(
    samples: Iterable[OutfitSample], *, read: Callable[[OutfitSample], bytes]
) -> Iterator[tuple[OutfitSample, bytes]]:
    """The same, with several requests under way."""
    pool = ThreadPoolExecutor(_NUM_READERS)
    waiting: deque[tuple[OutfitSample, Future[bytes]]] = deque()
    try:
        for sample in samples:
            waiting.append((sample, pool.submit(read, sample)))
            if len(waiting) > _NUM_READ_AHEAD:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
