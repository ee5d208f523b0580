"""Files appear whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mcld.errors import DataError
from mcld.storage import (
    atomic_dir,
    atomic_path,
    canonical_json,
    fingerprint,
    read_json,
    remove_leftovers,
    sha256_of_bytes,
    sha256_of_file,
    write_bytes,
    write_json,
)

FILE_SIZE_LIMIT_BYTES = 64 * 1024


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_written_bytes_are_there_and_nothing_else_is(tmp_path: Path) -> None:
    write_bytes(tmp_path / "deep" / "a.bin", data=b"new")
    assert (tmp_path / "deep" / "a.bin").read_bytes() == b"new"
    assert names_in(tmp_path / "deep") == ["a.bin"]


@pytest.mark.parametrize("error", [RuntimeError("ours"), KeyboardInterrupt()])
def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(error: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(type(error)), atomic_path(path) as temporary:
        temporary.write_bytes(b"half")
        raise error
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["a.bin"]


def test_a_killed_write_keeps_the_old_file_and_its_leftover_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    code = (
        "import os, signal; from pathlib import Path; from mcld.storage import atomic_path\n"
        f"with atomic_path(Path({str(path)!r})) as temporary:\n"
        "    temporary.write_bytes(b'half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert path.read_bytes() == b"old"
    remove_leftovers(tmp_path)
    assert names_in(tmp_path) == ["a.bin"]


def _file_size_limited(write: str, *, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run a write in a process that may make no file over the limit: beyond it, as on a full disk."""
    code = (
        "import resource, signal; from pathlib import Path; from mcld.storage import *\n"
        "from mcld.errors import DataError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({FILE_SIZE_LIMIT_BYTES}, {FILE_SIZE_LIMIT_BYTES}))\n"
        f"big = b'x' * {4 * FILE_SIZE_LIMIT_BYTES}\n"
        f"try:\n    {write}\nexcept DataError as error:\n    print(error)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code], cwd=directory, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "write", ["write_bytes(Path('a.bin'), data=big)", "write_json(Path('a.bin'), value=big.decode())"]
)
def test_a_full_disk_is_told_in_one_sentence_and_leaves_nothing(write: str, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"old")
    done = _file_size_limited(write, directory=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "a.bin: cannot be written (File too large)" in done.stdout
    assert "free some space" in done.stdout
    assert names_in(tmp_path) == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"old"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DataError, match=r"a.bin: cannot be written \(Permission denied\)"):
        write_bytes(tmp_path / "a.bin", data=b"x")


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file/deep/a.bin: cannot be written \(Not a directory\)"):
        write_bytes(tmp_path / "file" / "deep" / "a.bin", data=b"x")


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "old.txt").write_text("old")
    with atomic_dir(target) as temporary:
        (temporary / "new.txt").write_text("new")
        assert names_in(target) == ["old.txt"]
    assert names_in(target) == ["new.txt"]
    assert names_in(tmp_path) == ["out"]


def test_a_failed_folder_keeps_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "old.txt").write_text("old")
    with pytest.raises(RuntimeError), atomic_dir(target) as temporary:
        (temporary / "new.txt").write_text("new")
        raise RuntimeError
    assert names_in(target) == ["old.txt"]
    assert names_in(tmp_path) == ["out"]


def test_json_comes_back_and_is_the_same_bytes_whatever_the_order(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", value={"b": 1, "a": [1.5, None]})
    write_json(tmp_path / "b.json", value={"a": [1.5, None], "b": 1})
    assert read_json(tmp_path / "a.json") == {"a": [1.5, None], "b": 1}
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, r"a.json: not found; run the stage that writes it"),
        (lambda path: path.write_text('{"a": '), r"a.json: not valid JSON .*run its stage again"),
        (lambda path: path.write_bytes(b"\xff\xfe"), r"a.json: not valid JSON"),
    ],
)
def test_json_that_cannot_be_read_is_told(
    write: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    write(tmp_path / "a.json")
    with pytest.raises(DataError, match=message):
        read_json(tmp_path / "a.json")


def test_fingerprints_follow_the_value_and_not_its_order() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 1.5})


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, Path("a")])
def test_only_plain_data_has_a_fingerprint(value: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        canonical_json(value)


def test_a_files_hash_is_that_of_its_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 8192
    (tmp_path / "a.bin").write_bytes(data)
    assert sha256_of_file(tmp_path / "a.bin") == sha256_of_bytes(data)
