"""What commands say while they work goes to stderr; stdout is for results."""

from __future__ import annotations

import logging


def log_to_stderr() -> None:
    """Ours from INFO on, others' from WARNING on. Call it before heavy imports, which look at it."""
    from mcld.progress import silence_libraries

    silence_libraries()
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", level=logging.WARNING)
    logging.getLogger("mcld").setLevel(logging.INFO)
