"""The finder's networks are made from rendered people alone, resume, and get a card that is true."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mcld.conditions.mannequins import NUM_LABELS, load_networks, pixels_in
from mcld.storage import read_json, sha256_of_file
from mcld.training.tiny_base.backgrounds import KINDS, background
from mcld.training.tiny_base.face_network import FaceSettings, draw_heads, heads_of
from mcld.training.tiny_base.measure_finder import part_accuracy, silhouette_iou, uv_error
from mcld.training.tiny_base.people_corpus import (
    PeopleCorpus,
    PeopleSettings,
    ensure_people,
    render_outfit,
    render_portraits,
)
from mcld.training.tiny_base.people_pictures import draw_picture
from mcld.training.tiny_base.person_finder import FinderSettings, make_finder
from mcld.training.tiny_base.person_network import PersonSettings, SharedNetwork, person_loss, with_own_uv

SETTINGS = FinderSettings(
    people=PeopleSettings(seed=3, num_outfits=3, views_per_outfit=2, height_px=96, width_px=64),
    faces=PeopleSettings(seed=4, num_outfits=2, views_per_outfit=1, height_px=96, width_px=64),
    person=PersonSettings(num_first_steps=2, num_steps=2, batch_size=2),
    face=FaceSettings(num_steps=2, batch_size=4),
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> PeopleCorpus:
    return ensure_people(
        tmp_path_factory.mktemp("people") / "people",
        settings=SETTINGS.people,
        num_workers=1,
        render=render_outfit,
    )


@pytest.mark.long
def test_making_writes_networks_that_load_and_repeating_trains_nothing_again(tmp_path: Path) -> None:
    make = {"work_dir": tmp_path / "work", "settings": SETTINGS, "num_workers": 1}
    card = make_finder(tmp_path / "out", measured_outfits=range(4), **make)  # type: ignore[arg-type]
    first = {path.name: sha256_of_file(path) for path in (tmp_path / "out").iterdir()}
    assert card["sha256"] == {name: digest for name, digest in first.items() if name != "card.json"}
    assert read_json(tmp_path / "out" / "card.json") == card
    load_networks(tmp_path / "out")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "work").glob("*.safetensors")}
    assert len(times) == 3
    make_finder(tmp_path / "out", measured_outfits=range(4), **make)  # type: ignore[arg-type]
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "work").glob("*.safetensors")}
    assert first == {path.name: sha256_of_file(path) for path in (tmp_path / "out").iterdir()}


def test_a_corpus_shows_the_front_of_everybody_and_lies_there_the_next_time(
    corpus: PeopleCorpus, tmp_path: Path
) -> None:
    assert corpus.images.shape == corpus.iuvs.shape == (6, 96, 64, 3)
    assert corpus.outfit_of_view.tolist() == [0, 0, 1, 1, 2, 2]
    assert corpus.face_visible[::2].all()
    assert corpus.embeddings.shape == (3, 512)
    assert (corpus.iuvs[..., 0] > 0).any(axis=(1, 2)).all()


def test_portraits_show_a_face_that_is_seen_and_little_else() -> None:
    for index in range(3):
        portrait = render_portraits(SETTINGS.faces, index)
        iuv = portrait.iuvs[0]
        assert portrait.face_visible == [True]
        is_person = iuv[..., 0] > 0
        assert np.isin(iuv[..., 0], (23, 24)).sum() > 0.3 * is_person.sum()
        assert not np.isin(iuv[..., 0], (5, 6)).any()


def test_pictures_are_the_same_for_the_same_generator_and_mark_exactly_the_people(
    corpus: PeopleCorpus,
) -> None:
    views = np.arange(len(corpus.images))
    shares = []
    for seed in range(40):
        drawn, again = (
            draw_picture(
                corpus,
                views=views,
                generator=np.random.default_rng(seed),
                height_px=112,
                width_px=160,
            )
            for _ in range(2)
        )
        assert drawn.pixels.shape == drawn.iuv.shape == (112, 160, 3)
        assert drawn.pixels.dtype == drawn.iuv.dtype == np.uint8
        assert (drawn.pixels == again.pixels).all()
        assert (drawn.iuv == again.iuv).all()
        assert drawn.iuv[..., 0].max() < NUM_LABELS
        assert not drawn.iuv[drawn.iuv[..., 0] == 0].any()
        shares.append((drawn.iuv[..., 0] > 0).mean())
    assert 0 < sum(share == 0 for share in shares) < 20  # some show nobody


def test_backgrounds_of_every_kind_have_the_size_that_is_wanted() -> None:
    generator = np.random.default_rng(0)
    for draw in KINDS:
        assert draw(generator, 40, 30).shape == (40, 30, 3)
    assert background(generator, height_px=40, width_px=30).dtype == np.uint8


def test_heads_are_cut_out_where_the_heads_are(corpus: PeopleCorpus) -> None:
    heads = heads_of(corpus)
    assert heads
    assert any(head.is_seen for head in heads)
    pixels, is_seen, embeddings = draw_heads(heads, settings=SETTINGS.face, step=0)
    assert pixels.shape == (4, 3, 64, 64)
    assert set(is_seen.tolist()) <= {0.0, 1.0}
    assert torch.allclose(embeddings.norm(dim=1), torch.tensor(20.0))


def test_every_parts_own_u_and_v_begin_as_the_shared_ones(corpus: PeopleCorpus) -> None:
    torch.manual_seed(0)
    shared = SharedNetwork().eval()
    own = with_own_uv(shared).eval()
    pixels = pixels_in(torch.from_numpy(np.array(corpus.images[:1])))
    with torch.inference_mode():
        before, after = shared(pixels), own(pixels)
    assert torch.allclose(after.label_logits, before[:, :NUM_LABELS], atol=1e-5)
    blocks = torch.nn.functional.avg_pool2d(before[:, NUM_LABELS:], 2)
    assert torch.allclose(after.uv, blocks[:, None].expand_as(after.uv), atol=1e-4)


def test_the_loss_is_nearly_none_for_the_truth_and_counts_u_and_v_on_people_alone() -> None:
    iuv = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    iuv[:, 0, :2], iuv[:, 1:, :2] = 5, 255
    sure = 30.0 * torch.nn.functional.one_hot(iuv[:, 0].long(), NUM_LABELS).permute(0, 3, 1, 2).float()
    uv = iuv[:, 1:].float() / 255
    settings = PersonSettings(uv_weight=1.0)
    assert person_loss(sure, uv=uv, iuv=iuv, uv_iuv=iuv, settings=settings) < 1e-6
    elsewhere = uv.clone()
    elsewhere[:, :, 2:] = 9.0
    assert person_loss(sure, uv=elsewhere, iuv=iuv, uv_iuv=iuv, settings=settings) < 1e-6
    off = person_loss(sure, uv=uv - 0.5, iuv=iuv, uv_iuv=iuv, settings=settings)
    assert off == pytest.approx(0.5 * 16 / 17, rel=1e-4)


def test_measures_of_the_truth_are_perfect_and_of_a_shifted_person_what_can_be_counted() -> None:
    truth = np.zeros((10, 10, 3), np.uint8)
    truth[2:6, 2:6] = (2, 100, 100)
    assert part_accuracy(truth, truth=truth) == silhouette_iou(truth, truth=truth) == 1.0
    assert uv_error(truth, truth=truth) == (0.0, 0.0)
    moved = np.roll(truth, 2, axis=1)
    moved[moved[..., 0] > 0, 1] += 3
    assert part_accuracy(moved, truth=truth) == 0.5
    assert silhouette_iou(moved, truth=truth) == pytest.approx(8 / 24)
    assert uv_error(moved, truth=truth) == (3.0, 0.0)
