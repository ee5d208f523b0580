"""Save and find training states: in the background, whole or not at all, verified; the newest valid one wins.

    checkpoints/FINGERPRINT/step-000100/    a folder a run, a folder a checkpoint; see checkpoint_files.py

Every process of a run calls every method, in the same order. A checkpoint is written under a temporary name
and renamed by the first process when all files, and last the record with their sha256, are on the disk.
Of the run's own checkpoints the newest `keep_last` stay, and every one whose step `keep_every` divides; older
ones go only when a newer one is complete. Runs with other parameters or data have folders of their own: of
each the newest checkpoint stays for ever, with those that it was told to keep, and a warning says how much
that is; the rest is removed, saying so. Folders are shared: all processes must see the same files. Copies in
an object store, if wanted, are made and fetched by the first process: see checkpoint_copies.py.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from mcld.errors import CheckpointError, DamagedError, MCLDError, StorageError
from mcld.faults import passing
from mcld.storage import remove_leftovers, replace_dir, sync_dir, write_json
from mcld.training.checkpoint_copies import CheckpointCopies
from mcld.training.checkpoint_files import (
    FORMAT_VERSION,
    RECORD_NAME,
    Snapshot,
    check_files,
    check_tensors,
    checkpoint_at,
    hashed_files,
    read_record,
    read_tensors,
    stored_tensors,
    write_tensors,
    writing,
)
from mcld.training.checkpoint_folders import (
    prune,
    run_dir,
    saved_steps,
    step_dir,
    temporary_dir,
    tidy_other_runs,
)
from mcld.training.checkpoint_peers import Peers
from mcld.training.checkpoint_snapshot import Staging
from mcld.training.checkpoint_tensors import (
    GENERATOR_PREFIX,
    TrainingState,
    fields_to_load,
    generator_name,
    module_tensors,
    put_fields_back,
)
from mcld.types import Checkpoint

__all__ = ["CheckpointStore", "TrainingState"]

RANDOMNESS = "of training: a function of (seed, epoch, index); PyTorch's generators are kept besides"
# A file is built in memory, twice over, before it is written.
FILE_BYTES = 256 << 20
logger = logging.getLogger(__name__)


class CheckpointStore:
    """The checkpoints of one run, as one of its processes sees them.

    `stall_s` is how long the last `save` held training up: the copy, and the wait for the save before.
    """

    def __init__(
        self,
        directory: Path,
        *,
        fingerprint: str,
        keep_last: int,
        keep_every: int,
        facts: Mapping[str, object],
        file_bytes: int,
        peers: Peers,
        copies: CheckpointCopies | None,
    ) -> None:
        self.stall_s = 0.0
        self.copies = copies
        self._run_dir = run_dir(directory, fingerprint=fingerprint)
        self._fingerprint = fingerprint
        self._keep_last, self._keep_every = keep_last, keep_every
        self._facts = dict(facts)
        self._peers = peers
        self._staging = Staging(peers, file_bytes=file_bytes)
        # Not a daemon: an interpreter that ends lets the write under way come to its end.
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._under_way: Future[Checkpoint] | None = None
        self._saved: list[Checkpoint] = []
        self._newest_step: int | None = None  # that is known to be good

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        fingerprint: str,
        keep_last: int,
        keep_every: int,
        facts: Mapping[str, object],
        file_bytes: int = FILE_BYTES,
        copies: CheckpointCopies | None = None,
    ) -> CheckpointStore:
        """The store of the run with this fingerprint, cleared of what killed runs left half written.

        `facts` is plain data for the record: parameters, run id, batch size. `keep_every` 0 keeps no more
        than the newest. `file_bytes` is about what a process puts into one file. With a process group, all
        its processes must open the store, and close nothing of it before `finish`.
        """
        peers = Peers.meet()

        def tidy() -> None:
            remove_leftovers(run_dir(directory, fingerprint=fingerprint))
            tidy_other_runs(directory, fingerprint=fingerprint)

        peers.first(tidy)
        return cls(
            directory,
            fingerprint=fingerprint,
            keep_last=keep_last,
            keep_every=keep_every,
            facts=facts,
            file_bytes=file_bytes,
            peers=peers,
            copies=copies,
        )

    @property
    def saved(self) -> list[Checkpoint]:
        """What this store has saved so far, complete, oldest first; pruned ones are still named."""
        return list(self._saved)

    def resume(self, state: TrainingState) -> int:
        """Load the newest valid checkpoint of this run into `state`; returns the next step, 0 without one.

        A copy in the object store is fetched where it is newer, or where the own one is damaged. Damaged ones
        are passed over with a warning. Raises CheckpointError when tensors do not fit, StorageError when a
        copy cannot be fetched, or there is no checkpoint here and the store does not say whether it has one.
        """
        self.finish()
        for step, is_copy in self._peers.first(self._candidates):
            path = step_dir(self._run_dir, step=step)
            try:
                if is_copy:
                    self._peers.first(lambda: self._fetch(step, target=path))  # noqa: B023  # called at once
                record = self._peers.first(lambda: read_record(path, fingerprint=self._fingerprint))  # noqa: B023  # called at once
                check_files(path, record=record, peers=self._peers)
            except MCLDError as error:
                if isinstance(error, StorageError) and not isinstance(error, DamagedError):
                    raise
                self._say(logging.WARNING, f"{error}; it is not used")
                continue
            self._peers.agree(lambda: self._load(path, state=state))  # noqa: B023  # called at once
            self._newest_step = step
            self._say_where_from(path, record=record)
            return step
        return 0

    def save(self, state: TrainingState, *, step: int) -> None:
        """Copy the state, which `step` steps have made, and write it in the background.

        Waits first for the save before, and raises what that one raised: DataError when the disk is full,
        WorkerError when another process is gone. Then nothing of it is left, and the one before it is.
        A step that has been saved or resumed from is not written again.
        """
        started = time.perf_counter()
        self.finish()
        if step != self._newest_step:
            snapshot = self._staging.copy(state)
            self._under_way = self._writer.submit(self._write, snapshot, step)
        self.stall_s = time.perf_counter() - started

    def close(self) -> None:
        """Wait as `finish` does, and until what can be copied is."""
        self.finish()
        if self.copies is not None:
            self.copies.finish()

    def finish(self) -> None:
        """Wait until the save under way is complete; raises what it raised."""
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            self._saved.append(under_way.result())
            self._newest_step = self._saved[-1].step

    def _write(self, snapshot: Snapshot, step: int) -> Checkpoint:
        """In the background: files, their hashes, the record, the name; then what is old goes."""
        target = step_dir(self._run_dir, step=step)
        temporary = temporary_dir(target)
        try:
            write_tensors(temporary, snapshot=snapshot, peers=self._peers)
            passing("train:checkpoint_state_written")
            shares = self._peers.agree(lambda: hashed_files(temporary, rank=self._peers.rank))
            files = {name: entry for share in shares for name, entry in share.items()}
            names = snapshot.file_numbers.keys()
            checkpoint = self._peers.first(
                lambda: self._commit(temporary, target=target, step=step, files=files, names=set(names))
            )
        except MCLDError:
            if self._peers.is_first:
                shutil.rmtree(temporary, ignore_errors=True)
            raise
        passing("train:checkpoint_written")
        self._peers.first(lambda: self._prune(step=step))
        return checkpoint

    def _commit(
        self,
        temporary: Path,
        *,
        target: Path,
        step: int,
        files: Mapping[str, Mapping[str, object]],
        names: set[str],
    ) -> Checkpoint:
        """By the first process, when all have written."""
        if missing := sorted(names - stored_tensors(temporary).keys()):
            raise CheckpointError(
                f"{temporary}: '{missing[0]}' and {len(missing) - 1} more were not written, though nothing "
                "failed: do all processes see this folder? It must lie on a disk that they share"
            )
        record = {
            "format_version": FORMAT_VERSION,
            "step": step,
            "fingerprint": self._fingerprint,
            "num_processes": self._peers.num_ranks,
            "keep_every": self._keep_every,
            "randomness": RANDOMNESS,
            "facts": self._facts,
            "files": files,
        }
        with writing(target):
            write_json(temporary / RECORD_NAME, value=record)
            sync_dir(temporary)
            passing("train:checkpoint_recorded")
            replace_dir(temporary, target=target)
        checkpoint = checkpoint_at(target)
        if self.copies is not None:
            self.copies.send(checkpoint)
        return checkpoint

    def _prune(self, *, step: int) -> None:
        sending = () if self.copies is None else (self.copies.sending_step,)
        prune(
            self._run_dir, step=step, keep_last=self._keep_last, keep_every=self._keep_every, spared=sending
        )
        passing("train:checkpoint_pruned")

    def _candidates(self) -> list[tuple[int, bool]]:
        """Steps to resume from, newest first, and whether as a copy from the store. By the first process."""
        here = saved_steps(self._run_dir)
        there: list[int] = []
        if self.copies is not None:
            try:
                there = self.copies.steps()
            except StorageError as error:
                if not here:
                    raise
                logger.warning("%s; the newest checkpoint here is used", error)
        every = [(step, False) for step in here] + [(step, True) for step in there]
        return sorted(every, key=lambda candidate: (-candidate[0], candidate[1]))

    def _fetch(self, step: int, *, target: Path) -> None:
        assert self.copies is not None
        self.copies.fetch(step, target=target)

    def _load(self, path: Path, *, state: TrainingState) -> None:
        stored = stored_tensors(path)
        generators = {name: like for name, like in stored.items() if name.startswith(GENERATOR_PREFIX)}
        fields = fields_to_load(state, stored=stored)
        wanted: dict[str, Tensor] = module_tensors(state) | fields
        check_tensors(
            wanted,
            stored={name: like for name, like in stored.items() if name not in generators},
            place=path,
        )
        own_generator = generator_name(self._peers.rank)
        if own_generator in generators:  # not of processes that there were not then
            wanted[own_generator] = torch.empty_like(torch.get_rng_state())
        read_tensors(path, wanted=wanted)
        put_fields_back(state, fields=fields)
        if own_generator in wanted:
            torch.set_rng_state(wanted[own_generator])

    def _say_where_from(self, path: Path, *, record: Mapping[str, object]) -> None:
        before, now = record["num_processes"], self._peers.num_ranks
        others = f"; it was saved by {before} processes, now there are {now}, samples come in the same order"
        self._say(logging.INFO, f"resuming from {path}" + (others if before != now else ""))

    def _say(self, level: int, message: str) -> None:
        if self._peers.is_first:
            logger.log(level, "%s", message)
