"""Read `.npz` files of recorded arrays."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from mcld.errors import DataError
from mcld.parity.settings import REMEDY


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays by name; never pickles. Raises DataError when the file is missing or damaged."""
    try:
        with np.load(path) as file:
            return {name: file[name] for name in file.files}
    except (
        OSError,
        ValueError,
        EOFError,
        TypeError,
        AttributeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise DataError(f"{path}: not a readable .npz file ({error}); {REMEDY}") from error
