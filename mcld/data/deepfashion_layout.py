"""Where a copy of DeepFashion In-shop keeps images and lists: as its makers ship it, or as it is shared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mcld.data.deepfashion import IMAGE_FOLDER, SPLITS
from mcld.errors import DataError

IMAGE_ZIP = f"{IMAGE_FOLDER}.zip"
EVAL_PARTITION = "list_eval_partition.txt"
SPLIT_LISTS = {split: (f"{split}.lst",) for split in SPLITS}
PAIR_LISTS = {
    split: (
        f"fasion-pairs-{split}.csv",  # the spelling in circulation
        f"fasion-resize-pairs-{split}.csv",
        f"fashion-pairs-{split}.csv",
        f"fashion-resize-pairs-{split}.csv",
        f"{split}.csv",
        f"{split}_pairs.csv",
        f"{split}_pairs.txt",
        f"pairs-{split}.csv",
    )
    for split in SPLITS
}
_IMAGE_PLACES = ("", "Img")
_LIST_PLACES = ("", "Eval", "Anno", "Img")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlace:
    """The images' folder or zip, and what else lay there but is not read."""

    path: Path
    passed_over: Path | None = None

    @property
    def is_zip(self) -> bool:
        """Whether the images are to be read out of a zip."""
        return self.path.suffix == ".zip"


def find_images(root_dir: Path) -> ImagePlace:
    """The image folder, or else the zip, in the data set's folder or its `Img/`.

    Raises DataError when there is neither.
    """
    folders = [root_dir / place / IMAGE_FOLDER for place in _IMAGE_PLACES]
    zips = [root_dir / place / IMAGE_ZIP for place in _IMAGE_PLACES]
    found = [path for path in folders if path.is_dir()] + [path for path in zips if path.is_file()]
    if not found:
        raise DataError(
            f"{root_dir / IMAGE_FOLDER}: no such folder, and no {IMAGE_ZIP} either; "
            "set dataset.root_dir to the folder that holds one of them, itself or in Img/"
        )
    return ImagePlace(path=found[0], passed_over=found[1] if len(found) > 1 else None)


def find_list(root_dir: Path, *, names: Iterable[str]) -> Path | None:
    """The first of `names` that lies in the data set's folder, or else in its `Eval/`, `Anno/` or `Img/`."""
    paths = (root_dir / place / name for name in names for place in _LIST_PLACES)
    return next((path for path in paths if path.is_file()), None)
