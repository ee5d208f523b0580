"""Training reads the workspace's shards, or a copy of these very shards."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcld.config import RuntimeParams
from mcld.data.shard_copy import open_copy
from mcld.errors import DataError
from mcld.storage import LocalFolder
from mcld.storage.cache import CachedFolder
from tests.data.shard_factory import write_shards


def test_a_copy_is_taken_for_the_shards_only_if_it_is_of_them(tmp_path: Path) -> None:
    ours = write_shards(tmp_path / "ours", views_per_outfit=((2,), (3,)))
    copy = write_shards(tmp_path / "copy", views_per_outfit=((2,), (3,)))
    runtime = RuntimeParams(
        shards_url=str(copy), shards_cache_gib=1, shards_cache_dir=str(tmp_path / "cache")
    )
    assert open_copy(ours, runtime=RuntimeParams(), state_dir=tmp_path) == LocalFolder(ours)
    opened = open_copy(ours, runtime=runtime, state_dir=tmp_path)
    assert isinstance(opened, CachedFolder)
    name = next(iter(opened.sha256s))
    assert opened.read(name) == (ours / name).read_bytes()
    assert len([path for path in (tmp_path / "cache").iterdir() if len(path.name) == 64]) == 1

    write_shards(copy, views_per_outfit=((2,), (4,)))
    with pytest.raises(DataError, match=r"copy: is a copy of other shards than .*ours; `mcld shards push"):
        open_copy(ours, runtime=runtime, state_dir=tmp_path)
    (copy / "manifest.json").unlink()
    with pytest.raises(DataError, match=r"copy: holds no whole set of shards; `mcld shards push"):
        open_copy(ours, runtime=runtime, state_dir=tmp_path)
