"""A journal is read back without MLflow: what was asked for, and nothing that cannot be read."""

from __future__ import annotations

from pathlib import Path

from mcld.tracking import Point, read_history
from tests.stages.told_training import START_MS, TAGS, tell_training


def test_tags_times_and_chosen_metrics_come_back(tmp_path: Path) -> None:
    tell_training(tmp_path)
    found = read_history(tmp_path, metrics=["train.images_per_s", "_watts"])
    assert found is not None
    assert (found.name, found.experiment, found.place) == ("tiny-f", "mcld", "sqlite:////home/me/mlflow.db")
    assert found.run_id is None  # nothing was sent
    assert dict(found.tags) == TAGS
    assert (found.started_ms, found.finished_ms) == (START_MS, START_MS + 7_200_000)
    assert set(found.points) == {
        "train.images_per_s",
        *(f"system/gpu_{gpu}_power_usage_watts" for gpu in range(2)),
    }
    assert found.points["train.images_per_s"] == (
        Point(step=40, value=8.0, time_ms=START_MS + 40_000),
        Point(step=100, value=4.0, time_ms=START_MS + 100_000),
    )


def test_torn_and_damaged_lines_are_passed_over(tmp_path: Path) -> None:
    tell_training(tmp_path)
    path = next(tmp_path.glob("events-*.jsonl"))
    whole = read_history(tmp_path, metrics=["train."])
    path.write_bytes(b'{"kind":"later","x":1}\n\xff\xfe\n' + path.read_bytes() + b'{"kind":"tags","val')
    assert read_history(tmp_path, metrics=["train."]) == whole


def test_where_no_run_was_begun_there_is_no_history(tmp_path: Path) -> None:
    assert read_history(tmp_path / "nowhere", metrics=[]) is None
    assert not (tmp_path / "nowhere").exists()
