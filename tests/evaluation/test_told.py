"""An evaluation in the tracker's words."""

from __future__ import annotations

from mcld.evaluation.card import evaluation_section
from mcld.evaluation.told import pair_table, plain_name, protocol_names, summary_table
from tests.evaluation.compared import keys, rows_json, run_scores


def test_names_say_the_protocol_and_are_read_back() -> None:
    flat = {"num_pairs": 8, "ssim": 0.5, "ssim_51": 0.4, "wrong_pose.ssim": 0.3, "gap.ssim.wrong_pose": 0.2}
    named = protocol_names(flat)
    assert named == {
        "test.num_pairs": 8.0,
        "test.B/ssim": 0.5,
        "test.A/ssim_51": 0.4,
        "test.controls/wrong_pose.ssim": 0.3,
        "test.controls/gap.ssim.wrong_pose": 0.2,
    }
    assert [plain_name(name) for name in named] == [None, "ssim", "ssim_51", None, None]
    assert plain_name("train.loss") is None


def test_tables_have_a_line_a_metric_and_a_line_a_pair() -> None:
    scores: dict[str, list[float | None]] = {"ssim": [0.5, None], "psnr": [20.0, 22.0]}
    rows = rows_json(scores, num_pairs=2)
    rows["sets"] = {"generated": {"fid": {"value": 7.5, "num_images": 2}}}
    table = summary_table(rows)
    assert [[*line[:2], *line[5:]] for line in table["data"]] == [
        ["ssim", 0.5, "B", "higher", "generated"],
        ["psnr", 21.0, "A", "higher", "generated"],
        ["fid", 7.5, "B", "lower", "generated"],
    ]
    assert all(len(line) == len(table["columns"]) for line in table["data"])
    pairs = run_scores(scores, of=keys(2)).pairs
    assert pairs is not None
    assert pair_table(pairs) == {
        "columns": ["pair", "ssim", "psnr"],
        "data": [
            ["outfit-0/1_front > outfit-0/3_back", 0.5, 20.0],
            ["outfit-1/1_front > outfit-1/3_back", None, 22.0],
        ],
    }


def test_a_card_tells_metrics_with_protocol_interval_and_what_was_scored() -> None:
    text = evaluation_section(run_scores({"ssim": [0.5] * 8}))
    assert text.startswith("8 test pairs, 48 × 64 px.")
    assert "| ssim | B | higher | 0.5000 | 0.4900 to 0.5100 |" in text
    assert "Protocol B: the standard definition." in text
    assert "Protocol A" not in text
