"""rows.json as the stage `evaluate` writes it, small."""

from __future__ import annotations

from typing import Any


def cell(mean: float | None, *, num_scored: int = 40, num_skipped: int = 0) -> dict[str, float | None]:
    low, high = (None, None) if mean is None else (mean - 0.01, mean + 0.01)
    return {"mean": mean, "low": low, "high": high, "num_scored": num_scored, "num_skipped": num_skipped}


def plain_rows() -> dict[str, Any]:
    """Of two rows: a metric that all pairs have, one that some lack, FID, and one that is absent."""
    return {
        "num_pairs": 40,
        "height_px": 256,
        "width_px": 176,
        "rows": {
            "ground_truth": {"ssim": cell(1.0), "psnr": cell(None, num_scored=0, num_skipped=40)},
            "generated": {
                "psnr": cell(18.5),
                "ssim": cell(0.75),
                "face_ssim": cell(0.5, num_scored=38, num_skipped=2),
            },
        },
        "sets": {
            "generated": {
                "fid_a": {"value": 6.69, "num_images": 40, "num_real": 48674},
                "kid": {"value": 0.0123, "num_images": 40, "num_real": 40, "std": 0.002},
            }
        },
        "gaps": {},
        "absent": {"lpips_alex": "needs alexnet-owt-7be5be79.pth"},
        "skipped": {"face_ssim": {"count": 2, "reason": "no head in view"}},
        "notes": ["FIDs of 40 images come out too large"],
        "groups": {"category": {"Dresses": {"num_pairs": 12, "metrics": {"ssim": cell(0.7)}}}},
    }
