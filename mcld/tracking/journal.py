"""The journal of a run: every event on disk, in order, before anything is sent.

A journal is a folder of `events-NNNNNN.jsonl`; only the last of them grows. Lines are written unbuffered, so
a SIGKILL loses nothing that was appended, and leaves at most one torn line, which readers never see and the
next append cuts off. A power cut may lose what `sync` has not confirmed; only confirmed events are sent.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mcld.storage import sync_dir, sync_file
from mcld.storage.locks import locked
from mcld.tracking.events import Event, event_of, line_of
from mcld.tracking.memory import Memory

SEGMENT_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place between two events: `offset` bytes into the file of number `segment`."""

    segment: int = 0
    offset: int = 0


START = Position()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A whole line that is no event: damage, or a later version's."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a line says, and the position behind it."""

    event: Event | Unreadable
    end: Position


class Journal:
    """One run's journal. Threads and processes may append at once; each sees what the others have said."""

    def __init__(self, directory: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.directory = directory
        self._segment_bytes = segment_bytes
        self._mutex = threading.Lock()
        self._memory = Memory()
        self._known = START  # what lies before is in the memory
        directory.mkdir(parents=True, exist_ok=True)
        self.append([])

    @property
    def memory(self) -> Memory:
        """What the journal has said, up to the last append of this object. Read only."""
        return self._memory

    @property
    def end(self) -> Position:
        """Behind the last event that this object appended or saw."""
        with self._mutex:
            return self._known

    def append(self, events: Sequence[Event], *, corrects: bool = False) -> None:
        """Write what is news of `events` (see Memory.news). Raises OSError when the disk does not take it."""
        with self._mutex, locked(self.directory / "append.lock", waits=True):
            self._catch_up()
            for event in events:
                news = self._memory.news(event, corrects=corrects)
                if news is None:
                    continue
                line = line_of(news)
                self._write(line)
                self._memory.note(news)
                self._known = Position(self._known.segment, self._known.offset + len(line))

    def read(self, start: Position) -> Iterator[Entry]:
        """The events behind `start`, up to the last whole line."""
        segment, offset = start.segment, start.offset
        while True:
            has_next = self._path(
                segment + 1
            ).is_file()  # asked first: a file that has a next one is complete
            yield from _entries(self._path(segment), segment=segment, offset=offset)
            if not has_next:
                return
            segment, offset = segment + 1, 0

    def sync(self) -> None:
        """Confirm that all that was appended is on the disk."""
        with self._path(self.end.segment).open("ab") as file:
            os.fsync(file.fileno())
        sync_dir(self.directory)

    def _catch_up(self) -> None:
        """Take in what others have appended, and cut what one of them left torn."""
        for entry in self.read(self._known):
            if not isinstance(entry.event, Unreadable):
                self._memory.note(entry.event)
            self._known = entry.end
        while self._path(self._known.segment + 1).is_file():
            self._known = Position(self._known.segment + 1)
        path = self._path(self._known.segment)
        if path.is_file() and path.stat().st_size > self._known.offset:
            os.truncate(path, self._known.offset)
        if self._known.offset >= self._segment_bytes:
            sync_file(path)  # `sync` looks at the last one only
            self._known = Position(self._known.segment + 1)

    def _write(self, line: bytes) -> None:
        with self._path(self._known.segment).open("ab", buffering=0) as file:
            written = 0
            while written < len(line):
                written += file.write(line[written:])

    def _path(self, segment: int) -> Path:
        return self.directory / f"events-{segment:06d}.jsonl"


def _entries(path: Path, *, segment: int, offset: int) -> Iterator[Entry]:
    if not path.is_file():
        return
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            yield Entry(event=_event_or_damage(line), end=Position(segment, offset))


def _event_or_damage(line: bytes) -> Event | Unreadable:
    try:
        return event_of(line)
    except (ValueError, TypeError) as error:
        return Unreadable(reason=str(error))
