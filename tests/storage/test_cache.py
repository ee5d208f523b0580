"""A bounded cache of whole files: fetched once, verified, evicted by age, shared by processes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mcld.errors import ConfigError, DataError, StorageError
from mcld.storage import LocalFolder, sha256_of_bytes
from mcld.storage.cache import CachedFolder
from tests.s3_server import Fault
from tests.stores import Store

NAMES = ("a.tar", "b.tar", "c.tar")
NUM_BYTES = 5000
DATA = {
    name: np.random.default_rng(seed).integers(0, 256, NUM_BYTES, np.uint8).tobytes()
    for seed, name in enumerate(NAMES)
}
SHA256S = {name: sha256_of_bytes(data) for name, data in DATA.items()}

MakeCache = Callable[[int], CachedFolder]


@pytest.fixture
def cached(store: Store, tmp_path: Path) -> MakeCache:
    for name, data in DATA.items():
        store.put(name, data)
    return lambda max_bytes: CachedFolder(
        source=store.folder, directory=tmp_path / "cache", max_bytes=max_bytes, sha256s=SHA256S
    )


def kept(cache: CachedFolder) -> set[str]:
    """Names of the files that are kept now."""
    there = {path.name for path in cache.directory.iterdir()}
    return {name for name, sha256 in SHA256S.items() if sha256 in there}


def read(cache: CachedFolder, name: str) -> None:
    assert cache.read_range(name, offset=100, num_bytes=50) == DATA[name][100:150]


def test_a_file_is_fetched_once_and_then_read_from_the_disk(store: Store, cached: MakeCache) -> None:
    cache = cached(3 * NUM_BYTES)
    for _ in range(3):
        read(cache, "a.tar")
        assert cache.read("a.tar") == DATA["a.tar"]
    assert cache.read_range("a.tar", offset=NUM_BYTES - 5, num_bytes=50) == DATA["a.tar"][-5:]
    assert len(store.script.of("GET", "a.tar")) == 1


def test_the_file_that_was_not_read_for_longest_goes(cached: MakeCache) -> None:
    cache = cached(2 * NUM_BYTES)
    read(cache, "a.tar")
    read(cache, "b.tar")
    for age_s, name in ((100, "a.tar"), (200, "b.tar")):  # clocks of file systems may be coarse
        os.utime(cache.directory / SHA256S[name], times=(0, 1e9 - age_s))
    read(cache, "b.tar")
    read(cache, "c.tar")
    assert kept(cache) == {"b.tar", "c.tar"}


def test_altered_bytes_are_not_kept(store: Store, cached: MakeCache) -> None:
    cache = cached(2 * NUM_BYTES)
    store.script.begin(Fault(kind="flip", match="a.tar", after_bytes=3))
    with pytest.raises(StorageError, match=r"set/a\.tar: damaged: .*; push it again"):
        read(cache, "a.tar")
    assert not kept(cache)
    read(cache, "a.tar")


def test_names_without_a_hash_are_read_where_they_lie(store: Store, cached: MakeCache) -> None:
    cache = cached(NUM_BYTES)
    store.put("notes", b"12345")
    assert (cache.read("notes"), cache.read_range("notes", offset=1, num_bytes=2)) == (b"12345", b"23")
    assert cache.size("notes") == 5
    assert not cache.directory.exists()


def test_a_bound_below_one_file_and_a_missing_file_are_told(store: Store, cached: MakeCache) -> None:
    with pytest.raises(
        ConfigError, match=r"a cache of 4999 bytes cannot hold .*with its 5000; make it larger"
    ):
        read(cached(NUM_BYTES - 1), "a.tar")
    with pytest.raises(ConfigError, match="holds nothing"):
        cached(0)
    store.folder.bucket.remove(store.folder.key("a.tar"))
    with pytest.raises(DataError, match=r"set/a\.tar: not found"):
        read(cached(NUM_BYTES), "a.tar")


def test_processes_share_what_one_fetched(store: Store, cached: MakeCache) -> None:
    cache = cached(2 * NUM_BYTES)
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        found = pool.map(cache.read, [*NAMES] * 4)
    assert found == [DATA[name] for name in NAMES] * 4
    assert len(kept(cache)) == 2


def test_what_a_killed_process_left_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(DATA["a.tar"])
    cache = CachedFolder(
        source=LocalFolder(tmp_path), directory=tmp_path / "cache", max_bytes=NUM_BYTES, sha256s=SHA256S
    )
    cache.directory.mkdir()
    leftover = cache.directory / f".{SHA256S['a.tar']}.1.tmp"
    leftover.touch()
    read(cache, "a.tar")
    assert not leftover.exists()
