"""Which galleries a report has, by the name of the file that each is beside the page."""

from __future__ import annotations

from collections.abc import Sequence

from mcld.evaluation.protocols import GeneratedPair
from mcld.evaluation.report import Gallery, Ranking
from mcld.stages.galleries import (
    Shelf,
    ranked_gallery,
    result_gallery,
    wrong_pose_gallery,
    wrong_source_gallery,
)

RESULT_NAME = "gallery.png"
WRONG_NAMES = {"wrong_source": "wrong_source.png", "wrong_pose": "wrong_pose.png"}  # by row of images
WORST_NAME, BEST_NAME = "worst.png", "best.png"
MAX_WRONG_ROWS = 6


def report_galleries(
    shelf: Shelf, *, pairs: Sequence[GeneratedPair], ranking: Ranking, num_rows: int
) -> dict[str, Gallery]:
    """Return the galleries in the page's order. Raises DataError naming a picture that is not there."""
    shown = spread(pairs, num_kept=num_rows)
    found = {
        RESULT_NAME: result_gallery(shelf, pairs=shown),
        WRONG_NAMES["wrong_source"]: wrong_source_gallery(shelf, pairs=shown[:MAX_WRONG_ROWS]),
        WRONG_NAMES["wrong_pose"]: wrong_pose_gallery(shelf, pairs=shown[:MAX_WRONG_ROWS]),
    }
    for name, ranked in ((WORST_NAME, ranking.worst), (BEST_NAME, ranking.best)):
        if ranked:
            title = f"{name.partition('.')[0].capitalize()} pairs by {ranking.metric.name}"
            found[name] = ranked_gallery(shelf, ranked=ranked, metric=ranking.metric, title=title)
    return found


def spread(pairs: Sequence[GeneratedPair], *, num_kept: int) -> tuple[GeneratedPair, ...]:
    """Return up to `num_kept` pairs spread evenly over the list, so that the page shows many people."""
    count = min(num_kept, len(pairs))
    return tuple(pairs[index * len(pairs) // count] for index in range(count))
