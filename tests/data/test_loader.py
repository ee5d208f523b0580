"""The loader: every pair once an epoch, in an order that can be taken up anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mcld.data.codec import decode_image, decode_iuv, decode_npy
from mcld.data.loader import Loader, Samples
from mcld.data.order import epoch_passes
from mcld.data.outfits import OutfitEncoder
from mcld.data.shards import OutfitSample, ShardSet
from mcld.errors import DataError
from mcld.framing import resize_labels
from mcld.types import Batch, Latents
from tests.data.shard_factory import HEIGHT_PX, LATENTS, WIDTH_PX, view_members, write_shards

STREAMING, RESIDENT = 0, 1 << 30


@pytest.fixture(scope="module")
def shards_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("shards"), views_per_outfit=[[2, 3], [4, 2], [3]])


def loader(
    shards_dir: Path,
    *,
    batch_size: int = 4,
    seed: int = 1,
    pairs_per_visit: int = 3,
    shuffle_outfits: int = 2,
    resident_bytes: int = RESIDENT,
    encoder: OutfitEncoder | None = None,
) -> Loader:
    return Loader.open(
        shards_dir,
        split="train",
        batch_size=batch_size,
        seed=seed,
        pairs_per_visit=pairs_per_visit,
        shuffle_outfits=shuffle_outfits,
        resident_bytes=resident_bytes,
        encoder=encoder,
    )


def same(first: Batch, second: Batch) -> bool:
    for field in fields(Batch):
        one, other = getattr(first, field.name), getattr(second, field.name)
        if not (torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other):
            return False
    return True


epochs = {
    "batch_size": st.integers(1, 9),
    "seed": st.integers(0, 5),
    "epoch": st.integers(0, 3),
    "pairs_per_visit": st.integers(1, 13),
    "shuffle_outfits": st.integers(1, 6),
    "start": st.floats(0, 1),
}


@settings(max_examples=25)
@given(drawn=st.fixed_dictionaries(epochs))
def test_every_pair_once_an_epoch_and_resuming_gives_the_tail(
    shards_dir: Path, drawn: dict[str, Any]
) -> None:
    check_epoch(shards_dir, drawn=drawn, resident_bytes=RESIDENT)


@settings(max_examples=5)
@given(drawn=st.fixed_dictionaries(epochs))
def test_the_same_holds_while_streaming(shards_dir: Path, drawn: dict[str, Any]) -> None:
    check_epoch(shards_dir, drawn=drawn, resident_bytes=STREAMING)


def check_epoch(shards_dir: Path, *, drawn: dict[str, Any], resident_bytes: int) -> None:
    batches = loader(
        shards_dir,
        batch_size=drawn["batch_size"],
        seed=drawn["seed"],
        pairs_per_visit=drawn["pairs_per_visit"],
        shuffle_outfits=drawn["shuffle_outfits"],
        resident_bytes=resident_bytes,
    )
    epoch = drawn["epoch"]
    whole = list(batches.epoch(epoch))
    pairs = [pair for batch in whole for pair in batch.pairs]
    assert len(pairs) == batches.num_pairs
    assert set(pairs) == set(batches.pairs)
    assert [(batch.epoch, batch.index) for batch in whole] == [(epoch, i) for i in range(batches.num_batches)]
    assert {len(batch.pairs) for batch in whole[:-1]} <= {drawn["batch_size"]}
    start_batch = int(drawn["start"] * len(whole))
    tail = list(batches.epoch(epoch, start_batch=start_batch))
    assert len(tail) == len(whole) - start_batch
    assert all(same(*both) for both in zip(whole[start_batch:], tail, strict=True))


def test_order_does_not_depend_on_batch_size_or_on_memory(shards_dir: Path) -> None:
    orders = [
        [
            pair
            for batch in loader(shards_dir, batch_size=size, pairs_per_visit=6, resident_bytes=kept).epoch(2)
            for pair in batch.pairs
        ]
        for size in (1, 7)
        for kept in (STREAMING, RESIDENT)
    ]
    assert all(order == orders[0] for order in orders)


def test_order_changes_with_epoch_and_seed(shards_dir: Path) -> None:
    first = loader(shards_dir)
    orders = [[pair for batch in first.epoch(epoch) for pair in batch.pairs] for epoch in (0, 1)]
    orders.append([pair for batch in loader(shards_dir, seed=9).epoch(0) for pair in batch.pairs])
    assert orders[0] != orders[1] != orders[2] != orders[0]


@settings(max_examples=60)
@given(
    shards=st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=6), min_size=1, max_size=5),
    pairs_per_visit=st.integers(1, 5),
    shuffle_outfits=st.integers(1, 7),
    seed=st.integers(0, 99),
)
def test_order_shows_every_pair_once_and_reads_each_shard_in_one_go(
    shards: list[list[int]], pairs_per_visit: int, shuffle_outfits: int, seed: int
) -> None:
    samples = [
        OutfitSample(
            split="train",
            shard=f"train-{shard:05d}.tar",
            outfit=f"{shard}-{position}",
            views=(),
            face_found=(),
            pairs=tuple((number, 0) for number in range(num_pairs)),
            sha256="",
            offset=0,
            num_bytes=0,
        )
        for shard, counts in enumerate(shards)
        for position, num_pairs in enumerate(counts)
    ]
    passes = epoch_passes(
        samples, seed=seed, epoch=3, pairs_per_visit=pairs_per_visit, shuffle_outfits=shuffle_outfits
    )
    seen = [tuple(pair) for blocks in passes for block in blocks for pair in block.pairs.tolist()]
    assert sorted(seen) == [(i, j) for i, sample in enumerate(samples) for j in range(len(sample.pairs))]
    for blocks in passes:
        positions = [position for block in blocks for position in block.samples.tolist()]
        names = [samples[position].shard for position in positions]
        assert len(set(names)) == 1 + sum(one != other for one, other in pairwise(names))
        assert len(set(positions)) == len(positions)
        assert all(len(block.samples) <= shuffle_outfits for block in blocks)
        for block in blocks:
            given, counts = np.unique(block.pairs[:, 0], return_counts=True)
            assert set(given) == set(block.samples)
            assert counts.max() <= pairs_per_visit


def test_batch_holds_what_the_members_hold(shards_dir: Path) -> None:
    batch = next(loader(shards_dir).epoch(0))
    assert batch.target_iuv.dtype == torch.uint8
    for index, pair in enumerate(batch.pairs):
        source, target = view_members(pair.source), view_members(pair.target)
        iuv = resize_labels(decode_iuv(target["iuv.png"]), height_px=HEIGHT_PX, width_px=WIDTH_PX)
        embeddings = decode_npy(source["embeddings.npy"])
        assert np.array_equal(batch.target_iuv[index].permute(1, 2, 0).numpy(), iuv)
        assert np.array_equal(batch.target_moments[index].numpy(), decode_npy(target["image_moments.npy"]))
        assert np.array_equal(batch.texture_moments[index].numpy(), decode_npy(source["texture_moments.npy"]))
        assert np.array_equal(batch.image_embedding[index].numpy(), embeddings[0])
        assert np.array_equal(batch.texture_embedding[index].numpy(), embeddings[1])
        assert np.array_equal(batch.face_embedding[index].numpy(), decode_npy(source["face.npy"]))
        assert bool(batch.face_found[index]) == (not pair.source.endswith("3_back"))


def test_resident_epochs_read_nothing(shards_dir: Path, tmp_path: Path) -> None:
    copy = write_shards(tmp_path / "shards", views_per_outfit=[[2, 3]])
    batches = loader(copy)
    whole = list(batches.epoch(0))
    for tar in copy.glob("*.tar"):
        tar.unlink()
    assert all(same(*both) for both in zip(whole, batches.epoch(0), strict=True))


def test_damage_while_training_is_an_error_naming_shard_and_sample(tmp_path: Path) -> None:
    directory = write_shards(tmp_path / "shards", views_per_outfit=[[2, 3], [2]])
    last = ShardSet.open(directory).samples[-1]
    batches = loader(directory, resident_bytes=STREAMING)
    path = directory / last.shard
    whole = bytearray(path.read_bytes())
    whole[last.offset + 600] ^= 1
    path.write_bytes(bytes(whole))
    with pytest.raises(DataError, match=rf"{last.shard}: sample {last.outfit}: "):
        list(batches.epoch(0))


def test_samples_pair_any_source_with_any_target(shards_dir: Path) -> None:
    samples = Samples.open(shards_dir, split="train")
    source, target = samples.pairs[0].source, samples.pairs[-1].target
    assert source.split("/")[0] != target.split("/")[0]
    sample = samples.sample_for(source=source, target=target)
    assert np.array_equal(sample.face_embedding, decode_npy(view_members(source)["face.npy"]))
    assert np.array_equal(sample.target_moments, decode_npy(view_members(target)["image_moments.npy"]))


def test_unknown_image_is_an_error_saying_what_there_is(shards_dir: Path) -> None:
    samples = Samples.open(shards_dir, split="train")
    known = samples.pairs[0].source
    with pytest.raises(DataError, match="no outfit MEN-Denim-id_1-01"):
        samples.sample_for(source="MEN-Denim-id_1-01/1_front", target=known)
    with pytest.raises(DataError, match=r"9_above: no such view; outfit .* has 1_front, 2_side"):
        samples.sample_for(source=known.replace("1_front", "9_above"), target=known)


@pytest.mark.parametrize("resident_bytes", [STREAMING, RESIDENT])
def test_the_spread_of_image_embeddings_is_that_of_the_first_views(
    shards_dir: Path, resident_bytes: int
) -> None:
    opened = loader(shards_dir, resident_bytes=resident_bytes)
    keys = [f"{sample.outfit}/{view}" for sample in opened.samples for view in sample.views]
    embeddings = np.stack([decode_npy(view_members(key)["embeddings.npy"])[0] for key in keys])
    np.testing.assert_allclose(opened.image_spread(), embeddings.std(axis=0), rtol=1e-5)
    np.testing.assert_allclose(opened.image_spread(max_views=3), embeddings[:3].std(axis=0), rtol=1e-5)


class PixelCounter:
    """An encoder whose latents tell the pictures they are of, and which counts the outfits it was given."""

    def __init__(self) -> None:
        self.num_outfits = 0

    def encode(self, images: Mapping[str, bytes], *, textures: Mapping[str, bytes]) -> Latents:
        self.num_outfits += 1
        means = [[decode_image(one[view]).mean() for one in (images, textures)] for view in images]
        of_image, of_texture = np.array(means).T
        return Latents(
            image_moments=np.tile(of_image.astype(np.float16), (4, 2, 1, 1)).T,
            texture_moments=np.tile(of_texture.astype(np.float16), (4, 1, 1, 1)).T,
            embeddings=np.repeat(np.array(means, np.float32)[..., None], 3, axis=2),
        )

    def embed_blank(self) -> np.ndarray:
        return np.ones(3, np.float32)


@pytest.fixture(scope="module")
def bare_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same shards without latents."""
    return write_shards(
        tmp_path_factory.mktemp("bare"),
        views_per_outfit=[[2, 3], [4, 2], [3]],
        latents=LATENTS.model_copy(update={"cache": False}),
    )


@pytest.mark.parametrize(("resident_bytes", "num_encoded"), [(RESIDENT, 1 + 5), (STREAMING, 1 + 2 * 5)])
def test_latents_that_shards_lack_are_made_when_an_outfit_is_decoded_and_stay_with_it(
    shards_dir: Path, bare_dir: Path, resident_bytes: int, num_encoded: int
) -> None:
    encoder = PixelCounter()
    made = loader(bare_dir, pairs_per_visit=99, resident_bytes=resident_bytes, encoder=encoder)
    held = loader(shards_dir, pairs_per_visit=99)
    for epoch in range(2):
        for batch, other in zip(made.epoch(epoch), held.epoch(epoch), strict=True):
            assert batch.pairs == other.pairs
            assert torch.equal(batch.target_iuv, other.target_iuv)
            for row, pair in enumerate(batch.pairs):
                source, target = view_members(pair.source), view_members(pair.target)
                expected = [decode_image(source[name]).mean() for name in ("image.jpg", "texture.png")]
                assert float(batch.image_embedding[row, 0]) == np.float32(expected[0])
                assert float(batch.texture_embedding[row, 0]) == np.float32(expected[1])
                mean = np.float16(decode_image(target["image.jpg"]).mean())
                assert set(batch.target_moments[row].unique().tolist()) == {float(mean)}
    assert encoder.num_outfits == num_encoded  # the first outfit is looked at once more, to judge their size
    assert made.blank_embedding().tolist() == [1.0, 1.0, 1.0]


def test_shards_with_latents_need_no_encoder_and_use_none(shards_dir: Path) -> None:
    encoder = PixelCounter()
    both = zip(loader(shards_dir, encoder=encoder).epoch(0), loader(shards_dir).epoch(0), strict=True)
    assert all(same(*batches) for batches in both)
    assert encoder.num_outfits == 0


def test_shards_without_latents_are_refused_where_nothing_makes_them(bare_dir: Path) -> None:
    with pytest.raises(DataError, match=r"bare\d+: holds no latents .*set latents\.cache: true and run"):
        loader(bare_dir)
    with pytest.raises(DataError, match="holds no latents"):
        Samples.open(bare_dir, split="train")
