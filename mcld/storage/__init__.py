"""Files that survive a kill, their hashes, and folders wherever they lie."""

from mcld.storage.files import (
    HASH_BLOCK_BYTES,
    atomic_dir,
    atomic_path,
    canonical_json,
    fingerprint,
    read_json,
    remove_leftovers,
    replace_dir,
    sha256_of_bytes,
    sha256_of_file,
    sync_dir,
    sync_file,
    write_bytes,
    write_json,
)
from mcld.storage.folder import Folder, LocalFolder, open_folder, sizes_of

__all__ = [
    "HASH_BLOCK_BYTES",
    "Folder",
    "LocalFolder",
    "atomic_dir",
    "atomic_path",
    "canonical_json",
    "fingerprint",
    "open_folder",
    "read_json",
    "remove_leftovers",
    "replace_dir",
    "sha256_of_bytes",
    "sha256_of_file",
    "sizes_of",
    "sync_dir",
    "sync_file",
    "write_bytes",
    "write_json",
]
