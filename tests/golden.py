"""Where the golden tensors are. Tests that need them skip with a reason when they are absent.

What is in the folder of the model is read by `mcld.parity.golden`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from mcld.parity.rows import relative_error as relative_error

REPOSITORY_DIR = Path(__file__).resolve().parents[1]


def golden_dir(name: str) -> Path:
    """The folder of golden tensors called `name`; skips the test when it is not there."""
    root = Path(os.environ.get("MCLD_GOLDEN_DIR") or REPOSITORY_DIR.parent / "shared" / "golden")
    if not (root / name).is_dir():
        pytest.skip(
            f"no golden tensors at {root / name}; set MCLD_GOLDEN_DIR to the folder that holds '{name}'"
        )
    return root / name


def read_golden_json(path: Path) -> Any:
    """A JSON file of the golden folder."""
    return json.loads(path.read_text())
