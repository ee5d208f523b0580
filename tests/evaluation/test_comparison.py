"""Runs side by side: what differs, and the page that says so."""

from __future__ import annotations

import re

from mcld.evaluation.comparison import compare, differing_params
from mcld.evaluation.comparison_page import render_comparison
from tests.evaluation.compared import compared_run, keys, run_scores

SPREAD = [0.5, 0.6, 0.4, 0.55, 0.45, 0.52, 0.48, 0.5]


def test_only_settings_that_differ_are_listed_and_one_that_is_missing_differs() -> None:
    runs = [compared_run("a", seed="0", steps="4"), compared_run("b", seed="0", steps="8", extra="yes")]
    assert differing_params(runs) == (("extra", ("–", "yes")), ("steps", ("4", "8")))


def test_each_run_is_compared_with_the_first() -> None:
    better = run_scores({"ssim": [value + 0.1 for value in SPREAD]})
    found = compare(
        [compared_run("a", scores=run_scores({"ssim": SPREAD})), compared_run("b", scores=better)]
    )
    [line] = found.metrics
    assert line.differences[0] is None
    assert line.differences[1] is not None
    assert line.differences[1].verdict == "better"
    [row] = found.pictures
    assert [image is not None and int(image[0, 0, 0]) for image in row.generated] == [20, 20]
    assert [int(image[0, 0, 0]) for image in (*row.given, row.target)] == [0, 10, 30]
    assert found.notes == ()


def test_what_keeps_runs_from_being_compared_is_said() -> None:
    first = compared_run("a", scores=run_scores({"ssim": SPREAD}))
    few = compared_run("b", scores=run_scores({"ssim": SPREAD[:3]}, of=keys(3)))
    notes = compare([first, few, compared_run("c")]).notes
    assert notes == (
        "c: has no evaluation.",
        "b: 3 of its 3 pairs are also among the 8 of a; differences are of those alone.",
    )


def test_the_page_holds_everything_itself_and_escapes_names() -> None:
    runs = [
        compared_run("a <script>", scores=run_scores({"ssim": SPREAD}), steps="4"),
        compared_run("b", scores=run_scores({"ssim": [value - 0.1 for value in SPREAD]}), steps="8"),
    ]
    page = render_comparison(compare(runs))
    assert "<script" not in page
    assert re.findall(r'(?:src|href)="(?!data:)[^"]*"', page) == []
    assert page.count("data:image/jpeg;base64,") == 5
    assert '<span class="worse">-0.1000 worse</span>' in page
    assert "8 pairs of 8 outfits" in page
    assert 'aria-label="train.loss by step"' in page
    assert page == render_comparison(compare(runs))


def test_a_page_of_runs_without_anything_is_a_page() -> None:
    page = render_comparison(compare([compared_run("a"), compared_run("b")]))
    assert "No run has an evaluation." in page
    assert "None of those that were recorded." in page
