"""Which test pair of this workspace each picture of an image folder shows, and whether enough are shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mcld.config import DatasetParams
from mcld.data.index import DatasetIndex
from mcld.errors import DataError
from mcld.evaluation.foreign import ImageFolder
from mcld.evaluation.foreign_image import SIDE_BY_SIDE
from mcld.evaluation.protocols import MIN_PAIRS
from mcld.stages.folder_part import STAGE, FolderPair
from mcld.types import Exclusion, Pair

NO_IMAGE, NO_SUCH_PAIR = "no image in the folder", "no test pair of this workspace"
_NUM_EXAMPLES = 2


def ordered_test_pairs(index: DatasetIndex) -> tuple[Pair, ...]:
    """All test pairs in the order in which the stage `generate` numbers them when it renders all."""
    pairs = [pair for pair in index.pairs if pair.split == "test"]
    return tuple(sorted(pairs, key=lambda pair: (pair.source, pair.target)))


def match_pairs(
    image_folder: ImageFolder, *, pairs: Sequence[Pair]
) -> tuple[tuple[FolderPair, ...], tuple[Exclusion, ...]]:
    """The pairs that a folder shows, and what does not match: pairs without a file, files without a pair.

    Exclusions are named after the file, or `SOURCE -> TARGET` where there is none.
    """
    files = {(image.source, image.target): image.path.name for image in image_folder.images}
    matched: list[FolderPair] = []
    exclusions = list(image_folder.exclusions)
    for number, pair in enumerate(pairs):
        file_name = files.pop((pair.source, pair.target), None)
        if file_name is None:
            key = f"{pair.source} -> {pair.target}"
            exclusions.append(Exclusion(key=key, reason=NO_IMAGE, stage=STAGE))
        else:
            matched.append(
                FolderPair(id=f"{number:06d}", source=pair.source, target=pair.target, file_name=file_name)
            )
    exclusions += [
        Exclusion(key=file_name, reason=NO_SUCH_PAIR, stage=STAGE) for file_name in sorted(files.values())
    ]
    return tuple(matched), tuple(exclusions)


def check_coverage(
    exclusions: Sequence[Exclusion],
    *,
    num_scored: int,
    num_expected: int,
    folder: Path,
    partial: bool,
    dataset: DatasetParams,
) -> None:
    """Raise DataError when pairs are left without a usable image, or too few are there even for `partial`.

    It names and counts them by reason.
    """
    if num_scored >= (MIN_PAIRS if partial else num_expected):
        return
    listed = _by_reason(exclusions)
    if num_scored < MIN_PAIRS:
        raise DataError(
            f"{folder}: {num_scored} of {num_expected} test pairs have a usable image, evaluation needs at "
            f"least {MIN_PAIRS}: {listed}; {_remedy(exclusions, dataset=dataset)}"
        )
    raise DataError(
        f"{folder}: {num_expected - num_scored} of {num_expected} test pairs have no usable image: {listed}; "
        f"{_remedy(exclusions, dataset=dataset)}, or give --partial to score the other {num_scored} and have "
        "the row say so"
    )


def _by_reason(exclusions: Sequence[Exclusion]) -> str:
    keys: dict[str, list[str]] = {}
    for exclusion in exclusions:
        keys.setdefault(exclusion.reason, []).append(exclusion.key)
    return "; ".join(
        f"{reason}: {len(found)} ({', '.join(found[:_NUM_EXAMPLES])}"
        + (", ...)" if len(found) > _NUM_EXAMPLES else ")")
        for reason, found in sorted(keys.items(), key=lambda item: -len(item[1]))
    )


def _remedy(exclusions: Sequence[Exclusion], *, dataset: DatasetParams) -> str:
    reasons = {exclusion.reason for exclusion in exclusions}
    remedies = ["complete the folder"]
    if any(reason.endswith(SIDE_BY_SIDE) for reason in reasons):
        remedies.append("cut pictures that stand side by side apart")
    elif any(" px, expected " in reason for reason in reasons):
        remedies.append(
            "set generate.height_px and generate.width_px to the images' size, or give --resize to bring "
            "them to the evaluation's"
        )
    if NO_IMAGE in reasons and dataset.source == "deepfashion" and dataset.pairs == "all-views":
        remedies.append("set dataset.pairs: csv to test on the published list of pairs")
    return ", or ".join(remedies)
