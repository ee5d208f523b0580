"""The tiny base is made from rendered people alone, resumes, and comes out as the weights stage wants it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mcld.conditions.encoders import load_image_encoder, load_vae
from mcld.config import Params, WeightsParams
from mcld.models.base import load_base
from mcld.stages import weights
from mcld.stages.mapper import SerialMapper
from mcld.storage import read_json
from mcld.training.tiny_base.autoencoder import AutoencoderSettings, autoencoder_loss
from mcld.training.tiny_base.corpus import CorpusSettings, ensure_corpus
from mcld.training.tiny_base.make import TinyBaseSettings, make_tiny, split_views
from mcld.training.tiny_base.unet import UNetSettings
from mcld.workspace import Workspace

SETTINGS = TinyBaseSettings(
    corpus=CorpusSettings(
        seed=3,
        num_outfits=4,
        views_per_outfit=2,
        render_height_px=64,
        render_width_px=48,
        height_px=64,
        width_px=48,
        texture_height_px=48,
        texture_width_px=48,
        part_size_px=16,
        fill_margin_px=2,
    ),
    autoencoder=AutoencoderSettings(
        block_out_channels=(4, 4, 8, 8),
        latent_channels=4,
        num_steps=4,
        batch_size=2,
        full_frame_batch_size=2,
        crop_px=32,
        checkpoint_every_steps=2,
    ),
    unet=UNetSettings(
        block_out_channels=(16, 16),
        attention_head_dim=2,
        cross_attention_dim=8,
        norm_num_groups=8,
        pose_channels=(4, 4, 8, 8),
        num_steps=4,
        batch_size=2,
        checkpoint_every_steps=2,
    ),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("tiny")
    card = make_tiny(root / "base", work_dir=root / "work", settings=SETTINGS, num_workers=1)
    return root, card


@pytest.mark.slow
def test_what_was_made_is_what_the_weights_stage_and_the_loaders_take(
    made: tuple[Path, dict[str, object]],
) -> None:
    root, _ = made
    section = WeightsParams(preset="sd15", base_dir="base")
    report = weights.run(Params(weights=section), workspace=Workspace(root=root), mapper=SerialMapper())
    assert report.num_items == 8
    assert load_vae(report.output / "vae").config.scaling_factor != pytest.approx(0.18215)
    assert load_image_encoder(report.output / "image_encoder").config.projection_dim == 8
    assert load_base(report.output).pose_channels == (4, 4, 8, 8)


@pytest.mark.slow
def test_a_repeated_command_trains_nothing_again_and_ends_in_the_same_files(
    made: tuple[Path, dict[str, object]],
) -> None:
    root, card = made
    again = make_tiny(root / "again", work_dir=root / "work", settings=SETTINGS, num_workers=1)
    assert again["sha256"] == card["sha256"] == read_json(root / "base" / "card.json")["sha256"]  # type: ignore[index]
    assert str(card["command"]).endswith("--num-outfits 4 --vae-steps 4 --unet-steps 4")


@pytest.mark.slow
def test_held_out_views_are_of_other_outfits(made: tuple[Path, dict[str, object]]) -> None:
    root, _ = made
    corpus = ensure_corpus(root / "work" / "corpus", settings=SETTINGS.corpus, num_workers=1)
    train, held_out = split_views(corpus, num_outfits=4)
    assert len(train) == 6
    assert not set(corpus.outfit_of_view[train]) & set(corpus.outfit_of_view[held_out])


def test_a_wrong_hue_costs_more_than_an_equal_error_of_brightness() -> None:
    pixels = torch.zeros(1, 3, 2, 2)
    weight = torch.ones(1, 1, 2, 2)
    brighter = pixels + 0.1
    redder = pixels + 0.1 * torch.tensor([1.0, -1.0, 0.0]).view(1, 3, 1, 1) * np.sqrt(1.5)
    assert torch.allclose((brighter - pixels).norm(), (redder - pixels).norm())
    assert autoencoder_loss(redder, pixels=pixels, weight=weight) > autoencoder_loss(
        brighter, pixels=pixels, weight=weight
    )
