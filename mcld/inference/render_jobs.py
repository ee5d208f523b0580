"""Render jobs in batches: what cannot be read is left out with a reason, and recipes say how to repeat it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from mcld.data.codec import encode_png
from mcld.errors import DataError
from mcld.inference.changes import Changes
from mcld.inference.engine import Engine, Subject
from mcld.inference.jobs import Job
from mcld.inference.photos.person import Person, Pose
from mcld.inference.photos.photo import read_file
from mcld.inference.recipe import Machine, Recipe, photo_use, write_recipe
from mcld.inference.settings import RenderSettings
from mcld.storage import sha256_of_bytes, write_bytes

NUM_KEPT = 32  # photographs that were read last: a list names the same ones again and again


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a job: `reason`, a sentence, says why there is no picture; None where there is one."""

    job: Job
    picture: np.ndarray | None = None  # (h, w, 3) uint8
    reason: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRenderer:
    """What renders jobs, and how. The numbers choose, from the left, one of several people."""

    engine: Engine
    model_dir: Path
    machine: Machine
    settings: RenderSettings
    changes: Changes = field(default_factory=Changes)
    batch_size: int = 1
    person_number: int | None = None
    pose_number: int | None = None

    def render(
        self, jobs: Sequence[Job], *, on_progress: Callable[[int, int], None] | None = None
    ) -> Iterator[Outcome]:
        """Yield an outcome a job, in their order; picture and recipe are written before."""
        person_of = lru_cache(maxsize=NUM_KEPT)(self.person)
        pose_of = lru_cache(maxsize=NUM_KEPT)(self._pose)
        for start in range(0, len(jobs), self.batch_size):
            batch = jobs[start : start + self.batch_size]
            read = [_read(job, person_of=person_of, pose_of=pose_of) for job in batch]
            subjects = [found for found in read if not isinstance(found, str)]
            pictures = iter(
                self.engine.render(subjects, settings=self.settings, on_progress=on_progress).pictures
                if subjects
                else ()
            )
            for job, found in zip(batch, read, strict=True):
                if isinstance(found, str):
                    yield Outcome(job=job, reason=found)
                else:
                    yield self._write(next(pictures), job=job, subject=found)

    def person(self, path: Path) -> Person:
        """The changed person of a photograph. Raises DataError, a sentence."""
        pose = self.engine.pose(read_file(path), name=str(path), number=self.person_number)
        return self.changes.applied_to(self.engine.person(pose))

    def _pose(self, path: Path) -> Pose:
        return self.engine.pose(read_file(path), name=str(path), number=self.pose_number)

    def _write(self, picture: np.ndarray, *, job: Job, subject: Subject) -> Outcome:
        person, pose = subject
        data = encode_png(picture)
        recipe = Recipe(
            model=str(self.model_dir),
            model_sha256=self.engine.model_sha256,
            source=photo_use(str(job.source), origin=person.origin),
            target=photo_use(str(job.target), origin=pose.origin),
            edits=self.changes.edits,
            named=dict(self.changes.uses),
            settings=self.settings,
            machine=self.machine,
            picture_sha256=sha256_of_bytes(data),
        )
        write_bytes(job.out, data=data)
        write_recipe(recipe, picture=job.out)
        return Outcome(job=job, picture=picture, notes=notes_of(person, pose=pose))


def _read(job: Job, *, person_of: Callable[[Path], Person], pose_of: Callable[[Path], Pose]) -> Subject | str:
    """A job's person and pose, or why there is none."""
    try:
        return person_of(job.source), pose_of(job.target)
    except DataError as error:
        return str(error)


def notes_of(person: Person, *, pose: Pose) -> tuple[str, ...]:
    """What a user should know of how the photographs were read."""
    read = [f"{origin.name}: {note}" for origin in (person.origin, pose.origin) for note in origin.notes]
    return (*read, *([f"{person.origin.name}: {person.face_note}"] if person.face_note else []))
