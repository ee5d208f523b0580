"""What papers print: numbers to stand beside one's own, never computed here and marked *published*.

All are protocol A on DeepFashion's 8,570 test pairs. "SSIM" is printed without saying which; it stands under
`ssim_256`, which it probably is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

DATA_SET, NUM_PAIRS = "DeepFashion", 8570
PROTOCOL = "A"
PAPER = "Liu et al., Multi-focal Conditioned Latent Diffusion for Person Image Synthesis, CVPR 2025"
RESCORED = "CFLD's released checkpoint, scored again by others"
SMALL, LARGE = (256, 176), (512, 352)  # height, width


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRow:
    """One row of a printed table, its digits as printed.

    `size` is (height, width) in pixels, None where it is not said; `values` are by the name of the metric.
    """

    name: str
    size: tuple[int, int] | None
    source: str
    values: Mapping[str, Decimal] = field(default_factory=dict)


def _of_paper(name: str, *, size: tuple[int, int] | None, values: Mapping[str, Decimal]) -> PublishedRow:
    return PublishedRow(name=name, size=size, source=PAPER, values=values)


PUBLISHED: tuple[PublishedRow, ...] = (
    _of_paper(
        "PIDM",
        size=SMALL,
        values={"fid_a": Decimal("6.36"), "lpips_alex": Decimal("0.1678"), "ssim_256": Decimal("0.7312")},
    ),
    _of_paper(
        "CFLD",
        size=SMALL,
        values={
            "fid_a": Decimal("6.804"),
            "lpips_alex": Decimal("0.1519"),
            "ssim_256": Decimal("0.7378"),
            "psnr": Decimal("18.235"),
        },
    ),
    _of_paper(
        "MCLD",
        size=SMALL,
        values={
            "fid_a": Decimal("6.693"),
            "lpips_alex": Decimal("0.1482"),
            "ssim_256": Decimal("0.7511"),
            "psnr": Decimal("18.84"),
        },
    ),
    _of_paper("VAE reconstruction", size=SMALL, values={"fid_a": Decimal("7.967")}),
    _of_paper(
        "MCLD B1: I",
        size=SMALL,
        values={
            "fid_a": Decimal("6.427"),
            "lpips_alex": Decimal("0.1629"),
            "ssim_256": Decimal("0.7371"),
            "psnr": Decimal("18.18"),
        },
    ),
    _of_paper(
        "MCLD B3: I+A+F, concat",
        size=SMALL,
        values={
            "fid_a": Decimal("6.858"),
            "lpips_alex": Decimal("0.1536"),
            "ssim_256": Decimal("0.7340"),
            "psnr": Decimal("18.03"),
        },
    ),
    _of_paper(
        "MCLD B5: I+A, MFCA",
        size=SMALL,
        values={
            "fid_a": Decimal("6.723"),
            "lpips_alex": Decimal("0.1483"),
            "ssim_256": Decimal("0.7499"),
            "psnr": Decimal("18.72"),
        },
    ),
    PublishedRow(
        name="CFLD, scored again",
        size=SMALL,  # not said; FID and LPIPS are near those printed for this one
        source=RESCORED,
        values={
            "fid_a": Decimal("6.676"),
            "lpips_alex": Decimal("0.1705"),
            "ssim_51": Decimal("0.6993"),
            "ssim_256": Decimal("0.7234"),
            "psnr": Decimal("17.617"),
        },
    ),
    _of_paper("PIDM", size=LARGE, values={"fid_a": Decimal("5.837"), "ssim_256": Decimal("0.7419")}),
    _of_paper("CFLD", size=LARGE, values={"fid_a": Decimal("7.149"), "ssim_256": Decimal("0.7478")}),
    _of_paper("MCLD", size=LARGE, values={"fid_a": Decimal("7.079"), "ssim_256": Decimal("0.7557")}),
    _of_paper(
        "PIDM",
        size=None,
        values={"face_cosine_source": Decimal("0.270"), "face_cosine_target": Decimal("0.394")},
    ),
    _of_paper(
        "CFLD",
        size=None,
        values={"face_cosine_source": Decimal("0.243"), "face_cosine_target": Decimal("0.363")},
    ),
    _of_paper(
        "MCLD",
        size=None,
        values={"face_cosine_source": Decimal("0.301"), "face_cosine_target": Decimal("0.413")},
    ),
)
