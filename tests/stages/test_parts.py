"""Parts are reused only when everything that shaped them is unchanged and their bytes are whole."""

from __future__ import annotations

import json
import os
import resource
from dataclasses import dataclass
from pathlib import Path

import pytest

from mcld.data.columns import write_part
from mcld.data.manifest import read_manifest
from mcld.errors import DataError
from mcld.stages.mapper import SerialMapper
from mcld.stages.parts import PartOutput, PartPlan, PartWork, finish, part_name, run_parts
from mcld.types import Exclusion


@dataclass(frozen=True, slots=True, kw_only=True)
class Letters(PartWork[str]):
    """A part an item a letter; `x` is excluded. `hashes` stand for the letters' source files."""

    hashes: str = "h"

    def inputs(self, payload: str) -> object:
        return [[letter, self.hashes] for letter in payload]

    def build(self, payload: str, *, path: Path) -> PartOutput:
        kept = [letter for letter in payload if letter != "x"]
        excluded = tuple(
            Exclusion(key=f"k/{n}", reason="is x", stage="letters") for n, c in enumerate(payload) if c == "x"
        )
        num_items = write_part(
            path, items=((f"k/{n}", {"txt": c.encode() * 999}) for n, c in enumerate(kept))
        )
        return PartOutput(num_items=num_items, exclusions=excluded, counts={"letters": num_items})


@dataclass(frozen=True, slots=True, kw_only=True)
class CopiedFile(PartWork[Path]):
    """A part that holds a file's text. With `successor` the file is another one right after it was read."""

    successor: str | None = None

    learns_inputs = True

    def inputs(self, payload: Path) -> object:
        return payload.read_text()

    def build(self, payload: Path, *, path: Path) -> PartOutput:
        text = payload.read_text()
        if self.successor is not None:
            payload.write_text(self.successor)
        num_items = write_part(path, items=[("k/0", {"txt": text.encode()})])
        return PartOutput(num_items=num_items, inputs=text)


def run(
    out_dir: Path,
    *,
    words: tuple[str, ...] = ("abc", "dex", "f"),
    settings: dict[str, object] | None = None,
    format_version: int = 1,
    work: Letters | None = None,
    max_excluded_fraction: float = 0.5,
) -> int:
    manifest, num_reused = run_parts(
        "letters",
        out_dir=out_dir,
        settings=settings or {"size": 1},
        format_version=format_version,
        plans=[PartPlan(index=i, name=part_name(i), payload=word) for i, word in enumerate(words)],
        work=work or Letters(),
        mapper=SerialMapper(),
        max_excluded_fraction=max_excluded_fraction,
    )
    finish(manifest, out_dir=out_dir)
    return num_reused


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_second_run_reuses_all_and_changes_no_byte(tmp_path: Path) -> None:
    assert run(tmp_path) == 0
    first = contents(tmp_path)
    assert run(tmp_path) == 3
    assert contents(tmp_path) == first
    manifest = read_manifest(tmp_path)
    assert (manifest.num_items, len(manifest.exclusions), manifest.counts) == (6, 1, {"letters": 6})


def test_each_thing_that_shapes_a_part_makes_it_again(tmp_path: Path) -> None:
    run(tmp_path)
    assert run(tmp_path, settings={"size": 2}) == 0
    assert run(tmp_path, settings={"size": 2}, format_version=2) == 0
    assert run(tmp_path, settings={"size": 2}, format_version=2, work=Letters(hashes="g")) == 0
    assert (
        run(
            tmp_path,
            words=("abc", "dey", "f"),
            settings={"size": 2},
            format_version=2,
            work=Letters(hashes="g"),
        )
        == 2
    )


@pytest.mark.parametrize("change", ["flip", "cut", "remove", "record", "swap"])
def test_part_that_only_looks_whole_is_made_again(tmp_path: Path, change: str) -> None:
    run(tmp_path)
    whole = contents(tmp_path)
    tar, record = tmp_path / "part-00001.tar", tmp_path / "part-00001.json"
    if change == "flip":
        tar.write_bytes(whole[tar.name].replace(b"d", b"D", 1))
    elif change == "cut":
        tar.write_bytes(whole[tar.name][:512])
    elif change == "remove":
        tar.unlink()
    elif change == "record":
        record.write_bytes(whole[record.name][:40])
    else:
        tar.write_bytes(whole["part-00000.tar"])
    assert run(tmp_path) == 2
    assert contents(tmp_path) == whole


def test_leftovers_and_parts_no_longer_planned_are_removed(tmp_path: Path) -> None:
    run(tmp_path)
    (tmp_path / ".part-00000.tar.123.tmp").write_bytes(b"half")
    run(tmp_path, words=("abc",))
    assert sorted(contents(tmp_path)) == ["manifest.json", "part-00000.json", "part-00000.tar"]


def test_too_many_exclusions_fail_with_counts_by_reason_and_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"letters: 3 of 5 items excluded.*0\.5 allows: 3 x is x .*raise the limit"
    ):
        run(tmp_path, words=("xx", "axb"))
    assert not (tmp_path / "manifest.json").exists()
    assert run(tmp_path, words=("xx", "axb"), max_excluded_fraction=0.6) == 2


def test_manifest_holds_no_time_and_no_path_of_this_machine(tmp_path: Path) -> None:
    run(tmp_path / "one")
    run(tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    text = (tmp_path / "one" / "manifest.json").read_text()
    assert str(tmp_path) not in text
    assert json.loads(text)["parts"][0]["path"] == "part-00000.tar"


@pytest.mark.parametrize("limit_bytes", [100, 700, 3000])
def test_full_disk_is_a_clear_error_and_leaves_no_part_that_looks_whole(
    tmp_path: Path, limit_bytes: int
) -> None:
    """A file-size limit stands for a full disk: both fail inside `write`."""
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
        try:
            run(tmp_path)
        except DataError as error:
            expected = "cannot be written (File too large); free some space" in str(error)
            os._exit(7 if expected else 8)
        finally:
            os._exit(9)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7
    assert list(tmp_path.glob("*.tmp")) == []
    assert not (tmp_path / "manifest.json").exists()
    run(tmp_path)
    whole = contents(tmp_path)
    run(tmp_path.parent / f"{tmp_path.name}-unfaulted")
    assert contents(tmp_path.parent / f"{tmp_path.name}-unfaulted") == whole


def test_a_work_that_learns_its_inputs_is_judged_by_what_it_read(tmp_path: Path) -> None:
    source, out_dir = tmp_path / "source.txt", tmp_path / "out"
    source.write_text("old")

    def copy(work: CopiedFile) -> int:
        _, num_reused = run_parts(
            "copies",
            out_dir=out_dir,
            settings={},
            format_version=1,
            plans=[PartPlan(index=0, name=part_name(0), payload=source)],
            work=work,
            mapper=SerialMapper(),
        )
        return num_reused

    assert copy(CopiedFile(successor="new")) == 0
    assert copy(CopiedFile()) == 0  # the part holds "old", the file "new"
    assert copy(CopiedFile()) == 1
