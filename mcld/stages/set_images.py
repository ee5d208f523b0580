"""Images of a set that networks look at, and how they are read: at the size of the evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mcld.errors import DataError
from mcld.evaluation import protocols
from mcld.evaluation.foreign_image import read_foreign_image
from mcld.stages.columns import read_pixels
from mcld.storage import sha256_of_file
from mcld.types import ImageRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class SetImage:
    """An image of a set: a generated `file`, or the data set's `record`. `target` is for distances."""

    key: str
    file: Path | None = None
    record: ImageRecord | None = None
    target: ImageRecord | None = None

    def hashes(self) -> list[str | None]:
        """What it is made from. Raises DataError for a file that cannot be read."""
        record = None if self.file is not None or self.record is None else self.record.sha256
        file = None if self.file is None else _hash(self.file)
        return [self.key, file, record, None if self.target is None else self.target.sha256]


SetImages = tuple[SetImage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedPair:
    """A pair of the data set. Rows have a file a pair."""

    source: ImageRecord
    target: ImageRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class SetReader:
    """Reads images, (H, W, 3) uint8 RGB. With `resizes` files may be of another size."""

    image_dir: Path
    height_px: int
    width_px: int
    resizes: bool

    def settings(self) -> dict[str, object]:
        """What shapes the pixels besides the images."""
        return {"height_px": self.height_px, "width_px": self.width_px, "resizes": self.resizes}

    def image(self, image: SetImage) -> np.ndarray | str:
        """The image, or why the data set's cannot be decoded. Raises DataError for an unusable file."""
        return self._file(image.file) if image.file is not None else self.record(image.record)

    def record(self, record: ImageRecord | None) -> np.ndarray | str:
        """An image of the data set, or why it cannot be decoded."""
        assert record is not None
        pixels = read_pixels(record, root_dir=self.image_dir)
        if isinstance(pixels, str):
            return pixels
        return protocols.resize(pixels, height_px=self.height_px, width_px=self.width_px)

    def _file(self, path: Path) -> np.ndarray:
        try:
            found = read_foreign_image(
                path.read_bytes(), height_px=self.height_px, width_px=self.width_px, resizes=self.resizes
            )
        except OSError as error:
            raise _unreadable(path, error) from error
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        return found.pixels


def _hash(path: Path) -> str:
    try:
        return sha256_of_file(path)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"{path}: cannot be read ({error.strerror}); restore it and repeat the command")
