"""Gradients do not depend on pieces of a batch, on recomputed activations or on memory layout."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
from torch import Tensor

from mcld.models import MCLD
from tests.models.tiny import take_rows, tiny_conditions, tiny_latent, tiny_model

NUM_ROWS = 5
# Rows without any appearance, and rows without the image embedding, in both pieces of every split below.
DROP_APPEARANCE = torch.tensor([False, True, False, True, False])
DROP_IMAGE = torch.tensor([True, False, False, True, True])
ALL_ROWS = slice(0, NUM_ROWS)


def row_losses(model: MCLD, *, rows: slice) -> Tensor:
    """The loss of some rows of one fixed batch."""
    v: Tensor = model(
        tiny_latent(NUM_ROWS)[rows],
        timestep_B=(torch.arange(NUM_ROWS) * 200)[rows],
        conditions=take_rows(tiny_conditions(NUM_ROWS), rows=rows),
        drop_appearance_B=DROP_APPEARANCE[rows],
        drop_image_B=DROP_IMAGE[rows],
    )
    return (v - 1.0).square().mean(dim=(1, 2, 3))


def gradients(
    model: MCLD, *, pieces: Iterable[slice] = (ALL_ROWS,), autocast: bool = False
) -> dict[str, Tensor]:
    """Accumulated over the pieces, of the mean loss over all rows."""
    model.zero_grad()
    for rows in pieces:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            loss = row_losses(model, rows=rows).sum() / NUM_ROWS
        loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    "pieces",
    [
        (slice(0, 2), slice(2, 5)),  # halves, as near as five rows allow
        tuple(slice(row, row + 1) for row in range(NUM_ROWS)),  # some of them without a reference at all
    ],
    ids=["halves", "single rows"],
)
def test_gradients_accumulated_over_pieces_are_those_of_the_whole_batch(pieces: tuple[slice, ...]) -> None:
    model = tiny_model().double()
    whole, accumulated = gradients(model), gradients(model, pieces=pieces)
    assert whole.keys() == accumulated.keys()
    for name, value in whole.items():
        torch.testing.assert_close(accumulated[name], value, rtol=1e-9, atol=1e-12)


def test_accumulation_is_exact_to_single_precision_too() -> None:
    model = tiny_model()
    whole, accumulated = gradients(model), gradients(model, pieces=(slice(0, 2), slice(2, 5)))
    for name, value in whole.items():
        error = (accumulated[name] - value).norm() / value.norm().clamp(min=1e-6)
        assert float(error) < 1e-4, name


@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bfloat16 autocast"])
@pytest.mark.parametrize(
    "memory_format", [torch.contiguous_format, torch.channels_last], ids=["NCHW", "NHWC"]
)
def test_gradient_checkpointing_gives_the_same_gradients_bit_for_bit(
    memory_format: torch.memory_format, autocast: bool
) -> None:
    model = tiny_model().to(memory_format=memory_format)  # type: ignore[call-overload]
    plain = gradients(model, autocast=autocast)
    model.set_gradient_checkpointing(True)
    again = gradients(model, autocast=autocast)
    assert plain.keys() == again.keys()
    for name, value in plain.items():
        assert bool(value.isfinite().all()), name
        assert torch.equal(again[name], value), name


def test_memory_layout_changes_no_gradient_by_more_than_rounding() -> None:
    plain = gradients(tiny_model().double())
    last = gradients(tiny_model().double().to(memory_format=torch.channels_last))  # type: ignore[call-overload]
    assert plain.keys() == last.keys()
    for name, value in plain.items():
        torch.testing.assert_close(last[name], value, rtol=1e-9, atol=1e-12)


def test_autocast_gradients_are_near_those_of_single_precision() -> None:
    model = tiny_model()
    exact, rounded = gradients(model), gradients(model, autocast=True)
    assert exact.keys() == rounded.keys()
    total = torch.stack([value.norm() for value in exact.values()]).norm()
    difference = torch.stack([(rounded[name] - value).norm() for name, value in exact.items()]).norm()
    assert float(difference / total) < 0.05
