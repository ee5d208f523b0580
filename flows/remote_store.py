"""What lies at DVC's remote, asked of the store itself: DVC answers from an index of what it once sent."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mcld.errors import ConfigError
from mcld.storage import Folder, LocalFolder, open_folder, sha256_of_bytes, write_bytes
from mcld.storage.addresses import without_credentials
from mcld.storage.multipart import put_bytes
from mcld.storage.s3 import S3Folder

if TYPE_CHECKING:
    from dvc.repo import Repo

OBJECTS = PurePosixPath("files", "md5")  # where DVC 3 keeps them, in its cache and at a remote
CHECK_NAME = "mcld-write-check"
REMEDY = "`MCLD_REMOTE_URL=s3://bucket/folder make remote` names one"
# Of a remote's settings: with these DVC asks in another way than we do.
OWN_CREDENTIALS = frozenset(
    {"profile", "access_key_id", "secret_access_key", "session_token", "credentialpath"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """DVC's default remote. `folder` is None where only DVC can ask it: of another kind, or with a login."""

    name: str
    url: str
    folder: S3Folder | LocalFolder | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageAtRemote:
    """How much of a stage's output a remote holds, in files, of which each folder's list is one."""

    stage: str
    lists: tuple[str, ...] = ()  # names of the objects that are recorded; of a folder, of its list
    num_files: int = 0
    num_missing: int = 0


def remote_at(url: str, *, name: str, settings: Mapping[str, object]) -> Remote:
    """A remote by its settings in DVC's config; nothing is asked of it yet."""
    return Remote(name=name, url=without_credentials(url), folder=_folder(url, settings=settings))


def default_remote(repo: Repo) -> Remote:
    """The remote that `dvc push` goes to. Raises ConfigError when there is none."""
    name = repo.config["core"].get("remote")
    if name is None:
        raise ConfigError(f"{Path(repo.root_dir)}: DVC has no default remote; {REMEDY}")
    settings = repo.config["remote"][name]
    return remote_at(str(settings["url"]), name=name, settings=settings)


def check_writable(remote: Remote) -> None:
    """Write a small object there. Raises StorageError or DataError that says what to do."""
    data = b"written by mcld to see whether it may\n"
    if isinstance(remote.folder, S3Folder):
        bucket, key = remote.folder.bucket, remote.folder.key(CHECK_NAME)
        put_bytes(data, bucket=bucket, key=key, sha256=sha256_of_bytes(data))
    elif remote.folder is not None:
        write_bytes(remote.folder.path / CHECK_NAME, data=data)


def stages_at(remote: Remote, *, repo: Repo) -> list[StageAtRemote]:
    """What of the recorded outputs lies there, in the pipeline's order; empty where one cannot ask.

    Raises StorageError when the store refuses.
    """
    if remote.folder is None:
        return []
    here = LocalFolder(Path(repo.cache.local.path).parents[1])
    there = set(_names(remote.folder))
    found: dict[str, StageAtRemote] = {}
    for out in repo.index.outs:
        digest = out.hash_info.value if out.hash_info else None
        if not out.use_cache or digest is None:
            continue
        stage = str(out.stage.name)
        before = found.get(stage, StageAtRemote(stage=stage))
        objects = _objects_of(digest, folders=(here, remote.folder))
        found[stage] = StageAtRemote(
            stage=stage,
            lists=(*before.lists, _name_of(digest)),
            num_files=before.num_files + len(objects),
            num_missing=before.num_missing + len(objects - there),
        )
    return list(found.values())


def forget_lists(torn: Sequence[StageAtRemote], *, remote: Remote) -> None:
    """Remove the lists of torn folders there: DVC takes a folder whose list is there for whole."""
    for name in (name for stage in torn for name in stage.lists):
        if isinstance(remote.folder, S3Folder):
            remote.folder.bucket.remove(remote.folder.key(name))
        elif remote.folder is not None:
            (remote.folder.path / name).unlink(missing_ok=True)


def missing(torn: Sequence[StageAtRemote]) -> str:
    """Which outputs a half-pushed remote lacks, and the remedy."""
    listed = ", ".join(f"{one.stage} ({one.num_missing} of {one.num_files} files)" for one in torn)
    return (
        f"half pushed, missing: {listed}. Where they were made: `dvc push`, or `python -m flows.remote push` "
        "if that finds nothing to do; here: `dvc pull` the other stages by name, then `dvc repro`"
    )


def _objects_of(digest: str, *, folders: Iterable[Folder]) -> set[str]:
    """Names of the object and of all that it lists; where the list is nowhere, of itself alone."""
    names = {_name_of(digest)}
    if not digest.endswith(".dir"):
        return names
    for folder in folders:
        if folder.size(_name_of(digest)) is not None:
            return names | {_name_of(entry["md5"]) for entry in json.loads(folder.read(_name_of(digest)))}
    return names


def _name_of(digest: str) -> str:
    return str(OBJECTS / digest[:2] / digest[2:])


def _names(folder: S3Folder | LocalFolder) -> list[str]:
    if isinstance(folder, S3Folder):
        return folder.names()
    return [path.relative_to(folder.path).as_posix() for path in folder.path.rglob("*") if path.is_file()]


def _folder(url: str, *, settings: Mapping[str, object]) -> S3Folder | LocalFolder | None:
    if OWN_CREDENTIALS & settings.keys() or ("://" in url and not url.startswith("s3://")):
        return None
    endpoint = settings.get("endpointurl")
    folder = open_folder(url, endpoint=None if endpoint is None else str(endpoint))
    assert isinstance(folder, S3Folder | LocalFolder)
    return folder
