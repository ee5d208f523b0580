"""What a run has to say to MLflow, as frozen values with a line of JSON each.

Times are in ms since 1970, taken when an event is journaled: sent twice, an event is the same event.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Literal, TypeAlias

from mcld.storage import sha256_of_file

# MLflow's names for how a run stands.
Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReference:
    """A file that is sent later, if it still is the same. `path` is below the root, or absolute.

    The same means: the same sha256, or, where that is not known, the same size and time of modification.
    """

    path: str
    num_bytes: int
    modified_ns: int
    sha256: str | None = None

    def difference(self, root: Path) -> str | None:
        """Why the file cannot be sent any more; None when it can."""
        path = root / self.path
        if not path.is_file():
            return "it is gone"
        found = path.stat()
        if found.st_size != self.num_bytes:
            return f"it has {found.st_size} bytes now, it had {self.num_bytes}"
        if self.sha256 is None:
            return None if found.st_mtime_ns == self.modified_ns else "it was written again"
        return None if sha256_of_file(path) == self.sha256 else "its content is another"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunWanted:
    """The run, and where it belongs: the first event of a journal, and of each change of place."""

    time_ms: int
    tracking_uri: str
    experiment: str
    name: str
    artifact_location: str | None = None  # of an experiment that is made; None: as the server likes
    parent: str | None = None  # identity of the run under which it is shown; that run must be there first


@dataclass(frozen=True, slots=True, kw_only=True)
class ParamsLogged:
    """Values of parameters by name. MLflow never lets one change."""

    values: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsLogged:
    """(metric, step, value) of metrics, all with one time.

    `corrects`: the points may belong to earlier steps than the last, and may replace others.
    """

    time_ms: int
    points: tuple[tuple[str, int, float], ...]
    corrects: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TagsSet:
    """Tags by name."""

    values: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLogged:
    """A PNG of the image panel: `key` names the row, `step` the place on its slider."""

    time_ms: int
    key: str
    step: int
    file: FileReference


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLogged:
    """A file that becomes an artifact of the same name in `artifact_dir`; "" is the root."""

    artifact_dir: str
    file: FileReference


@dataclass(frozen=True, slots=True, kw_only=True)
class TextLogged:
    """An artifact whose content is here."""

    artifact_file: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetUsed:
    """A data set that the run reads. `source_type` is `local` or `s3`."""

    name: str
    digest: str
    source: str
    source_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusSet:
    """The run goes on, or it is over."""

    time_ms: int
    status: Status


Event: TypeAlias = (
    RunWanted
    | ParamsLogged
    | PointsLogged
    | TagsSet
    | ImageLogged
    | FileLogged
    | TextLogged
    | DatasetUsed
    | StatusSet
)

_KINDS: dict[str, type[Event]] = {
    "run": RunWanted,
    "params": ParamsLogged,
    "points": PointsLogged,
    "tags": TagsSet,
    "image": ImageLogged,
    "file": FileLogged,
    "text": TextLogged,
    "dataset": DatasetUsed,
    "status": StatusSet,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def line_of(event: Event) -> bytes:
    """The event as one line of JSON, with its newline; NaN and infinities as Python's json writes them."""
    return json.dumps({"kind": _NAMES[type(event)], **asdict(event)}, separators=(",", ":")).encode() + b"\n"


def event_of(line: bytes) -> Event:
    """The event of a line. Raises ValueError saying what is wrong with it."""
    values = json.loads(line)
    if not isinstance(values, dict) or values.get("kind") not in _KINDS:
        raise ValueError("no event of a kind that is known here")
    kind = _KINDS[values.pop("kind")]
    known = fields(kind)
    # A journal of an earlier version lacks what has come since; such fields have a default.
    needed = {field.name for field in known if field.default is MISSING}
    if not needed <= set(values) <= {field.name for field in known}:
        raise ValueError(f"not the fields of {kind.__name__}: {', '.join(sorted(values))}")
    if "file" in values:
        values["file"] = FileReference(**values["file"])
    if "points" in values:
        values["points"] = tuple(
            (str(name), int(step), float(value)) for name, step, value in values["points"]
        )
    return kind(**values)


def reference(path: Path, *, root: Path, hashed: bool = True) -> FileReference:
    """A file as it is now. `hashed` reads all of it: not for large files on a thread that is waited for."""
    found = path.stat()
    whole, base = path.resolve(), root.resolve()
    return FileReference(
        path=str(whole.relative_to(base) if whole.is_relative_to(base) else whole),
        num_bytes=found.st_size,
        modified_ns=found.st_mtime_ns,
        sha256=sha256_of_file(path) if hashed else None,
    )


def describe(event: Event) -> str:
    """What a person calls the event, for warnings."""
    match event:
        case ImageLogged():
            return f"image '{event.key}' of step {event.step} ({event.file.path})"
        case FileLogged():
            return f"artifact {event.file.path}"
        case TextLogged():
            return f"artifact {event.artifact_file}"
        case PointsLogged():
            return f"metrics {_some([name for name, _, _ in event.points])}"
        case ParamsLogged():
            return f"params {_some(list(event.values))}"
        case TagsSet():
            return f"tags {_some(list(event.values))}"
        case DatasetUsed():
            return f"data set {event.name}"
        case StatusSet():
            return f"status {event.status}"
        case RunWanted():
            return f"run {event.name}"


def _some(names: Sequence[str]) -> str:
    shown = list(dict.fromkeys(names))
    return ", ".join(shown[:3]) + (" …" if len(shown) > 3 else "")
