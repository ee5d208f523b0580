"""The table of metrics: protocols, counts, what is undefined, what is absent."""

from __future__ import annotations

from mcld.evaluation.report import metrics_section, read_evaluation
from tests.evaluation.report.plain_rows import plain_rows

SECTION = metrics_section(read_evaluation(plain_rows(), place="rows.json"))


def test_every_metric_is_one_line_of_its_kind_in_the_registrys_order() -> None:
    assert [line.metric.name for line in SECTION.pair_lines] == ["ssim", "psnr", "face_ssim"]
    assert [line.metric.name for line in SECTION.set_lines] == ["fid_a", "kid"]
    assert [line.metric.name for line in SECTION.absent] == ["lpips_alex"]


def test_lines_say_of_how_many_images_they_are_and_why_not_of_all() -> None:
    ssim, psnr, face_ssim = SECTION.pair_lines
    assert (ssim.num_images, psnr.num_images, face_ssim.num_images) == (40, 40, 38)
    assert ssim.skipped is None
    assert face_ssim.skipped is not None
    assert face_ssim.skipped.reason == "no head in view"
    assert [line.num_images for line in SECTION.set_lines] == [40, 40]


def test_a_row_without_a_metric_has_an_empty_cell() -> None:
    face_ssim = SECTION.pair_lines[2]
    assert face_ssim.cells[1] is None
    fid_a = SECTION.set_lines[0]
    assert fid_a.cells[1] is None


def test_rows_and_protocols_come_with_their_meanings() -> None:
    assert [row for row, _ in SECTION.rows] == ["generated", "ground_truth"]
    assert all(meaning for _, meaning in SECTION.rows)
    assert [name for name, _ in SECTION.protocols] == ["A", "B", "own"]
