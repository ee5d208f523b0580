"""Means by kind of garment and by turn."""

from __future__ import annotations

import pytest

from mcld.evaluation.breakdown import breakdown
from mcld.types import ImageRecord


def image(outfit: str, *, category: str, view: str) -> ImageRecord:
    return ImageRecord(
        key=f"{outfit}/{view}",
        outfit_key=outfit,
        view=view,
        gender="WOMEN",
        category=category,
        split="test",
        path="a.jpg",
        sha256="0" * 64,
        num_bytes=1,
        height_px=1,
        width_px=1,
        part=0,
    )


def test_pairs_are_counted_and_averaged_by_category_and_by_turn() -> None:
    sources = [
        image("a", category="Dresses", view="1_front"),
        image("b", category="Dresses", view="2_side"),
        image("c", category="Pants", view="7_front"),
    ]
    targets = [
        image("a", category="Dresses", view="3_back"),
        image("b", category="Dresses", view="1_front"),
        image("c", category="Pants", view="3_back"),
    ]
    scores: dict[str, list[float | None]] = {"ssim": [0.2, 0.4, 0.8], "psnr": [10.0, None, None]}
    found = breakdown(scores, sources=sources, targets=targets)
    assert {name: group["num_pairs"] for name, group in found["category"].items()} == {
        "Dresses": 2,
        "Pants": 1,
    }
    assert {name: group["num_pairs"] for name, group in found["view_pair"].items()} == {
        "front → back": 2,
        "side → front": 1,
    }
    assert found["category"]["Dresses"]["metrics"] == {
        "ssim": {"mean": pytest.approx(0.3), "low": pytest.approx(0.2), "high": pytest.approx(0.4)},
        "psnr": {"mean": 10.0, "low": None, "high": None},
    }
    assert found["view_pair"]["front → back"]["metrics"] == {
        "ssim": {"mean": pytest.approx(0.5), "low": pytest.approx(0.2), "high": pytest.approx(0.8)},
        "psnr": {"mean": 10.0, "low": None, "high": None},
    }
    assert found["category"]["Pants"]["metrics"] == {
        "ssim": {"mean": 0.8, "low": None, "high": None},
        "psnr": {"mean": None, "low": None, "high": None},
    }
