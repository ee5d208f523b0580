from __future__ import annotations

from pathlib import Path

import pytest

from tests.workspaces import run_mcld


@pytest.mark.parametrize("command", ["pose", "edit", "remake", "serve"])
def test_commands_that_run_a_model_show_their_options(tmp_path: Path, command: str) -> None:
    said = run_mcld(command, "--help", cwd=tmp_path)

    assert said.returncode == 0
    assert "--densepose" in said.stdout


def test_an_unknown_means_of_acceleration_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    said = run_mcld("serve", "--accelerate", "magic", cwd=tmp_path)

    assert said.returncode == 2
    assert "channels-last" in said.stderr
