"""A supervisor of two shells: `python -m tests.infra.tiny_stack FOLDER`; ends on SIGTERM."""

import logging
import signal
import sys
import threading
from pathlib import Path

from infra.stack.service import Service
from infra.stack.settings import StackError
from infra.stack.supervisor import Supervised, Supervisor

WORK = """setsid sh -c 'trap "kill -0 $PPID && touch saved; exit" TERM; while :; do sleep 0.1; done' & wait"""


def main(folder: Path) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    members = [
        # Leaves a child of its own group's, and one that has left the group, as daemons do.
        _member("first", f"echo $$ > {folder}/first; setsid sleep 1000 & sleep 1000 & wait", folder=folder),
        # Works by a child that saves what it has, if it is told while whom it works for is still there.
        _member("second", f"test -e {folder}/first && echo $$ > {folder}/second; {WORK}", folder=folder),
    ]
    supervisor = Supervisor(members=members, is_stopping=stop.is_set)
    try:
        supervisor.start()
        (folder / "up").touch()
        supervisor.watch(until=lambda: False)
    except StackError as error:
        sys.stdout.write(f"{error}\n")
    finally:
        supervisor.stop()


def _member(name: str, script: str, *, folder: Path) -> Supervised:
    service = Service(
        name=name,
        command=["sh", "-c", script],
        environment={"PATH": "/usr/bin:/bin"},
        address="",
        is_ready=(folder / name).exists,
        needs=("first",) if name == "second" else (),
        has_work=name == "second",
    )
    log_path = folder / f"{name}.log"
    log_path.touch()
    return Supervised(service=service, working_dir=folder, log_path=log_path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
