"""Which pairs are rendered, and what is wrong about the wrong ones."""

import pytest

from mcld.errors import DataError
from mcld.inference.test_pairs import choose_test_pairs, outfit_of, pair_seed, view_of
from mcld.types import Pair

VIEWS = ("1_front", "2_side", "3_back")


def _pairs(num_outfits: int) -> list[Pair]:
    keys = [[f"outfit-{index}/{view}" for view in VIEWS] for index in range(num_outfits)]
    return [Pair(source=a, target=b, split="test") for views in keys for a in views for b in views if a != b]


def test_pairs_are_spread_over_all_outfits() -> None:
    chosen = choose_test_pairs(_pairs(5), num_pairs=5)
    assert len({outfit_of(pair.source) for pair in chosen}) == 5


def test_zero_means_every_pair_once() -> None:
    chosen = choose_test_pairs(_pairs(3), num_pairs=0)
    assert len({(pair.source, pair.target) for pair in chosen}) == len(chosen) == 18


def test_a_wrong_source_is_another_outfit_and_a_wrong_pose_another_kind_of_view() -> None:
    for pair in choose_test_pairs(_pairs(4), num_pairs=0):
        assert outfit_of(pair.wrong_source) != outfit_of(pair.source)
        assert view_of(pair.wrong_source) == view_of(pair.source)
        assert outfit_of(pair.wrong_pose) != outfit_of(pair.target)
        assert view_of(pair.wrong_pose) != view_of(pair.target)


def test_the_choice_does_not_depend_on_the_order_of_the_list() -> None:
    assert choose_test_pairs(_pairs(4), num_pairs=7) == choose_test_pairs(_pairs(4)[::-1], num_pairs=7)


def test_one_outfit_alone_is_refused() -> None:
    with pytest.raises(DataError, match=r"need at least 2.*dataset\.num_test_outfits"):
        choose_test_pairs(_pairs(1), num_pairs=3)


def test_seeds_differ_by_pair_and_by_run_seed() -> None:
    seeds = {pair_seed(run, source=source, target="b") for run in (0, 1) for source in ("a", "c")}
    assert len(seeds) == 4
    assert all(0 <= seed < 2**63 for seed in seeds)
