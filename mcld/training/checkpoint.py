"""Save and find training states: safetensors only, atomic, verified, the newest valid one wins."""

from __future__ import annotations

import logging
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from mcld.errors import CheckpointError, MCLDError
from mcld.faults import passing
from mcld.storage import atomic_dir, read_json, sha256_of_file, write_json
from mcld.types import Checkpoint

STATE_NAME = "state.safetensors"
RECORD_NAME = "record.json"
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingState:
    """What a step changes: modules and running averages by name, and the optimisers by name."""

    modules: dict[str, nn.Module]
    optimizers: dict[str, Optimizer]


def save_checkpoint(
    directory: Path, *, step: int, state: TrainingState, fingerprint: str, keep_last: int = 2
) -> Checkpoint:
    """Write `step-NNNNNN/` whole or not at all, then drop all but the newest `keep_last`."""
    return save_tensors(
        directory, step=step, tensors=_tensors_of(state), fingerprint=fingerprint, keep_last=keep_last
    )


def save_tensors(
    directory: Path, *, step: int, tensors: dict[str, Tensor], fingerprint: str, keep_last: int
) -> Checkpoint:
    """The same of tensors that are gathered already."""
    target = directory / f"step-{step:06d}"
    with atomic_dir(target) as temporary:
        save_file(tensors, temporary / STATE_NAME)
        passing("train:checkpoint_state_written")
        digest = sha256_of_file(temporary / STATE_NAME)
        write_json(
            temporary / RECORD_NAME, value={"step": step, "sha256": digest, "fingerprint": fingerprint}
        )
    passing("train:checkpoint_written")
    for old in _checkpoint_dirs(directory)[:-keep_last]:
        shutil.rmtree(old)
    return Checkpoint(step=step, path=target, sha256=digest)


def newest_checkpoint(directory: Path, *, fingerprint: str) -> Checkpoint | None:
    """The newest whole checkpoint of the same run; damaged and foreign ones are skipped with a warning."""
    for path in reversed(_checkpoint_dirs(directory)):
        try:
            return _verified(path, fingerprint=fingerprint)
        except MCLDError as error:
            logger.warning("%s", error)
    return None


def load_checkpoint(checkpoint: Checkpoint, *, state: TrainingState) -> None:
    """Put a checkpoint's tensors into `state`, strictly: every name and shape must match."""
    tensors = load_file(checkpoint.path / STATE_NAME)
    for name, module in state.modules.items():
        prefix = f"module.{name}."
        module.load_state_dict(
            {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        )
    for name, optimizer in state.optimizers.items():
        _load_optimizer(optimizer, prefix=f"optimizer.{name}.", tensors=tensors)


def resume(state: TrainingState, *, directory: Path, fingerprint: str) -> int:
    """Load the newest checkpoint of this run into `state`, if there is one; returns the next step."""
    checkpoint = newest_checkpoint(directory, fingerprint=fingerprint)
    if checkpoint is None:
        return 0
    load_checkpoint(checkpoint, state=state)
    return checkpoint.step


def _checkpoint_dirs(directory: Path) -> list[Path]:
    return sorted(path for path in directory.glob("step-*") if re.fullmatch(r"step-\d{6,}", path.name))


def _verified(path: Path, *, fingerprint: str) -> Checkpoint:
    record = read_json(path / RECORD_NAME)
    if not isinstance(record, dict) or record.get("fingerprint") != fingerprint:
        raise CheckpointError(f"{path}: belongs to a run with other parameters or data; it is not used")
    if not (path / STATE_NAME).is_file() or sha256_of_file(path / STATE_NAME) != record["sha256"]:
        raise CheckpointError(
            f"{path}: is damaged (its bytes do not match its record); an older checkpoint is used"
        )
    return Checkpoint(step=int(record["step"]), path=path, sha256=str(record["sha256"]))


def _tensors_of(state: TrainingState) -> dict[str, Tensor]:
    tensors = {
        f"module.{name}.{key}": _whole(value).cpu().contiguous().clone()
        for name, module in state.modules.items()
        for key, value in module.state_dict().items()
    }
    for name, optimizer in state.optimizers.items():
        for index, fields in optimizer.state_dict()["state"].items():
            for field, value in fields.items():
                tensors[f"optimizer.{name}.{index}.{field}"] = (
                    _whole(torch.as_tensor(value)).cpu().contiguous().clone()
                )
    return tensors


def _whole(value: Tensor) -> Tensor:
    whole: Tensor = value.full_tensor() if isinstance(value, DTensor) else value
    return whole.detach()


def _load_optimizer(optimizer: Optimizer, *, prefix: str, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith(prefix):
            index, field = key.removeprefix(prefix).split(".")
            state.setdefault(int(index), {})[field] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


class CheckpointStore:
    """The checkpoints of one run in one folder; every process calls every method."""

    def __init__(self, directory: Path, *, fingerprint: str, keep_last: int) -> None:
        self.directory, self.fingerprint, self.keep_last = directory, fingerprint, keep_last
        self.saved: list[Checkpoint] = []
        self.stall_s = 0.0

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        fingerprint: str,
        keep_last: int,
        keep_every: int,
        facts: Mapping[str, object],
    ) -> CheckpointStore:
        """The store of the run with this fingerprint."""
        del keep_every, facts
        return cls(directory, fingerprint=fingerprint, keep_last=keep_last)

    def resume(self, state: TrainingState) -> int:
        """Load the newest valid checkpoint; returns the next step."""
        return resume(state, directory=self.directory, fingerprint=self.fingerprint)

    def save(self, state: TrainingState, *, step: int) -> None:
        """Save a checkpoint of `step`."""
        started = time.monotonic()
        tensors = _tensors_of(state)  # on every process: shares are gathered
        if not dist.is_initialized() or dist.get_rank() == 0:
            checkpoint = save_tensors(
                self.directory,
                step=step,
                tensors=tensors,
                fingerprint=self.fingerprint,
                keep_last=self.keep_last,
            )
            self.saved.append(checkpoint)
        self.stall_s = time.monotonic() - started

    def finish(self) -> None:
        """Nothing is written in the background."""
