"""What a training cost, from points whose sums are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mcld.stages.report_cost import training_facts
from mcld.stages.training_cost import METRICS, energy_of, training_cost
from mcld.tracking import Point, RunHistory, read_history
from tests.stages.told_training import tell_training


@pytest.fixture
def history(tmp_path: Path) -> RunHistory:
    tell_training(tmp_path)
    found = read_history(tmp_path, metrics=METRICS)
    assert found is not None
    return found


def test_time_and_shares_are_of_the_steps(history: RunHistory) -> None:
    found = training_cost(history, batch_size=2)
    assert found is not None
    # 40 steps of 2 pairs at 8 a second, 60 at 4.
    assert found.seconds == pytest.approx(10 + 30)
    assert found.num_rows == 200
    assert found.images_per_s == pytest.approx(5.0)
    assert found.data_wait_share == pytest.approx((10 * 0.01 + 30 * 0.05) / 40)
    assert found.gpu_hours == pytest.approx(2 * 40 / 3600)
    assert (found.memory_gib, found.num_skipped_steps, found.tflops_per_s) == (9.0, 3, None)


def test_energy_is_of_the_time_that_was_watched(history: RunHistory) -> None:
    found = energy_of(history)
    assert found is not None
    # Two GPUs at 200 W for 60 s and 30 s; the 940 s between nobody watched.
    assert found.kwh == pytest.approx(2 * 200 * 90 / 3.6e6)
    assert (found.num_gpus, found.watched_s) == (2, 90.0)


def test_power_that_changes_is_taken_by_trapezoids(history: RunHistory) -> None:
    name = "system/gpu_0_power_usage_watts"
    points = (Point(step=0, value=100.0, time_ms=0), Point(step=1, value=300.0, time_ms=10_000))
    found = energy_of(replace(history, points={name: points}))
    assert found is not None
    assert found.kwh == pytest.approx(200 * 10 / 3.6e6)


def test_what_nobody_measured_is_unknown(history: RunHistory) -> None:
    silent = replace(history, points={})
    assert training_cost(silent, batch_size=2) is None
    assert energy_of(silent) is None
    assert dict(training_facts(None))["energy"] == "unknown"
    rates = {"train.images_per_s": history.points["train.images_per_s"]}
    on_cpu = replace(history, points=rates, tags={"mcld.device": "cpu"})
    facts = dict(training_facts(training_cost(on_cpu, batch_size=2)))
    assert facts["energy"] == "unknown: nothing told its power"
    assert facts["GPU hours"] == "none: no GPU was used"
    assert "waiting for data" not in facts
