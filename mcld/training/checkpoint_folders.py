"""Where checkpoints lie, and which of them go: a folder a run, in it a folder a checkpoint."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from mcld.errors import DataError
from mcld.storage import read_json, remove_leftovers
from mcld.training.checkpoint_files import RECORD_NAME

# Enough that no two runs meet; the record holds all of it.
NUM_FINGERPRINT_DIGITS = 16
logger = logging.getLogger(__name__)


def run_dir(directory: Path, *, fingerprint: str) -> Path:
    """The folder of a run's checkpoints."""
    return directory / fingerprint[:NUM_FINGERPRINT_DIGITS]


def step_dir(folder: Path, *, step: int) -> Path:
    """The folder of a run's checkpoint after `step` steps."""
    return folder / f"step-{step:06d}"


def temporary_dir(target: Path) -> Path:
    """What a checkpoint is called until it is complete: the same in every process."""
    return target.with_name(f".{target.name}.tmp")


def saved_steps(folder: Path) -> list[int]:
    """The steps of a run's checkpoints, ascending; all are complete, any may have been damaged since."""
    return _steps_of(folder.glob("step-*"))


def outdated(steps: Sequence[int], *, keep_last: int, keep_every: int) -> list[int]:
    """Of `steps`, ascending, those before the newest `keep_last`, except where `keep_every` divides them."""
    return [step for step in steps[:-keep_last] if not (keep_every and step % keep_every == 0)]


def prune(
    folder: Path, *, step: int, keep_last: int, keep_every: int, spared: Collection[int | None] = ()
) -> list[int]:
    """Remove what is older than the newest `keep_last`, except where `keep_every` divides the step.

    `step` is the newest that is known to be good. Later ones, which a resumed run passed over as damaged, are
    left to be replaced, and do not count. `spared` ones stay for now. Returns the steps that are gone.
    """
    steps = [saved for saved in saved_steps(folder) if saved <= step]
    old = [
        saved for saved in outdated(steps, keep_last=keep_last, keep_every=keep_every) if saved not in spared
    ]
    for saved in old:
        shutil.rmtree(step_dir(folder, step=saved))
    return old


def tidy_other_runs(directory: Path, *, fingerprint: str) -> None:
    """Of every other run keep the newest checkpoint and those that it was told to keep; say what remains."""
    if not directory.is_dir():
        return
    own = run_dir(directory, fingerprint=fingerprint)
    others = [path for path in sorted(directory.iterdir()) if path != own and _has_checkpoints(path)]
    for other in others:
        remove_leftovers(other)
        if steps := saved_steps(other):
            gone = prune(other, step=steps[-1], keep_last=1, keep_every=_keep_every(other, step=steps[-1]))
            if gone:
                logger.warning(
                    "%s: checkpoints of another run; removed all but the newest (%s)", other, _listed(gone)
                )
    if others:
        num_bytes = sum(
            path.stat().st_size for other in others for path in other.rglob("*") if path.is_file()
        )
        logger.warning(
            "%s: holds checkpoints of %d other runs (%.1f MB), which this run does not use; "
            "delete what you no longer need: %s",
            directory,
            len(others),
            num_bytes / 1e6,
            ", ".join(path.name for path in others),
        )


def _has_checkpoints(path: Path) -> bool:
    """Whether a folder is a run's, or, from before runs had folders of their own, a checkpoint itself."""
    return any(path.glob("step-*")) or any(path.glob(".step-*")) or bool(_steps_of([path]))


def _keep_every(folder: Path, *, step: int) -> int:
    """What the run itself was told; where its record cannot be read nothing is removed."""
    try:
        record = read_json(step_dir(folder, step=step) / RECORD_NAME)
    except DataError:
        return 1
    every = record.get("keep_every") if isinstance(record, dict) else None
    return every if isinstance(every, int) else 1


def _steps_of(paths: Iterable[Path]) -> list[int]:
    found = (re.fullmatch(r"step-(\d{6,})", path.name) for path in paths)
    return sorted(int(match[1]) for match in found if match)


def _listed(steps: list[int]) -> str:
    return ", ".join(f"step {step}" for step in steps)
