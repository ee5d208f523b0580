"""Compare our MCLD with a folder of recorded tensors, row by row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mcld.models import MCLD
from mcld.parity.forward import check_forward, check_weights
from mcld.parity.golden import Golden, build_model, read_golden
from mcld.parity.gradients import check_trajectory, check_variant
from mcld.parity.loss import check_batch, training_batch, variants
from mcld.parity.loss_only import check_loss_only
from mcld.parity.rows import Row
from mcld.parity.sampling import check_sampling


def check_model(directory: Path) -> Iterator[Row]:
    """Every check, as it is done. Raises DataError or WeightsError when the folder cannot be used."""
    golden = read_golden(directory)
    model, half_model = build_model(golden), build_model(golden, reference_precision="float16")
    yield from check_weights(golden)
    for index, (seed, file) in enumerate(golden.seeds.items()):
        yield from check_forward(
            file, seed=seed, golden=golden, model=model, half_model=half_model, with_features=index == 0
        )
    yield from check_sampling(golden, model=model, half_model=half_model)
    yield from _check_training(golden, model=model, half_model=half_model)
    yield from check_loss_only(golden)


def _check_training(golden: Golden, *, model: MCLD, half_model: MCLD) -> Iterator[Row]:
    batch = training_batch(golden)
    yield from check_batch(golden, batch=batch)
    for variant in variants(model=model, half_model=half_model):
        yield from check_variant(golden, variant=variant, batch=batch)
    yield from check_trajectory(golden, model=model, batch=batch)
