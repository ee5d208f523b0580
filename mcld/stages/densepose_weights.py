"""DensePose's weights as the stage uses them: a published pickle is carried over once, then kept.

The copy lies in the workspace's state folder under the hash of what it was made from, so that another file
under the same name is another copy. It belongs to this machine and is never versioned.
"""

from __future__ import annotations

import hashlib
import logging
import re
from pathlib import Path

from mcld.conditions.densepose import import_densepose
from mcld.config import DenseposeParams
from mcld.errors import WeightsError
from mcld.storage import HASH_BLOCK_BYTES, sha256_of_file
from mcld.tensors.files import SAFETENSORS
from mcld.workspace import Workspace

ORIGIN = "detectron2's densepose_rcnn_R_101_FPN_DL_s1x (model_final_844d15.pkl)"
FOLDER = "densepose"
# "Any model on this page contains its md5 prefix in its file name" (detectron2's MODEL_ZOO.md).
_PUBLISHED_NAME = re.compile(r"model_final_([0-9a-f]{6})\.pkl")
logger = logging.getLogger(__name__)


def ready_weights(params: DenseposeParams, *, workspace: Workspace) -> Path:
    """The safetensors file to load. Raises WeightsError when the named file is missing, damaged or another.

    Everything is checked here, before any image is looked at.
    """
    assert params.weights_path is not None  # checked by DenseposeParams
    given = workspace.root / params.weights_path
    if not given.is_file():
        raise WeightsError(
            f"{given}: not found; densepose.weights_path names the weights of {ORIGIN}: put your copy there"
        )
    sha256 = sha256_of_file(given)
    _check(given, sha256=sha256, expected=params.expected_sha256)
    if given.suffix == SAFETENSORS:
        return given
    kept = workspace.state_dir / FOLDER / f"{sha256}{SAFETENSORS}"
    if not kept.is_file():
        _forget_others(kept.parent, given=given)
        import_densepose(given, out_path=kept)
        logger.info("%s: carried over to %s", given, kept)
    return kept


def _check(path: Path, *, sha256: str, expected: str | None) -> None:
    if expected is not None and sha256 != expected:
        raise WeightsError(
            f"{path}: sha256 is {sha256}, expected {expected} by densepose.expected_sha256; the file is "
            f"damaged or another one: copy that of {ORIGIN} again"
        )
    published = _PUBLISHED_NAME.fullmatch(path.name)
    if expected is None and published and not _md5_of_file(path).startswith(published[1]):
        logger.warning(
            "%s: its MD5 does not begin with %s, as that of files published under such names does; it may be "
            "damaged: copy it again, or set densepose.expected_sha256: %s if it is right",
            path,
            published[1],
            sha256,
        )


def _forget_others(directory: Path, *, given: Path) -> None:
    """Copies of files that are no longer named: each is as large as the network."""
    for other in directory.glob(f"*{SAFETENSORS}"):
        logger.warning("%s: is another file than at its last use (sha256 %s)", given, other.stem)
        other.unlink()


def _md5_of_file(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(HASH_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
