"""Kill this process at a named point, so that tests can prove that a repeated command ends in the same bytes.

`MCLD_FAULT=stage:point:n` sends SIGKILL at the n-th passing of that point, counted within one process.
Unset, as always outside tests, passing a point costs one dictionary look-up.
"""

from __future__ import annotations

import os
import signal
from itertools import count

_passings = count(1)  # a counter, advanced only while a fault is asked for


def passing(point: str) -> None:
    """Say that execution is at `point`, written `stage:point`, e.g. `texture:part_written`."""
    wanted = os.environ.get("MCLD_FAULT")
    if wanted is None:
        return
    name, _, number = wanted.rpartition(":")
    if name == point and next(_passings) == int(number):
        os.kill(os.getpid(), signal.SIGKILL)
