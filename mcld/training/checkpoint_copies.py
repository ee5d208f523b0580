"""Copies of a run's checkpoints in an object store: sent in the background, verified, the record last.

    s3://bucket/prefix/FINGERPRINT/step-000100/    what the folder of that name holds

Only the first process of a run sends and fetches. What the store refuses never stops a training: it is warned
of and counted, and the next checkpoint is sent in the place of the one that was not. Of copies the same stay
as of the run's own checkpoints. A checkpoint that a newer one overtakes before it is sent is never sent.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections import defaultdict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from mcld.errors import CheckpointError, DataError, MCLDError
from mcld.storage import replace_dir, sha256_of_file, sync_dir
from mcld.storage.multipart import abort_uploads
from mcld.storage.s3 import S3Folder
from mcld.storage.transfer import download_file, upload_file
from mcld.training.checkpoint_files import RECORD_NAME, read_record, writing
from mcld.training.checkpoint_folders import outdated, run_dir, temporary_dir
from mcld.types import Checkpoint

_NAME = re.compile(r"step-(\d{6,})/(shard-[\w.-]+\.safetensors|record\.json)")
_FILE = re.compile(r"shard-[\w.-]+\.safetensors")
logger = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class CheckpointCopies:
    """The copies of one run. Sending is done by a thread; `num_sent` and `num_failed` count what it did."""

    folder: S3Folder  # of the run
    fingerprint: str
    keep_last: int
    keep_every: int
    num_sent: int = 0
    num_failed: int = 0
    _newest: Checkpoint | None = None
    _sending: Checkpoint | None = None
    _sent_step: int = -1
    _under_way: list[Future[None]] = field(default_factory=list)
    # Not a daemon: an interpreter that ends lets what is on its way arrive.
    _sender: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint-copies")
    )

    @classmethod
    def at(cls, url: str, *, fingerprint: str, keep_last: int, keep_every: int) -> CheckpointCopies:
        """The copies of the run with this fingerprint below an address; nothing is asked of the store yet."""
        name = run_dir(Path(), fingerprint=fingerprint).name
        return cls(
            folder=S3Folder.at(url).below(name),
            fingerprint=fingerprint,
            keep_last=keep_last,
            keep_every=keep_every,
        )

    @property
    def sending_step(self) -> int | None:
        """Of the checkpoint that is being sent now: its files are needed."""
        sending = self._sending
        return None if sending is None else sending.step

    def steps(self) -> list[int]:
        """The steps of whole copies, ascending. Raises StorageError when the store refuses or is away."""
        return sorted(step for step, names in self._names_by_step().items() if RECORD_NAME in names)

    def fetch(self, step: int, *, target: Path) -> None:
        """Bring a copy to `target`, whole or not at all, every file verified.

        Raises DamagedError or CheckpointError when the copy is not whole, StorageError when the store fails.
        """
        temporary = temporary_dir(target)
        shutil.rmtree(temporary, ignore_errors=True)
        copy = self.folder.below(target.name)
        logger.info("fetching the checkpoint of step %d from %s", step, copy.place)
        try:
            download_file(temporary / RECORD_NAME, folder=copy, name=RECORD_NAME)
            for name, sha256 in _files_in(temporary, fingerprint=self.fingerprint).items():
                download_file(temporary / name, folder=copy, name=name, sha256=sha256)
            with writing(target):
                sync_dir(temporary)
                replace_dir(temporary, target=target)
        except MCLDError:
            shutil.rmtree(temporary, ignore_errors=True)
            raise

    def send(self, checkpoint: Checkpoint) -> None:
        """Have a whole checkpoint sent; returns at once."""
        self._newest = checkpoint
        self._under_way.append(self._sender.submit(self._send_newest))

    def finish(self) -> None:
        """Wait until what was given has been sent, or could not be."""
        under_way, self._under_way = self._under_way, []
        if under_way and not under_way[-1].done():
            logger.info("sending the last checkpoint to %s", self.folder.place)
        for future in under_way:
            future.result()

    def _send_newest(self) -> None:
        checkpoint = self._newest
        if checkpoint is None or checkpoint.step == self._sent_step:
            return
        self._sending = checkpoint
        try:
            self._send(checkpoint)
        except MCLDError as error:
            self.num_failed += 1
            logger.warning(
                "the checkpoint of step %d is not copied (%d so far): %s. Training goes on, the next one is "
                "tried again",
                checkpoint.step,
                self.num_failed,
                error,
            )
        else:
            self.num_sent += 1
            self._sent_step = checkpoint.step
            self._remove_outdated(checkpoint.step)
        finally:
            self._sending = None

    def _send(self, checkpoint: Checkpoint) -> None:
        record = {RECORD_NAME: sha256_of_file(checkpoint.path / RECORD_NAME)}
        copy = self.folder.below(checkpoint.path.name)
        there = copy.facts(RECORD_NAME)
        if there is not None and there.sha256 != record[RECORD_NAME]:
            copy.bucket.remove(copy.key(RECORD_NAME))  # of a copy that is no longer whole from now on
        for name, sha256 in {**checkpoint.files, **record}.items():
            upload_file(checkpoint.path / name, folder=copy, name=name, sha256=sha256)

    def _remove_outdated(self, step: int) -> None:
        """What is older than the copy of `step`, whole or half; records first, so that no half looks whole"""
        try:
            names = self._names_by_step()
            whole = [saved for saved in sorted(names) if saved <= step and RECORD_NAME in names[saved]]
            old = set(outdated(whole, keep_last=self.keep_last, keep_every=self.keep_every))
            half = {saved for saved in names if saved < step and saved not in whole}
            for saved in sorted(old | half):
                copy = self.folder.below(f"step-{saved:06d}")
                for name in sorted(names[saved], key=lambda name: name != RECORD_NAME):
                    copy.bucket.remove(copy.key(name))
                abort_uploads(bucket=copy.bucket, prefix=copy.key(""))
        except MCLDError as error:
            logger.warning("older copies of checkpoints are not removed: %s", error)

    def _names_by_step(self) -> dict[int, set[str]]:
        names: dict[int, set[str]] = defaultdict(set)
        for name in self.folder.names():
            if match := _NAME.fullmatch(name):
                names[int(match[1])].add(match[2])
        return names


def _files_in(directory: Path, *, fingerprint: str) -> dict[str, str]:
    """Name to sha256 of what a record names. Raises CheckpointError for names that no checkpoint has."""
    try:
        record = read_record(directory, fingerprint=fingerprint)
    except DataError as error:
        raise CheckpointError(f"{directory}: {error}") from error
    files = record["files"]
    assert isinstance(files, dict)
    for name in files:
        if not _FILE.fullmatch(name):
            raise CheckpointError(f"{directory / RECORD_NAME}: names '{name}', which is no checkpoint's file")
    return {name: str(entry["sha256"]) for name, entry in files.items()}
