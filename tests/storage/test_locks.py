"""One process holds a lock file, says who it is, and lets go by ending."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mcld.storage.locks import HeldError, held

HOLD = """
import sys
from pathlib import Path
from mcld.storage.locks import held
with held(Path(sys.argv[1])):
    print(flush=True)
    input()
"""


def test_a_second_holder_is_told_the_first_and_a_killed_one_blocks_nobody(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(HeldError) as caught, held(path):
            pass
        assert caught.value.holder == str(process.pid)
        process.kill()
    with held(path):
        assert path.read_text() == str(os.getpid())
