"""Latents made from pixels are those that are kept; the shards say which, and how pictures are laid out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mcld.conditions.encoders import load_vae
from mcld.config import DiffusionParams
from mcld.data.codec import decode_image
from mcld.data.loader import Samples
from mcld.data.manifest import read_manifest
from mcld.data.shards import BLANK_NAME, CONDITION_MEMBERS, ShardSet, verify_shards
from mcld.diffusion import NoiseSchedule
from mcld.errors import DataError
from mcld.evaluation.protocols import resize, to_8_bit
from mcld.inference.generate import Generator
from mcld.models import MCLD, initialise_mcld, load_mcld
from mcld.models.base import load_base, model_config
from mcld.storage import read_json, sha256_of_file
from mcld.training.step import EmbeddingFacts, draw_step, training_loss
from mcld.types import Batch
from mcld.workspace import Workspace
from tests.stages.kill_sweep import contents
from tests.stages.tiny_latents import (
    CACHED,
    UNCACHED,
    copy_of,
    encoder_of,
    latents_with,
    loader_of,
    packed,
    run,
    with_overflowing_vae,
)
from tests.stages.tiny_weights import params_with

NUM_BATCHES = 8


def test_without_a_cache_the_column_is_empty_and_the_shards_hold_no_latents(
    cached: Workspace, uncached: Workspace
) -> None:
    manifest = read_manifest(uncached.stage_dir("latents"))
    assert (manifest.parts, manifest.settings["cache"]) == ((), False)
    assert set(contents(uncached.stage_dir("latents"))) == {"manifest.json"}
    shards, others = (ShardSet.open(space.stage_dir("shards")) for space in (uncached, cached))
    assert verify_shards(shards, deep=True) == len(others.samples)
    assert [sample.pairs for sample in shards.samples] == [sample.pairs for sample in others.samples]
    suffixes = {name.partition(".")[2] for name in shards.read_sample(shards.samples[0])}
    assert suffixes == {"", *CONDITION_MEMBERS}  # "" is of the sample's `json`
    assert shards.latents == UNCACHED.latents


def test_shards_without_latents_have_the_same_blank_image(cached: Workspace, uncached: Workspace) -> None:
    assert not (uncached.stage_dir("shards") / BLANK_NAME).exists()
    assert np.array_equal(loader_of(uncached).blank_embedding(), loader_of(cached).blank_embedding())


def test_turning_the_cache_off_and_on_leaves_nothing_behind_and_ends_in_the_same_bytes(
    cached: Workspace, uncached: Workspace, tmp_path: Path
) -> None:
    copy = copy_of(cached, tmp_path / "run")
    for params, expected in ((UNCACHED, uncached), (CACHED, cached)):
        for stage in ("latents", "shards"):
            run(stage, params=params, workspace=copy)
            assert contents(copy.stage_dir(stage)) == contents(expected.stage_dir(stage))


def test_what_the_latents_are_like_stands_in_the_shards_manifest(
    cached: Workspace, textured: Workspace, tmp_path: Path
) -> None:
    workspace = copy_of(textured, tmp_path / "run")

    def manifest_of(**values: object) -> str:
        for stage in ("latents", "shards"):
            run(stage, params=params_with(UNCACHED, section="latents", **values), workspace=workspace)
        return sha256_of_file(workspace.stage_dir("shards") / "manifest.json")

    found = [
        manifest_of(),
        manifest_of(fit="pad"),
        manifest_of(height_px=40),
        manifest_of(precision="bfloat16"),
    ]
    assert len(set(found)) == len(found)
    assert sha256_of_file(cached.stage_dir("shards") / "manifest.json") not in found


def test_shards_without_latents_are_not_opened_without_an_encoder(uncached: Workspace) -> None:
    with pytest.raises(DataError, match=r"holds no latents .* set latents\.cache: true and run 'latents'"):
        Samples.open(uncached.stage_dir("shards"), split="test")
    assert encoder_of(uncached) is not None


def test_batches_made_from_pixels_are_those_of_the_cache_bit_for_bit(
    cached: Workspace, uncached: Workspace
) -> None:
    both = zip(*(loader_of(space).batches(start_step=3) for space in (cached, uncached)), strict=True)
    for from_cache, from_pixels in islice(both, NUM_BATCHES):
        for field in fields(Batch):
            one, other = getattr(from_cache, field.name), getattr(from_pixels, field.name)
            if isinstance(one, Tensor):
                assert torch.equal(one, other), field.name
                assert one.stride() == other.stride(), field.name  # kernels add in an order of the layout
            else:
                assert one == other
    spreads = [
        loader_of(space, resident_bytes=size).image_spread() for space, size in spread_cases(cached, uncached)
    ]
    assert all(np.array_equal(spread, spreads[0]) for spread in spreads)


def spread_cases(*workspaces: Workspace) -> Iterator[tuple[Workspace, int]]:
    for workspace in workspaces:
        yield from ((workspace, 0), (workspace, 1 << 30))


def test_a_training_step_from_pixels_is_that_from_the_cache(cached: Workspace, uncached: Workspace) -> None:
    (loss, gradients), (other_loss, other_gradients) = (step(space) for space in (cached, uncached))
    assert torch.equal(loss, other_loss)
    assert gradients.keys() == other_gradients.keys()
    assert all(torch.equal(gradients[name], other_gradients[name]) for name in gradients)
    assert any(bool(gradient.any()) for gradient in gradients.values())


def test_with_other_batches_a_training_step_from_pixels_is_near_that_from_the_cache(
    textured: Workspace, uncached: Workspace, tmp_path: Path
) -> None:
    large = packed(textured, tmp_path / "run", params=latents_with(batch_size=16))
    (loss, gradients), (other_loss, other_gradients) = (step(space) for space in (large, uncached))
    # Sums in another order may round moments to a neighbour in float16, 2^-10 away.
    torch.testing.assert_close(loss, other_loss, rtol=1e-3, atol=0.0)
    norm = torch.stack([gradient.norm() for gradient in gradients.values()]).norm()
    off = torch.stack([(gradients[name] - other_gradients[name]).norm() for name in gradients]).norm()
    assert off <= 1e-3 * norm


def step(workspace: Workspace) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and gradients of the first batch, with the step's own noise."""
    loader = loader_of(workspace)
    batch = next(loader.batches(start_step=0))
    model = initial_model(workspace)
    loss = training_loss(
        model,
        batch=batch,
        draws=draw_step(batch, train=CACHED.train, diffusion=DiffusionParams(), num_timesteps=1000),
        schedule=NoiseSchedule(),
        scaling_factor=0.5,
        facts=EmbeddingFacts(
            image_spread=torch.from_numpy(loader.image_spread()),
            blank=torch.from_numpy(loader.blank_embedding().copy()),
        ),
        train=CACHED.train,
        diffusion=DiffusionParams(),
    ).total
    torch.autograd.backward(loss)
    return loss.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def initial_model(workspace: Workspace) -> MCLD:
    base = load_base(workspace.stage_dir("weights"))
    config = model_config(base, params=CACHED.model, face_dim=CACHED.face.dim)
    return initialise_mcld(config, base_unet=base.unet, pose_embedding=base.pose_embedding, seed=0)


def test_a_picture_that_cannot_be_used_is_an_error_naming_shard_sample_and_view(
    uncached: Workspace, tmp_path: Path
) -> None:
    copy = with_overflowing_vae(copy_of(uncached, tmp_path / "run"))
    with pytest.raises(
        DataError,
        match=r"train-0000\d\.tar: sample \S+: \d_\w+: VAE moments of the image: too large for float16",
    ):
        next(loader_of(copy).batches(start_step=0))


@pytest.mark.long
def test_training_and_sampling_without_a_cache_end_in_the_bytes_of_those_with_one(
    cached: Workspace, uncached: Workspace, tmp_path: Path
) -> None:
    found = []
    for workspace, params in ((cached, CACHED), (uncached, UNCACHED)):
        blank = params_with(params, section="train", null_condition="blank-image")
        copy = copy_of(workspace, tmp_path / workspace.root.parent.name)
        for stage in ("train", "generate"):
            run(stage, params=blank, workspace=copy)
        made = contents(copy.stage_dir("train")) | contents(copy.stage_dir("generate"))
        found.append({name: data for name, data in made.items() if not name.endswith((".json", ".list"))})
    assert found[0] == found[1]
    assert any(name.endswith(".safetensors") for name in found[0])
    assert any(name.startswith("generated/") for name in found[0])


def test_images_of_the_models_aspect_are_padded_as_they_are_squashed(
    cached: Workspace, textured: Workspace, tmp_path: Path
) -> None:
    padded = packed(textured, tmp_path / "run", params=params_with(CACHED, section="latents", fit="pad"))
    for stage in ("latents", "shards"):
        tars, others = (contents(space.stage_dir(stage)) for space in (cached, padded))
        assert any(name.endswith(".tar") for name in tars)
        assert all(others[name] == data for name, data in tars.items() if name.endswith(".tar"))


def test_the_settings_of_the_shards_say_how_everything_is_laid_out(
    textured: Workspace, tmp_path: Path
) -> None:
    padded = packed(textured, tmp_path / "run", params=latents_with(fit="pad", width_px=32))
    samples = Samples.open(padded.stage_dir("shards"), split="test")
    pair = samples.pairs[0]
    sample = samples.sample_for(source=pair.source, target=pair.target)
    assert sample.target_hw == (64, 48)
    assert sample.target_iuv.shape == (32, 32, 3)
    assert not sample.target_iuv[:, [0, 1, 2, 3, -4, -3, -2, -1]].any()  # 24 of 32 columns show the image
    assert sample.target_iuv.any()


@pytest.mark.long
def test_padded_pictures_are_cut_back_before_they_are_compared(textured: Workspace, tmp_path: Path) -> None:
    params = params_with(latents_with(fit="pad", width_px=32), section="generate", num_pairs=2)
    padded = packed(textured, tmp_path / "run", params=params)
    for stage in ("train", "generate"):
        run(stage, params=params, workspace=padded)
    samples = Samples.open(padded.stage_dir("shards"), split="test")
    out_dir = padded.stage_dir("generate")
    pairs = read_json(out_dir / "pairs.json")
    assert isinstance(pairs, list)
    generator = Generator(
        model=load_mcld(padded.stage_dir("train") / "model"),
        vae=load_vae(padded.stage_dir("weights") / "vae"),
        schedule=NoiseSchedule(),
    )
    chosen = [samples.sample_for(source=pair["source"], target=pair["target"]) for pair in pairs]
    pictures = generator.reconstruct(chosen).permute(0, 2, 3, 1).numpy()
    for pair, picture in zip(pairs, pictures, strict=True):
        cut = to_8_bit(picture)[:, 4:28]
        written = decode_image((out_dir / "vae_reconstruction" / f"{pair['id']}.png").read_bytes())
        assert np.array_equal(written, resize(cut, height_px=64, width_px=48))


def test_unknown_settings_of_the_latents_are_an_error_that_says_what_to_run(
    cached: Workspace, tmp_path: Path
) -> None:
    directory = copy_of(cached, tmp_path / "run").stage_dir("shards")
    path = directory / "manifest.json"
    path.write_text(path.read_text().replace('"fit": "squash"', '"fit": "stretch"'))
    with pytest.raises(DataError, match="latents' settings are not of this version; run the stage 'shards'"):
        Samples.open(directory, split="test")
