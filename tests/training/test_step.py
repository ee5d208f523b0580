"""What dropped rows see in training, in either recipe, and that a row depends on nothing but itself."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from mcld.config import DiffusionParams, TrainParams
from mcld.diffusion import NoiseSchedule
from mcld.models import MCLD
from mcld.training.step import EmbeddingFacts, StepDraws, conditions_of, draw_step, training_loss
from mcld.types import Batch, Conditions, Pair
from tests.tiny_models import TINY_CONFIG

CORRECTED = TrainParams()
AUTHORS = TrainParams(dropout_unit="batch", null_condition="blank-image", null_drops_face=False, ema=False)
FACTS = EmbeddingFacts(image_spread=torch.linspace(0.5, 2.0, 8), blank=torch.full((8,), 7.0))
NUM_ROWS = 4


def batch_of(num_rows: int = NUM_ROWS, *, index: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(1)
    return Batch(
        pairs=(Pair(source="a/1_front", target="a/2_side", split="train"),) * num_rows,
        step=index,
        sample_ids=tuple((0, index * num_rows + row) for row in range(num_rows)),
        target_moments=torch.randn(num_rows, 8, 4, 2, generator=generator),
        target_iuv=torch.randint(0, 25, (num_rows, 3, 32, 16), generator=generator).to(torch.uint8),
        texture_moments=torch.randn(num_rows, 8, 4, 4, generator=generator),
        image_embedding=torch.randn(num_rows, 8, generator=generator),
        texture_embedding=torch.randn(num_rows, 8, generator=generator),
        face_embedding=torch.randn(num_rows, 6, generator=generator),
        face_found=torch.ones(num_rows, dtype=torch.bool),
    )


def draws_of(
    batch: Batch,
    *,
    appearance: tuple[int, ...] = (),
    image: tuple[int, ...] = (),
    reference: tuple[int, ...] = (),
) -> StepDraws:
    """A step's randomness with the given rows dropped."""
    draws = draw_step(batch, train=CORRECTED, diffusion=DiffusionParams(), num_timesteps=1000)
    rows = torch.arange(len(batch.pairs))
    return dataclasses.replace(
        draws,
        drop_appearance=torch.isin(rows, torch.tensor(appearance)),
        drop_image=torch.isin(rows, torch.tensor(image)),
        drop_reference=torch.isin(rows, torch.tensor(reference)),
    )


def conditions(draws: StepDraws, *, train: TrainParams) -> Conditions:
    return conditions_of(batch_of(), draws=draws, scaling_factor=1.0, facts=FACTS, train=train)


def masks(train: TrainParams, *, num_batches: int = 400) -> torch.Tensor:
    """(num_batches, NUM_ROWS) bool: which rows were dropped."""
    batches = [batch_of(index=index) for index in range(num_batches)]
    drawn = [draw_step(b, train=train, diffusion=DiffusionParams(), num_timesteps=1000) for b in batches]
    return torch.stack([draws.drop_appearance for draws in drawn])


def test_dropped_rows_see_what_sampling_calls_nothing() -> None:
    seen = conditions(draws_of(batch_of(), appearance=(0,), image=(2,)), train=CORRECTED)
    assert seen.face_found.tolist() == [False, True, True, True]
    assert not seen.image_embedding[[0, 2]].any()
    assert not seen.texture_embedding[0].any()
    assert torch.equal(seen.texture_embedding[1:], batch_of().texture_embedding[1:])


def test_the_authors_rows_see_a_blank_image_with_noise_and_keep_their_face() -> None:
    draws = draws_of(batch_of(), appearance=(0,), image=(2,))
    seen = conditions(draws, train=AUTHORS)
    assert seen.face_found.all()
    assert torch.equal(seen.texture_embedding[0], torch.full((8,), 7.0))
    noise = AUTHORS.image_noise * FACTS.image_spread * draws.image_noise
    torch.testing.assert_close(seen.image_embedding[[0, 2]], 7.0 + noise[[0, 2]])
    torch.testing.assert_close(seen.image_embedding[[1, 3]], (batch_of().image_embedding + noise)[[1, 3]])


def test_a_draw_decides_about_a_sample_or_about_the_whole_batch() -> None:
    by_sample, by_batch = masks(CORRECTED), masks(AUTHORS)
    assert bool((by_batch.all(dim=1) == by_batch.any(dim=1)).all())
    assert bool((by_sample.all(dim=1) != by_sample.any(dim=1)).any())
    for found in (by_sample, by_batch):
        assert float(found.float().mean()) == pytest.approx(0.1, abs=0.04)


def test_noise_on_a_row_does_not_depend_on_the_rest_of_its_batch() -> None:
    batch, draws = batch_of(), draws_of(batch_of())
    together = conditions_of(batch, draws=draws, scaling_factor=1.0, facts=FACTS, train=CORRECTED)
    half = dataclasses.replace(
        batch,
        **{
            item.name: getattr(batch, item.name)[:2]
            for item in dataclasses.fields(batch)
            if item.name != "step"
        },
    )
    half_draws = StepDraws(**{item.name: getattr(draws, item.name)[:2] for item in dataclasses.fields(draws)})
    alone = conditions_of(half, draws=half_draws, scaling_factor=1.0, facts=FACTS, train=CORRECTED)
    assert torch.equal(together.image_embedding[:2], alone.image_embedding)


@pytest.mark.parametrize("dropped", [{"appearance": (0, 1, 2, 3)}, {"reference": (0, 1, 2, 3)}])
def test_rows_without_a_reference_do_not_see_the_texture(dropped: dict[str, tuple[int, ...]]) -> None:
    torch.manual_seed(0)
    model = MCLD(TINY_CONFIG)
    batch = batch_of()
    other = dataclasses.replace(batch, texture_moments=batch.texture_moments + 3.0)

    def loss(of: Batch, draws: StepDraws) -> torch.Tensor:
        return training_loss(
            model,
            batch=of,
            draws=draws,
            schedule=NoiseSchedule(),
            scaling_factor=1.0,
            facts=FACTS,
            train=CORRECTED,
            diffusion=DiffusionParams(),
        ).per_row

    without, with_reference = draws_of(batch, **dropped), draws_of(batch)
    assert torch.equal(loss(batch, without), loss(other, without))
    assert not torch.equal(loss(batch, with_reference), loss(other, with_reference))
