"""What was said is on disk at once, survives a kill, and is not said twice."""

import logging
import math
import os
import signal
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path

import pytest

from mcld.tracking.events import (
    DatasetUsed,
    Event,
    FileLogged,
    ImageLogged,
    ParamsLogged,
    PointsLogged,
    RunWanted,
    StatusSet,
    TagsSet,
    TextLogged,
    event_of,
    line_of,
    reference,
)
from mcld.tracking.journal import START, Journal, Unreadable

RUN = RunWanted(time_ms=1, tracking_uri="sqlite:///a.db", experiment="e", name="n")


def _point(step: int, value: float = 0.5, *, name: str = "loss") -> PointsLogged:
    return PointsLogged(time_ms=7, points=((name, step, value),))


def _said(journal: Journal) -> list[Event | Unreadable]:
    return [entry.event for entry in journal.read(START)]


def _last_file(directory: Path) -> Path:
    return max(directory.glob("events-*.jsonl"))


def test_every_event_comes_back_from_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"png")
    file = reference(tmp_path / "a.png", root=tmp_path)
    events: list[Event] = [
        RUN,
        ParamsLogged(values={"a.b": "1"}),
        PointsLogged(time_ms=2, points=(("loss", 1, 0.25), ("loss", 2, math.inf))),
        TagsSet(values={"git": "ä"}),
        ImageLogged(time_ms=3, key="samples", step=4, file=file),
        FileLogged(artifact_dir="", file=file),
        TextLogged(artifact_file="a.json", text="{\n}"),
        DatasetUsed(name="d", digest="0.dir", source="/d", source_type="local"),
        StatusSet(time_ms=5, status="KILLED"),
    ]
    assert [event_of(line_of(event)) for event in events] == events
    assert all(line_of(event).count(b"\n") == 1 for event in events)


def test_a_torn_last_line_is_not_read_and_the_next_append_cuts_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([RUN, _point(1)])
    with _last_file(tmp_path).open("ab") as file:
        file.write(line_of(_point(2))[:-4])
    assert _said(journal) == [RUN, _point(1)]
    again = Journal(tmp_path)
    again.append([_point(2)])
    assert _said(again) == [RUN, _point(1), _point(2)]


def test_what_a_killed_process_appended_is_there(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from mcld.tracking.journal import Journal\n"
        "from mcld.tracking.events import PointsLogged\n"
        "Journal(Path(sys.argv[1])).append([PointsLogged(time_ms=7, points=(('loss', 1, 0.5),))])\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert _said(Journal(tmp_path)) == [_point(1)]


def test_steps_that_a_resumed_training_repeats_are_not_said_again(tmp_path: Path) -> None:
    Journal(tmp_path).append([_point(step) for step in (1, 2, 3)])
    resumed = Journal(tmp_path)
    resumed.append([_point(2, 0.9), _point(3, 0.9), _point(4), _point(1, name="other")])
    assert _said(resumed) == [_point(1), _point(2), _point(3), _point(4), _point(1, name="other")]


def test_a_correction_is_said_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for value in (0.1, 0.1, math.nan, math.nan, 0.2):
        journal.append([_point(5, value)], corrects=True)
    values = [event.points[0][2] for event in _said(journal) if isinstance(event, PointsLogged)]
    assert [repr(value) for value in values] == ["0.1", "nan", "0.2"]


def test_corrections_may_come_in_any_order_of_steps_and_a_repeated_command_says_none_again(
    tmp_path: Path,
) -> None:
    for _ in range(2):
        journal = Journal(tmp_path)
        for step in (400, 200, 300):
            journal.append([_point(step, step / 1000)], corrects=True)
    steps = [event.points[0][1] for event in _said(journal) if isinstance(event, PointsLogged)]
    assert steps == [400, 200, 300]


def test_an_earlier_versions_journal_is_read(tmp_path: Path) -> None:
    line = b'{"kind":"run","time_ms":1,"tracking_uri":"u","experiment":"e","name":"n"}'
    assert event_of(line) == RunWanted(time_ms=1, tracking_uri="u", experiment="e", name="n")
    with pytest.raises(ValueError, match="not the fields of RunWanted"):
        event_of(line.replace(b'"name"', b'"nome"'))


def test_a_repeated_command_says_only_what_changed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = DatasetUsed(name="d", digest="0", source="/d", source_type="local")
    Journal(tmp_path).append(
        [
            RUN,
            ParamsLogged(values={"a": "1"}),
            TagsSet(values={"host": "x", "git": "1"}),
            data,
            StatusSet(time_ms=1, status="FINISHED"),
        ]
    )
    again = Journal(tmp_path)
    before = again.end
    with caplog.at_level(logging.WARNING):
        again.append([RUN, ParamsLogged(values={"a": "2", "b": "3"}), data])
    assert "param a is '1'" in caplog.text
    again.append([TagsSet(values={"host": "x", "git": "2"}), StatusSet(time_ms=2, status="FINISHED")])
    assert [entry.event for entry in again.read(before)] == [
        ParamsLogged(values={"b": "3"}),
        TagsSet(values={"git": "2"}),
    ]


def test_an_image_of_a_repeated_step_keeps_the_time_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"1")
    file = reference(tmp_path / "a.png", root=tmp_path)
    journal = Journal(tmp_path / "journal")
    for time_ms in (10, 20):
        journal.append([ImageLogged(time_ms=time_ms, key="samples", step=1, file=file)])
    times = [event.time_ms for event in _said(journal) if isinstance(event, ImageLogged)]
    assert times == [10, 10]


def test_a_long_journal_goes_on_in_a_new_file_and_reads_as_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment_bytes=200)
    for step in range(20):
        journal.append([_point(step)])
    assert len(list(tmp_path.glob("events-*.jsonl"))) > 2
    entries = list(journal.read(START))
    assert [entry.event for entry in entries] == [_point(step) for step in range(20)]
    assert entries[-1].end == journal.end
    for entry, following in pairwise(entries):
        assert next(journal.read(entry.end)).event == following.event
    assert Journal(tmp_path, segment_bytes=200).memory.last_points == {"loss": (19, 0.5)}


def test_two_writers_at_once_tear_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    writers = [Journal(tmp_path, segment_bytes=2000) for _ in range(4)]
    threads = [
        threading.Thread(target=lambda one: [one.append([_point(s)]) for s in range(50)], args=(one,))
        for one in writers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _said(Journal(tmp_path)) == [_point(step) for step in range(50)]


def test_a_damaged_line_is_named_and_costs_no_other(tmp_path: Path) -> None:
    Journal(tmp_path).append([_point(1)])
    with _last_file(tmp_path).open("ab") as file:
        file.write(b'{"kind": "hologram"}\n\xff\xfe\n{"kind":"status","time_ms":1}\n')
    journal = Journal(tmp_path)
    journal.append([_point(2)])
    first, *damaged, last = _said(journal)
    assert (first, last) == (_point(1), _point(2))
    assert all(isinstance(event, Unreadable) for event in damaged)
    assert len(damaged) == 3


def test_a_reference_tells_whether_the_file_is_still_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"one")
    by_hash = reference(path, root=tmp_path)
    by_time = reference(path, root=tmp_path, hashed=False)
    assert by_hash.path == "a.bin"
    os.utime(path, ns=(1, 1))
    assert by_hash.difference(tmp_path) is None
    assert by_time.difference(tmp_path) == "it was written again"
    path.write_bytes(b"two")
    assert by_hash.difference(tmp_path) == "its content is another"
    path.write_bytes(b"three")
    assert by_hash.difference(tmp_path) == "it has 5 bytes now, it had 3"
    path.unlink()
    assert by_hash.difference(tmp_path) == "it is gone"
