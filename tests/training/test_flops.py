"""Operations of a step, counted without running one."""

from __future__ import annotations

import pytest

from mcld.models import ModelConfig
from mcld.training.flops import flops_per_row, null_share
from tests.tiny_models import TINY_CONFIG

FULL_HW = (64, 64)
TINY_HW = (4, 2)


# As recorded beside the measurements of benchmarks/results/2026-11-22-h200.jsonl.
@pytest.mark.parametrize(("num_null", "num_rows", "tflop"), [(0, 16, 4.9839), (1, 8, 4.6666), (6, 64, 4.746)])
def test_a_full_size_row_costs_what_the_benchmark_counted(num_null: int, num_rows: int, tflop: float) -> None:
    counted = flops_per_row(
        ModelConfig(), latent_hw=FULL_HW, texture_hw=FULL_HW, null_share=num_null / num_rows
    )
    assert counted / 1e12 == pytest.approx(tflop, abs=6e-5)


def test_recomputing_costs_more_and_rows_without_a_reference_less() -> None:
    whole = flops_per_row(TINY_CONFIG, latent_hw=TINY_HW, texture_hw=TINY_HW)
    assert flops_per_row(TINY_CONFIG, latent_hw=TINY_HW, texture_hw=TINY_HW, recomputes=True) > 1.1 * whole
    assert flops_per_row(TINY_CONFIG, latent_hw=TINY_HW, texture_hw=TINY_HW, null_share=0.5) < 0.9 * whole


def test_a_row_loses_its_reference_by_either_draw() -> None:
    assert null_share(null_probability=0.1, reference_dropout_probability=0.0) == pytest.approx(0.1)
    assert null_share(null_probability=0.5, reference_dropout_probability=0.5) == pytest.approx(0.75)
