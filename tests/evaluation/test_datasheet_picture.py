"""The data-set sheet as a picture: sorted, counted, the same for the same counts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from mcld.evaluation.datasheet import DataCounts
from mcld.evaluation.datasheet_picture import MAX_BARS, draw_data_sheet, split_bars

NUM_VIEWS = 40


def counts(*, num_left_out: int) -> DataCounts:
    views = Counter({(f"{number}_view", "train"): number + 1 for number in range(NUM_VIEWS)})
    views["0_view", "test"] = 1000
    return DataCounts(
        categories=Counter({("WOMEN Dresses", "train"): 3, ("MEN Denim", "test"): 2}),
        views=views,
        view_pairs=Counter({("1_front → 3_back", "train"): 7}),
        sizes=Counter({"750 × 1101": 5}),
        reasons=Counter(
            {"file not found, which is a reason of more words than fit beside a bar": num_left_out}
        )
        if num_left_out
        else Counter(),
        num_outfits=2,
        num_images=5,
        num_pairs=7,
        num_bytes=1234,
    )


def drawn(path: Path, *, num_left_out: int = 1) -> Path:
    draw_data_sheet(
        path, counts=counts(num_left_out=num_left_out), title="5 images", subtitle="of noise " * 40
    )
    return path


def test_bars_are_sorted_by_their_sum_and_the_rest_is_one_bar() -> None:
    rows = split_bars("Views", counts=counts(num_left_out=1).views).rows
    assert rows[:2] == (("0 view", (1, 1000)), ("39 view", (40, 0)))
    num_others = NUM_VIEWS - MAX_BARS
    assert rows[-1] == (f"{num_others} others", (sum(range(2, 2 + num_others)), 0))
    assert len(rows) == MAX_BARS + 1


def test_equal_counts_give_an_equal_picture_with_ink_on_it(tmp_path: Path) -> None:
    first, second = drawn(tmp_path / "a.png"), drawn(tmp_path / "b.png")
    assert first.read_bytes() == second.read_bytes()
    pixels = np.asarray(Image.open(first).convert("L"))
    assert pixels.shape[1] == 1650
    assert 0.05 < (pixels < 250).mean() < 0.5


def test_nothing_is_drawn_over_the_edge(tmp_path: Path) -> None:
    pixels = np.asarray(Image.open(drawn(tmp_path / "a.png")).convert("L"))
    for edge in (pixels[:2], pixels[-2:], pixels[:, :2], pixels[:, -2:]):
        assert (edge > 250).all()


def test_a_data_set_without_exclusions_is_drawn_too(tmp_path: Path) -> None:
    assert drawn(tmp_path / "a.png", num_left_out=0).is_file()
