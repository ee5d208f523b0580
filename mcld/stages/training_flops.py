"""How much work a row of a training step is: counted once for a model and its sizes, then kept.

Counting takes seconds, more than a resumed training needs for anything else before its first step.
"""

from __future__ import annotations

import logging
from pathlib import Path

from mcld.config import TrainParams
from mcld.errors import DataError
from mcld.models import ModelConfig
from mcld.storage import fingerprint, read_json, write_json
from mcld.training.flops import flops_per_row, null_share
from mcld.workspace import Workspace

FORMAT_VERSION = 1  # of the count: another way of counting is another number
logger = logging.getLogger(__name__)


def kept_flops_per_row(
    config: ModelConfig,
    *,
    train: TrainParams,
    latent_hw: tuple[int, int],
    texture_hw: tuple[int, int],
    workspace: Workspace,
) -> float:
    """Operations of one row's forward and backward pass; `*_hw` are in latent cells."""
    share = null_share(
        null_probability=train.null_probability,
        reference_dropout_probability=train.reference_dropout_probability,
    )
    asked = {
        "format_version": FORMAT_VERSION,
        "model": config.to_dict(),
        "latent_hw": latent_hw,
        "texture_hw": texture_hw,
        "null_share": share,
    }
    path = workspace.state_dir / "flops" / f"{fingerprint(asked)}.json"
    kept = _read(path)
    if kept is None:
        kept = flops_per_row(config, latent_hw=latent_hw, texture_hw=texture_hw, null_share=share)
        write_json(path, value=kept)
    return kept


def _read(path: Path) -> float | None:
    if not path.is_file():
        return None
    try:
        value = read_json(path)
    except DataError as error:
        logger.warning("%s; counting again", error)
        return None
    return float(value) if isinstance(value, int | float) else None
