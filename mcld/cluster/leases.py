"""A worker works as long as a file in the shared folder says so.

Ray tells us that a worker is lost, not that it has ended: cut off from its cluster, a machine goes on writing
for a while. So each worker looks for its lease, a file, twice a second, and ends itself when it is gone. Who
gives a worker up removes the lease, waits for SETTLED_S, and only then hands its work to another one. No
clocks are compared, and nobody needs to reach the lost one.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from pathlib import Path

POLL_S = 0.5
SETTLED_S = 2.5 * POLL_S


def grant(path: Path) -> Path:
    """Let a worker work; returns the path of its lease."""
    path.touch(exist_ok=False)
    return path


def take_over(directory: Path, *, holder: str) -> Path:
    """Be the one who works as `holder`; whoever did before must have ended when this returns the lease."""
    before = list(directory.glob(f"{holder}.*"))
    for lease in before:
        revoke(lease)
    if before:
        time.sleep(SETTLED_S)
    return grant(directory / f"{holder}.{secrets.token_hex(6)}")


def revoke(path: Path) -> None:
    """The holder ends itself within SETTLED_S, if it has not ended already."""
    path.unlink(missing_ok=True)


def revoke_all(directory: Path) -> None:
    """Revoke what a killed command has left in a folder, which need not exist yet.

    Waits until its workers must have ended.
    """
    directory.mkdir(parents=True, exist_ok=True)
    left = list(directory.iterdir())
    for lease in left:
        revoke(lease)
    if left:
        time.sleep(SETTLED_S)


def hold(path: Path) -> None:
    """From now on this process ends when the lease is gone."""
    threading.Thread(target=_watch, args=(path,), daemon=True, name="lease").start()


def _watch(path: Path) -> None:
    # Only a file that is not there ends us; a shared folder that does not answer may be back in a moment.
    while _is_there(path):
        time.sleep(POLL_S)
    os._exit(1)


def _is_there(path: Path) -> bool:
    try:
        path.open("rb").close()  # opened, not asked about: a network folder answers questions from memory
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True
