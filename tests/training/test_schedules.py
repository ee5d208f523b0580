"""The learning rate is a function of the step alone."""

from itertools import pairwise

import pytest

from mcld.training.schedules import warmup_cosine


def test_warms_up_linearly_then_falls_to_the_final_fraction() -> None:
    factors = [warmup_cosine(step, num_steps=100, warmup_steps=10, final_fraction=0.1) for step in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == pytest.approx(1.0)
    assert max(factors) == pytest.approx(1.0)
    assert factors[100] == pytest.approx(0.1)
    assert all(after <= before for before, after in pairwise(factors[10:]))


def test_half_way_through_the_cosine_is_the_middle() -> None:
    assert warmup_cosine(60, num_steps=110, warmup_steps=10, final_fraction=0.2) == pytest.approx(0.6)
