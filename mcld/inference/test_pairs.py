"""Choose the test pairs to render, each with a wrong source and a wrong pose: does the model listen?"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from mcld.errors import DataError
from mcld.types import Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class TestPair:
    """One row of the evaluation; all but `id` are image keys.

    `wrong_source` shows another outfit; `wrong_pose` too, in a view of another kind than the target's.
    """

    __test__ = False  # not a test class, whatever its name suggests to pytest

    id: str
    source: str
    target: str
    wrong_source: str
    wrong_pose: str

    @property
    def number(self) -> int:
        """Its place among the chosen pairs."""
        return int(self.id)

    def as_dict(self) -> dict[str, str]:
        """Plain values, for pairs.json."""
        return asdict(self)


def choose_test_pairs(pairs: Sequence[Pair], *, num_pairs: int) -> tuple[TestPair, ...]:
    """Take `num_pairs` pairs (0: all) spread evenly over the list, which is ordered by outfit.

    Raises DataError when the test split has fewer than two outfits: nothing would be a wrong source.
    """
    ordered = sorted(pairs, key=lambda pair: (pair.source, pair.target))
    outfits = {outfit_of(pair.source) for pair in ordered}
    if len(outfits) < 2:
        raise DataError(
            f"shards: {len(outfits)} test outfits with pairs, need at least 2; raise dataset.num_test_outfits"
        )
    count = min(num_pairs or len(ordered), len(ordered))
    chosen = [ordered[index * len(ordered) // count] for index in range(count)]
    return tuple(_with_wrong_ones(pair, number=number, pairs=ordered) for number, pair in enumerate(chosen))


def pair_seed(seed: int, *, source: str, target: str) -> int:
    """The seed of a pair's noise: a function of (seed, pair) alone, whatever else is rendered."""
    digest = hashlib.sha256(f"{seed}\n{source}\n{target}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def outfit_of(key: str) -> str:
    """The outfit part of an image key `outfit/view`."""
    return key.rpartition("/")[0]


def _with_wrong_ones(pair: Pair, *, number: int, pairs: Sequence[Pair]) -> TestPair:
    others = [other for other in pairs if outfit_of(other.source) != outfit_of(pair.source)]
    same_view = [other.source for other in others if view_of(other.source) == view_of(pair.source)]
    other_view = [other.target for other in others if view_of(other.target) != view_of(pair.target)]
    # The source in the same view, so that only the appearance is wrong; the pose in another view, so that it
    # surely is wrong.
    wrong_source = _pick(sorted(set(same_view or [other.source for other in others])), pair=pair)
    wrong_pose = _pick(sorted(set(other_view or [other.target for other in others])), pair=pair)
    return TestPair(
        id=f"{number:06d}",
        source=pair.source,
        target=pair.target,
        wrong_source=wrong_source,
        wrong_pose=wrong_pose,
    )


def view_of(key: str) -> str:
    """The view part of an image key `outfit/view`."""
    return key.rpartition("/")[2]


def _pick(keys: Sequence[str], *, pair: Pair) -> str:
    return keys[pair_seed(0, source=pair.source, target=pair.target) % len(keys)]
