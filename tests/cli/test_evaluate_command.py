"""`mcld evaluate` answers a mistake with one sentence and exit code 2."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.workspaces import CHECKOUT, run_mcld


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "evaluate: give a folder of generated images, or --table"),
        (("--table", "--partial"), "--name, --partial and --resize need a folder"),
        (("nowhere",), "mcld: nowhere: no such folder"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    shutil.copy(CHECKOUT / "params.yaml", tmp_path)
    done = run_mcld("evaluate", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_the_table_is_shown_before_anything_is_scored(tmp_path: Path) -> None:
    shutil.copy(CHECKOUT / "params.yaml", tmp_path)
    done = run_mcld("evaluate", "--table", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Nothing has been scored here yet" in done.stdout
    assert "MCLD *published*" in done.stdout
