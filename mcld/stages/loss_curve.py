"""The training curve, read back from the table that training left for DVC."""

from __future__ import annotations

import csv
from pathlib import Path

from mcld.errors import DataError

LOSS_NAME = "loss.csv"


def read_losses(path: Path) -> tuple[list[int], list[float]]:
    """Return steps and losses of the training curve. Raises DataError when the file is missing or damaged."""
    try:
        with path.open(newline="") as file:
            lines = list(csv.DictReader(file))
        return [int(line["step"]) for line in lines], [float(line["loss"]) for line in lines]
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); run `mcld run train`") from error
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: not a table of step and loss ({error}); run `mcld run train`") from error
