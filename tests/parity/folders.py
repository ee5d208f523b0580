"""Two configurations far from the published golden folder's, and ways to damage a folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.parity.recording import Recording

WIDE = Recording(
    config={
        "name": "wide",
        "weights_seed": 3,
        "block_out_channels": [16, 24, 32, 32],
        "layers_per_block": 1,
        "attention_head_dim": 4,
        "norm_num_groups": 4,
        "cross_attention_dim": 24,
        "latent_hw": [12, 20],
        "num_tokens": 8,
        "pose_block_out_channels": [4, 8, 8, 16],
        "resampler": {"dim": 32, "depth": 1, "dim_head": 8, "heads": 2},
        "batch": 2,
        "input_seeds": [5, 9],
        "sampling": {"batch": 1, "steps": 3, "guidance": 2.0, "seed": 17},
        "loss": {"batch": 2, "timesteps": [999, 40], "seed": 21},
    },
    loss_only_hw=(12, 10),
)
# Three levels, three layers a block, and sizes that halve to 5 x 7 and 3 x 4.
ODD = Recording(
    config={
        "name": "odd",
        "weights_seed": 4,
        "block_out_channels": [8, 16, 24],
        "layers_per_block": 3,
        "attention_head_dim": 2,
        "norm_num_groups": 4,
        "cross_attention_dim": 12,
        "latent_hw": [10, 14],
        "num_tokens": 4,
        "pose_block_out_channels": [4, 8, 8, 8],
        "resampler": {"dim": 16, "depth": 2, "dim_head": 4, "heads": 3},
        "batch": 3,
        "input_seeds": [0],
        "sampling": {"batch": 2, "steps": 2, "guidance": 1.5, "seed": 1},
        "loss": {"batch": 3, "timesteps": [0, 500, 720], "seed": 2},
    },
    embedding_dim=20,
)


def change_tensor(path: Path, *, name: str, change: Callable[[Tensor], Tensor] | None) -> None:
    """Replace a tensor of a file, or remove it."""
    tensors = load_file(path)
    value = tensors.pop(name)
    if change is not None:
        tensors[name] = change(value.clone()).contiguous()
    save_file(tensors, path)


def change_json(path: Path, *, keys: tuple[str, ...], value: Any) -> None:
    """Set a value deep in a JSON file; None removes it."""
    whole = json.loads(path.read_text())
    place = whole
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    if value is None:
        del place[keys[-1]]
    path.write_text(json.dumps(whole))
