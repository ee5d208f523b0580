"""The loader: every pair once an epoch, in an order that can be taken up anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import fields
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mcld.data.codec import decode_image, decode_iuv, decode_npy
from mcld.data.loader import Loader, Samples
from mcld.data.outfits import OutfitEncoder
from mcld.data.shards import ShardSet
from mcld.errors import ConfigError, DataError
from mcld.framing import resize_labels
from mcld.types import Batch, BatchPart, IuvResize, Latents, Pair
from tests.data.shard_factory import FRAMING, HEIGHT_PX, LATENTS, WIDTH_PX, view_members, write_shards

STREAMING, RESIDENT = 0, 1 << 30
WHOLE = BatchPart()


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
    num_streams: int = 2,
    loader_workers: int = 0,
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
        num_streams=num_streams,
        loader_workers=loader_workers,
        resident_bytes=resident_bytes,
        encoder=encoder,
    )


def same(first: Batch, second: Batch) -> bool:
    for field in fields(Batch):
        one, other = getattr(first, field.name), getattr(second, field.name)
        if not (torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other):
            return False
    return True


def first_batches(
    opened: Loader, number: int, *, start_step: int = 0, part: BatchPart = WHOLE
) -> list[Batch]:
    with closing(opened.batches(start_step=start_step, part=part)) as batches:
        return list(islice(batches, number))


def epoch_pairs(opened: Loader, epoch: int) -> list[Pair]:
    """The pairs of an epoch in order, of which batches of one row begin at its first."""
    assert opened.batch_size == 1
    first = epoch * opened.num_pairs
    batches = first_batches(opened, opened.num_pairs, start_step=first)
    assert [batch.sample_ids for batch in batches] == [((epoch, index),) for index in range(opened.num_pairs)]
    return [pair for batch in batches for pair in batch.pairs]


drawn_settings = {
    "batch_size": st.integers(1, 9),
    "seed": st.integers(0, 5),
    "pairs_per_visit": st.integers(1, 13),
    "shuffle_outfits": st.integers(1, 6),
    "num_streams": st.integers(1, 4),
}


@settings(max_examples=25)
@given(drawn=st.fixed_dictionaries(drawn_settings), start=st.floats(0, 1))
def test_every_pair_once_an_epoch_and_resuming_gives_the_tail(
    shards_dir: Path, drawn: dict[str, Any], start: float
) -> None:
    check_two_epochs(loader(shards_dir, **drawn, resident_bytes=RESIDENT), start=start)


@settings(max_examples=5)
@given(drawn=st.fixed_dictionaries(drawn_settings), start=st.floats(0, 1))
def test_the_same_holds_while_streaming(shards_dir: Path, drawn: dict[str, Any], start: float) -> None:
    check_two_epochs(loader(shards_dir, **drawn, resident_bytes=STREAMING), start=start)


def check_two_epochs(opened: Loader, *, start: float) -> None:
    num_steps = -(-2 * opened.num_pairs // opened.batch_size)
    whole = first_batches(opened, num_steps)
    assert [batch.step for batch in whole] == list(range(num_steps))
    assert {len(batch.pairs) for batch in whole} == {opened.batch_size}
    ids = [id_ for batch in whole for id_ in batch.sample_ids]
    assert ids == [divmod(position, opened.num_pairs) for position in range(num_steps * opened.batch_size)]
    pairs = [pair for batch in whole for pair in batch.pairs]
    for epoch in range(2):
        shown = pairs[epoch * opened.num_pairs : (epoch + 1) * opened.num_pairs]
        assert len(shown) == opened.num_pairs
        assert set(shown) == set(opened.pairs)
    start_step = int(start * num_steps)
    tail = first_batches(opened, num_steps - start_step, start_step=start_step)
    assert all(same(*both) for both in zip(whole[start_step:], tail, strict=True))


@settings(max_examples=15)
@given(
    num_ranks=st.integers(1, 3),
    num_pieces=st.integers(1, 3),
    per_piece=st.integers(1, 3),
    num_streams=st.integers(1, 6),
    start_step=st.integers(0, 20),
)
def test_ranks_and_pieces_together_are_the_batches_of_one_process(
    shards_dir: Path, num_ranks: int, num_pieces: int, per_piece: int, num_streams: int, start_step: int
) -> None:
    opened = loader(shards_dir, batch_size=num_ranks * num_pieces * per_piece, num_streams=num_streams)
    alone = first_batches(opened, 6, start_step=start_step)
    for rank in range(num_ranks):
        part = BatchPart(rank=rank, num_ranks=num_ranks, num_pieces=num_pieces)
        pieces = first_batches(opened, 6 * num_pieces, start_step=start_step, part=part)
        for number, piece in enumerate(pieces):
            batch = alone[number // num_pieces]
            first = number % num_pieces * per_piece
            rows = range(rank, len(batch.pairs), num_ranks)[first : first + per_piece]
            assert same(piece, rows_of(batch, rows=list(rows)))


def rows_of(batch: Batch, *, rows: list[int]) -> Batch:
    def chosen(values: Any) -> Any:
        return values[rows] if isinstance(values, torch.Tensor) else tuple(values[row] for row in rows)

    names = [field.name for field in fields(Batch) if field.name != "step"]
    return Batch(step=batch.step, **{name: chosen(getattr(batch, name)) for name in names})


def test_order_does_not_depend_on_batch_size_or_on_memory(shards_dir: Path) -> None:
    orders = []
    for size, kept in product((1, 7), (STREAMING, RESIDENT)):
        opened = loader(shards_dir, batch_size=size, pairs_per_visit=6, resident_bytes=kept)
        batches = first_batches(opened, -(-2 * opened.num_pairs // size))
        orders.append([pair for batch in batches for pair in batch.pairs][: 2 * opened.num_pairs])
    assert all(order == orders[0] for order in orders)


def test_order_changes_with_epoch_and_seed(shards_dir: Path) -> None:
    first = loader(shards_dir, batch_size=1)
    orders = [epoch_pairs(first, epoch) for epoch in (0, 1)]
    orders.append(epoch_pairs(loader(shards_dir, batch_size=1, seed=9), 0))
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_batch_holds_what_the_members_hold(shards_dir: Path) -> None:
    batch = first_batches(loader(shards_dir), 1)[0]
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


@pytest.mark.parametrize("resize", ["nearest", "bicubic"])
def test_the_pose_is_the_targets_map_resized_as_the_recipe_says(shards_dir: Path, resize: IuvResize) -> None:
    samples = Samples.open(shards_dir, split="train", iuv_resize=resize)
    pair = samples.pairs[0]
    sample = samples.sample_for(source=pair.source, target=pair.target)
    original = decode_iuv(view_members(pair.target)["iuv.png"])
    assert np.array_equal(sample.target_iuv, FRAMING.iuv(original, resize=resize))
    assert sample.target_hw == original.shape[:2]


def test_resident_epochs_read_nothing(shards_dir: Path, tmp_path: Path) -> None:
    copy = write_shards(tmp_path / "shards", views_per_outfit=[[2, 3]])
    batches = loader(copy)
    whole = first_batches(batches, 5)
    for tar in copy.glob("*.tar"):
        tar.unlink()
    assert all(same(*both) for both in zip(whole, first_batches(batches, 5), strict=True))


def test_damage_while_training_is_an_error_naming_shard_and_sample(tmp_path: Path) -> None:
    directory = write_shards(tmp_path / "shards", views_per_outfit=[[2, 3], [2]])
    last = ShardSet.open(directory).samples[-1]
    batches = loader(directory, resident_bytes=STREAMING)
    path = directory / last.shard
    whole = bytearray(path.read_bytes())
    whole[last.offset + 600] ^= 1
    path.write_bytes(bytes(whole))
    with pytest.raises(DataError, match=rf"{last.shard}: sample {last.outfit}: "):
        first_batches(batches, batches.num_pairs)


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
    keys = [f"{sample.outfit}/{view}" for sample in opened.reader.samples for view in sample.views]
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


@pytest.mark.parametrize(("resident_bytes", "num_encoded"), [(RESIDENT, 5), (STREAMING, 2 * 5)])
def test_latents_that_shards_lack_are_made_when_an_outfit_is_decoded_and_stay_with_it(
    shards_dir: Path, bare_dir: Path, resident_bytes: int, num_encoded: int
) -> None:
    encoder = PixelCounter()
    made = loader(bare_dir, pairs_per_visit=99, batch_size=1, resident_bytes=resident_bytes, encoder=encoder)
    held = loader(shards_dir, pairs_per_visit=99, batch_size=1)
    both = (first_batches(opened, 2 * held.num_pairs) for opened in (made, held))
    for batch, other in zip(*both, strict=True):
        assert batch.pairs == other.pairs
        assert torch.equal(batch.target_iuv, other.target_iuv)
        for row, pair in enumerate(batch.pairs):
            source, target = view_members(pair.source), view_members(pair.target)
            expected = [decode_image(source[name]).mean() for name in ("image.jpg", "texture.png")]
            assert float(batch.image_embedding[row, 0]) == np.float32(expected[0])
            assert float(batch.texture_embedding[row, 0]) == np.float32(expected[1])
            mean = np.float16(decode_image(target["image.jpg"]).mean())
            assert set(batch.target_moments[row].unique().tolist()) == {float(mean)}
    assert encoder.num_outfits == num_encoded
    assert made.blank_embedding().tolist() == [1.0, 1.0, 1.0]


def test_shards_with_latents_need_no_encoder_and_use_none(shards_dir: Path) -> None:
    encoder = PixelCounter()
    opened = (loader(shards_dir, encoder=encoder), loader(shards_dir))
    both = zip(*(first_batches(one, 5) for one in opened), strict=True)
    assert all(same(*batches) for batches in both)
    assert encoder.num_outfits == 0


def test_shards_without_latents_are_refused_where_nothing_makes_them(bare_dir: Path) -> None:
    with pytest.raises(DataError, match=r"bare\d+: holds no latents .*set latents\.cache: true and run"):
        loader(bare_dir)
    with pytest.raises(DataError, match="holds no latents"):
        Samples.open(bare_dir, split="train")


def test_fewer_shards_than_readers_are_an_error_with_the_counts(shards_dir: Path) -> None:
    message = (
        "3 shards of split 'train' are fewer than 2 processes x 2 loader workers = 4; "
        "raise shards.min_shards to 4"
    )
    with pytest.raises(DataError, match=message):
        loader(shards_dir, loader_workers=2).batches(start_step=0, part=BatchPart(num_ranks=2))
    with pytest.raises(DataError, match="4 processes x 1 loader workers = 4"):
        loader(shards_dir).batches(start_step=0, part=BatchPart(num_ranks=4))


def test_a_batch_that_cannot_be_divided_is_an_error_with_the_numbers(shards_dir: Path) -> None:
    with pytest.raises(ConfigError, match=r"train\.batch_size: 4 .* 3 processes x 2 acc.*a multiple of 6"):
        loader(shards_dir).batches(start_step=0, part=BatchPart(num_ranks=3, num_pieces=2))


def test_workers_cannot_make_latents(bare_dir: Path) -> None:
    with pytest.raises(ConfigError, match=r"runtime\.loader_workers: 1, but .*holds no latents.*set it to 0"):
        loader(bare_dir, loader_workers=1, encoder=PixelCounter())
