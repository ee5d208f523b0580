"""Files of the metrics' networks, with weights by a recipe in the published names and shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from torch import Tensor

from mcld.config import EvaluateParams
from mcld.evaluation.networks import ALEXNET, INCEPTION, INCEPTION_TF, SQUEEZENET, PublishedFile
from mcld.evaluation.trunks import alexnet, inception, squeezenet
from mcld.storage import sha256_of_file
from tests.evaluation.trunks.published_files import recipe_weights, write_published

STATES: dict[PublishedFile, Callable[[], Mapping[str, Tensor]]] = {
    INCEPTION: partial(inception.published_state, "torchvision"),
    INCEPTION_TF: partial(inception.published_state, "tf"),
    ALEXNET: alexnet.published_state,
    SQUEEZENET: squeezenet.published_state,
}


def write_weights(directory: Path, *files: PublishedFile, batch_size: int = 8) -> EvaluateParams:
    """Write copies of the files named, or of all; returns settings that name them and their hashes.

    LPIPS's heads are the published ones, which torchmetrics ships.
    """
    directory.mkdir(parents=True, exist_ok=True)
    paths = {
        file: write_published(directory / file.name, state=recipe_weights(STATES[file]()))
        for file in files or STATES
    }
    named = {file.setting: str(path.resolve()) for file, path in paths.items()}
    hashes = {path.name: sha256_of_file(path) for path in paths.values()}
    return EvaluateParams.model_validate({**named, "expected_sha256": hashes, "batch_size": batch_size})
