"""The folder of a saved pipeline: what it holds, and when it may be replaced.

DIR/README.md                            the model card
DIR/model_index.json                     diffusers' list of the parts
DIR/model/ DIR/vae/ DIR/scheduler/       the parts; DIR/image_encoder/ if there is one
"""

from __future__ import annotations

from pathlib import Path

from mcld.errors import ConfigError

CARD_NAME = "README.md"
ENTRIES = frozenset({CARD_NAME, "model_index.json", "model", "vae", "scheduler", "image_encoder"})


def check_replaceable(directory: Path) -> None:
    """Raises ConfigError unless the folder is missing, empty or a saved pipeline's and nothing else's."""
    if not directory.exists():
        return
    if not directory.is_dir():
        raise ConfigError(f"{directory}: is a file; give a folder that is new, empty or an earlier export")
    found = {path.name for path in directory.iterdir()}
    foreign = sorted(found - ENTRIES)
    if foreign or (found and "model_index.json" not in found):
        raise ConfigError(
            f"{directory}: holds '{(foreign or sorted(found))[0]}', which is not a saved pipeline's; "
            "give a folder that is new, empty or an earlier export"
        )
