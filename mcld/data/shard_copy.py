"""Where training reads its shards: in the workspace, or from a copy of them, cached on this disk."""

from __future__ import annotations

from pathlib import Path

from mcld.config import RuntimeParams
from mcld.data.manifest import MANIFEST_NAME, read_manifest_in
from mcld.errors import DataError
from mcld.storage import Folder, LocalFolder, open_folder
from mcld.storage.cache import CachedFolder

CACHE_NAME = "shards"  # in the workspace's state folder
GIB = 1 << 30


def open_copy(shards_dir: Path, *, runtime: RuntimeParams, state_dir: Path) -> Folder:
    """The workspace's shards, or the copy that `runtime.shards_url` names, behind a cache if one is wanted.

    Raises DataError when the copy is of other shards: what is trained on must be what was recorded.
    """
    if runtime.shards_url is None:
        return LocalFolder(shards_dir)
    copy = open_folder(runtime.shards_url)
    if copy.size(MANIFEST_NAME) is None:
        raise DataError(
            f"{copy.place}: holds no whole set of shards; `mcld shards push {copy.place}` sends this "
            "workspace's, and repeated it resumes"
        )
    if copy.read(MANIFEST_NAME) != LocalFolder(shards_dir).read(MANIFEST_NAME):
        raise DataError(
            f"{copy.place}: is a copy of other shards than {shards_dir}; `mcld shards push {copy.place}` "
            "sends these, or set runtime.shards_url to null"
        )
    if not runtime.shards_cache_gib:
        return copy
    return CachedFolder(
        source=copy,
        directory=Path(runtime.shards_cache_dir) if runtime.shards_cache_dir else state_dir / CACHE_NAME,
        max_bytes=max(1, int(runtime.shards_cache_gib * GIB)),
        sha256s={part.path: part.sha256 for part in read_manifest_in(copy).parts},
    )
