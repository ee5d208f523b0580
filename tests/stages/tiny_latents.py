"""Workspaces of the stage `latents`: before it, and after it with a cache and without."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from mcld.conditions.encoders import load_vae
from mcld.config import Params, RuntimeParams
from mcld.data.loader import Loader
from mcld.stages import run_stage
from mcld.stages.mapper import Mapper, SerialMapper
from mcld.stages.pixels import PixelEncoder, encoder_of_shards
from mcld.types import Report
from mcld.workspace import Workspace
from tests.stages.tiny_weights import MODEL_PARAMS, params_with, write_tiny_weights

RUNTIME = RuntimeParams(num_workers=2, device="cpu")


def latents_with(**values: object) -> Params:
    """The tiny params with some values of the latents' section changed."""
    changed = params_with(MODEL_PARAMS, section="latents", **values)
    return changed.model_copy(update={"runtime": RUNTIME})


# One image at a time: then the batches of a part and those of an outfit are the same.
CACHED, UNCACHED = latents_with(batch_size=1), latents_with(batch_size=1, cache=False)


def run(stage: str, *, params: Params, workspace: Workspace, mapper: Mapper | None = None) -> Report:
    """Run a stage, in this process unless another mapper is given."""
    return run_stage(stage, params, workspace=workspace, mapper=mapper or SerialMapper())


def write_textured(root: Path) -> Workspace:
    """A workspace as it stands before the stage `latents`."""
    workspace = Workspace(root=root)
    write_tiny_weights(workspace.root / "base")
    for stage in ("dataset", "weights", "densepose", "face", "texture"):
        run(stage, params=MODEL_PARAMS, workspace=workspace)
    return workspace


def copy_of(workspace: Workspace, root: Path) -> Workspace:
    """The same files elsewhere."""
    return Workspace(root=Path(shutil.copytree(workspace.root, root)))


def packed(textured: Workspace, root: Path, *, params: Params) -> Workspace:
    """A copy of a workspace with latents and shards."""
    workspace = copy_of(textured, root)
    for stage in ("latents", "shards"):
        run(stage, params=params, workspace=workspace)
    return workspace


def encoder_of(workspace: Workspace) -> PixelEncoder | None:
    """What makes latents from its pixels, if it must."""
    return encoder_of_shards(
        workspace.stage_dir("shards"), runtime=RUNTIME, weights_dir=workspace.stage_dir("weights")
    )


def loader_of(workspace: Workspace, *, resident_bytes: int = 1 << 30) -> Loader:
    """Batches of its shards, with or without latents."""
    return Loader.open(
        workspace.stage_dir("shards"),
        split="train",
        batch_size=4,
        seed=3,
        pairs_per_visit=2,
        shuffle_outfits=2,
        encoder=encoder_of(workspace),
        resident_bytes=resident_bytes,
    )


def with_overflowing_vae(workspace: Workspace) -> Workspace:
    """Its weights as of a user whose VAE says more than float16 can hold."""
    vae = load_vae(workspace.root / "base" / "vae")
    torch.nn.init.constant_(vae.quant_conv.bias, 1e5)
    vae.save_pretrained(workspace.root / "base" / "vae")
    run("weights", params=CACHED, workspace=workspace)
    return workspace
