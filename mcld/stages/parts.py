"""Run a stage as parts: reuse those whose fingerprint and bytes still match, make the others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from mcld import faults
from mcld.data.manifest import MANIFEST_NAME, read_record, write_manifest, write_record
from mcld.errors import DataError
from mcld.progress import track
from mcld.stages.mapper import Mapper
from mcld.storage import fingerprint, remove_leftovers, sha256_of_file
from mcld.types import Exclusion, Manifest, PartRecord

Payload = TypeVar("Payload")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartPlan(Generic[Payload]):
    """One unit of work, retry and resume. `name` is its file's name without suffix, e.g. `part-00007`."""

    index: int
    name: str
    payload: Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class PartOutput:
    """What a built part holds; `inputs` is for works that learn theirs."""

    num_items: int
    exclusions: tuple[Exclusion, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    inputs: object = None


class PartWork(ABC, Generic[Payload]):
    """How one stage makes one part.

    Subclasses are small, picklable, frozen dataclasses: they travel to workers.
    """

    suffix = ".tar"
    uses_device = False  # whether `build` computes with a model, on a GPU where there is one
    # Whether `build` says in its output what `inputs` would, of the very bytes that it read: a new part then
    # costs one reading of its files instead of two.
    learns_inputs = False

    @abstractmethod
    def inputs(self, payload: Payload) -> object:
        """Plain data naming all that the part is made from: keys and hashes. Must be cheap beside `build`."""

    @abstractmethod
    def build(self, payload: Payload, *, path: Path) -> PartOutput:
        """Atomically write the part's file to `path`."""

    def is_intact(self, path: Path) -> bool:
        """Whether what lies beside `path` (whose own hash is already checked) is whole too."""
        return path.is_file()

    def release(self) -> None:
        """Let go of what `build` keeps loaded in this process, such as a model: all parts are done."""


def run_parts(
    stage: str,
    *,
    out_dir: Path,
    settings: dict[str, object],
    format_version: int,
    plans: Sequence[PartPlan[Payload]],
    work: PartWork[Payload],
    mapper: Mapper,
    max_excluded_fraction: float = 1.0,
) -> tuple[Manifest, int]:
    """Make all parts of a stage; returns the manifest, not yet written, and how many parts were reused.

    Write it with `finish`, after any other outputs. Raises DataError when more than `max_excluded_fraction`
    of all items were excluded, with the counts by reason.
    """
    _clean(out_dir, plans=plans, suffix=work.suffix)
    task = _PartTask(
        stage=stage, out_dir=out_dir, settings=settings, format_version=format_version, work=work
    )
    mapped = mapper.map(task, plans, description=stage, uses_device=work.uses_device)
    try:
        results = list(track(mapped, description=stage, total=len(plans)))
    finally:
        work.release()
    records = tuple(record for record, _ in results)
    manifest = Manifest(
        stage=stage,
        format_version=format_version,
        settings=settings,
        parts=records,
        counts=_sum_counts(records),
    )
    check_excluded(manifest, max_excluded_fraction=max_excluded_fraction)
    return manifest, sum(reused for _, reused in results)


def finish(manifest: Manifest, *, out_dir: Path) -> None:
    """Write the manifest: from here on the stage counts as done."""
    write_manifest(out_dir, manifest=manifest)
    faults.passing(f"{manifest.stage}:manifest_written")


def check_excluded(manifest: Manifest, *, max_excluded_fraction: float) -> None:
    """Raises DataError when too much was left out to be normal."""
    num_excluded = len(manifest.exclusions)
    total = manifest.num_items + num_excluded
    if num_excluded > max_excluded_fraction * total:
        reasons = Counter(exclusion.reason for exclusion in manifest.exclusions).most_common()
        listed = "; ".join(f"{count} x {reason}" for reason, count in reasons)
        example = manifest.exclusions[0].key
        raise DataError(
            f"{manifest.stage}: {num_excluded} of {total} items excluded, more than "
            f"{manifest.stage}.max_excluded_fraction = {max_excluded_fraction:g} allows: {listed} "
            f"(e.g. {example}); repair the input, or raise the limit in params.yaml"
        )


def part_name(index: int) -> str:
    """`part-00007`."""
    return f"part-{index:05d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _PartTask(Generic[Payload]):
    """Runs in a worker: reuse one part or make it."""

    stage: str
    out_dir: Path
    settings: dict[str, object]
    format_version: int
    work: PartWork[Payload]

    def __call__(self, plan: PartPlan[Payload]) -> tuple[PartRecord, bool]:
        path = self.out_dir / f"{plan.name}{self.work.suffix}"
        record_path = self.out_dir / f"{plan.name}.json"
        record = read_record(record_path)
        wanted = None
        if record or not self.work.learns_inputs:
            wanted = self._fingerprint(self.work.inputs(plan.payload))
        if record and self._is_reusable(record, plan=plan, path=path, wanted=wanted):
            return record, True
        record_path.unlink(missing_ok=True)
        return self._make(plan, path=path, record_path=record_path, wanted=wanted), False

    def _fingerprint(self, inputs: object) -> str:
        return fingerprint([self.stage, self.format_version, self.settings, inputs])

    def _is_reusable(
        self, record: PartRecord, *, plan: PartPlan[Payload], path: Path, wanted: str | None
    ) -> bool:
        return (
            record.fingerprint == wanted
            and record.index == plan.index
            and record.path == path.name
            and path.is_file()
            and sha256_of_file(path) == record.sha256
            and self.work.is_intact(path)
        )

    def _make(
        self, plan: PartPlan[Payload], *, path: Path, record_path: Path, wanted: str | None
    ) -> PartRecord:
        faults.passing(f"{self.stage}:part_started")
        output = self.work.build(plan.payload, path=path)
        faults.passing(f"{self.stage}:part_written")
        if self.work.learns_inputs:
            wanted = self._fingerprint(output.inputs)
        assert wanted is not None
        record = PartRecord(
            index=plan.index,
            path=path.name,
            sha256=sha256_of_file(path),
            num_bytes=path.stat().st_size,
            num_items=output.num_items,
            fingerprint=wanted,
            exclusions=output.exclusions,
            counts=output.counts,
        )
        write_record(record_path, record=record)
        faults.passing(f"{self.stage}:record_written")
        return record


def _clean(out_dir: Path, *, plans: Iterable[PartPlan[Payload]], suffix: str) -> None:
    """Remove the manifest (the stage is not done), what a killed run left, and parts no longer planned."""
    out_dir.mkdir(parents=True, exist_ok=True)
    (out_dir / MANIFEST_NAME).unlink(missing_ok=True)
    remove_leftovers(out_dir)
    planned = {f"{plan.name}{end}" for plan in plans for end in (suffix, ".json")}
    for path in out_dir.iterdir():
        is_part = path.name.endswith((suffix, ".json"))
        if path.is_file() and is_part and path.name not in planned:
            path.unlink()


def _sum_counts(records: Iterable[PartRecord]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for record in records:
        total.update(record.counts)
    return dict(sorted(total.items()))
