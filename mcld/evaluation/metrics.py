"""The registry of metrics: each has a name, a protocol, a direction, what it needs, and a function.

Protocol A is what the pose-transfer papers ran, B is the standard definition, "own" has no published
counterpart. A metric whose weights are missing stays in the registry without a function, and says how to
get them: it is shown as absent, never as a made-up number. To add a metric, add its function to `scores`
and one line here.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from mcld.errors import ConfigError, WeightsError
from mcld.evaluation import scores
from mcld.evaluation.scores import ScoredPair
from mcld.evaluation.similarity import GAUSSIAN_SIZE_PX, UNIFORM_SIZE_PX

Direction = Literal["higher", "lower"]
Protocol = Literal["A", "B", "own"]
Score = Callable[[ScoredPair], float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A named number. `function` is None where the weights it `needs` are missing."""

    name: str
    protocol: Protocol
    direction: Direction
    meaning: str
    function: Score | None = None
    needs: str = ""
    min_side_px: int = 1

    def absence(self, *, height_px: int, width_px: int) -> str | None:
        """Return why this metric cannot be computed on images of that size, or None when it can."""
        if self.function is None:
            return f"needs {self.needs}"
        if min(height_px, width_px) < self.min_side_px:
            return (
                f"needs images of at least {self.min_side_px} px a side, not {width_px} x {height_px}; "
                "raise generate.height_px and generate.width_px"
            )
        return None

    def advantage(self, value: float, *, over: float) -> float:
        """Return by how much `value` is better than `over`; negative when it is worse."""
        return value - over if self.direction == "higher" else over - value


_FACE_PACK = (
    "an ArcFace pack with its detector, e.g. insightface's antelopev2 (non-commercial), "
    "which this version does not read"
)
_TF_INCEPTION = (
    "pt_inception-2015-12-05-6726825d.pth from the releases of mseitzer/pytorch-fid, "
    "which this version does not read"
)

METRICS: tuple[Metric, ...] = (
    Metric(
        name="ssim",
        protocol="B",
        direction="higher",
        meaning="structural similarity, 11 px Gaussian window",
        function=scores.ssim,
        min_side_px=GAUSSIAN_SIZE_PX,
    ),
    Metric(
        name="ssim_256",
        protocol="A",
        direction="higher",
        meaning="structural similarity, Gaussian window, data range of the generated image",
        function=scores.ssim_256,
        min_side_px=GAUSSIAN_SIZE_PX,
    ),
    Metric(
        name="ssim_51",
        protocol="A",
        direction="higher",
        meaning="structural similarity, uniform 51 px window",
        function=scores.ssim_51,
        min_side_px=UNIFORM_SIZE_PX,
    ),
    Metric(
        name="psnr",
        protocol="A",
        direction="higher",
        meaning="peak signal-to-noise ratio in dB, mean over images",
        function=scores.psnr,
    ),
    Metric(
        name="face_ssim",
        protocol="own",
        direction="higher",
        meaning="structural similarity over the target's head (parts 23, 24)",
        function=scores.face_ssim,
        min_side_px=GAUSSIAN_SIZE_PX,
    ),
    Metric(
        name="face_psnr",
        protocol="own",
        direction="higher",
        meaning="PSNR in dB over the target's head (parts 23, 24)",
        function=scores.face_psnr,
    ),
    Metric(
        name="silhouette_iou",
        protocol="own",
        direction="higher",
        meaning="overlap of the person's outline with the target's",
        function=scores.silhouette_iou,
        min_side_px=GAUSSIAN_SIZE_PX,
    ),
    *(
        Metric(
            name=f"colour_error_{region}",
            protocol="own",
            direction="lower",
            meaning=f"distance of mean colours over the target's {region}, in [0, 1] RGB",
            function=partial(scores.colour_error, parts=parts),
        )
        for region, parts in scores.REGIONS.items()
    ),
    Metric(
        name="fid_a",
        protocol="A",
        direction="lower",
        meaning="Fréchet distance of Inception features to all training images",
        needs="inception_v3_google-0cc3c7bd.pth (IMAGENET1K_V1) from download.pytorch.org/models, "
        "which this version does not read",
    ),
    Metric(
        name="lpips_alex",
        protocol="A",
        direction="lower",
        meaning="perceptual distance, AlexNet",
        needs="alexnet-owt-7be5be79.pth from download.pytorch.org/models and LPIPS v0.1 alex.pth from "
        "richzhang/PerceptualSimilarity, which this version does not read",
    ),
    Metric(
        name="face_cosine_target",
        protocol="A",
        direction="higher",
        meaning="cosine of ArcFace embeddings, generated to target",
        needs=_FACE_PACK,
    ),
    Metric(
        name="face_cosine_source",
        protocol="A",
        direction="higher",
        meaning="cosine of ArcFace embeddings, generated to source",
        needs=_FACE_PACK,
    ),
    Metric(
        name="fid",
        protocol="B",
        direction="lower",
        meaning="Fréchet distance of TF Inception features to the test targets",
        needs=_TF_INCEPTION,
    ),
    Metric(
        name="clean_fid",
        protocol="B",
        direction="lower",
        meaning="Fréchet distance with clean-fid's resize",
        needs=_TF_INCEPTION,
    ),
    Metric(
        name="kid",
        protocol="B",
        direction="lower",
        meaning="kernel distance of TF Inception features to the test targets",
        needs=_TF_INCEPTION,
    ),
    Metric(
        name="lpips_squeeze",
        protocol="B",
        direction="lower",
        meaning="perceptual distance, SqueezeNet",
        needs="squeezenet1_1-b8a52dc0.pth from download.pytorch.org/models and LPIPS v0.1 squeeze.pth from "
        "richzhang/PerceptualSimilarity, which this version does not read",
    ),
)


def metric_named(name: str) -> Metric:
    """Return the metric of that name; raises ConfigError with the nearest known name."""
    for metric in METRICS:
        if metric.name == name:
            return metric
    known = [metric.name for metric in METRICS]
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean '{close[0]}'?" if close else f"known metrics: {', '.join(known)}"
    raise ConfigError(f"evaluate.require: unknown metric '{name}'; {hint}")


def present_metrics(*, height_px: int, width_px: int) -> tuple[Metric, ...]:
    """Return the metrics that can be computed on images of that size, in table order."""
    return tuple(m for m in METRICS if m.absence(height_px=height_px, width_px=width_px) is None)


def absent_metrics(*, height_px: int, width_px: int) -> dict[str, str]:
    """Return name to reason for every metric that cannot be computed on images of that size."""
    reasons = {metric.name: metric.absence(height_px=height_px, width_px=width_px) for metric in METRICS}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def check_required(required: Sequence[str], *, height_px: int, width_px: int) -> None:
    """Raise ConfigError for an unknown name, WeightsError for a metric whose weights are missing."""
    for name in required:
        metric = metric_named(name)
        reason = metric.absence(height_px=height_px, width_px=width_px)
        if reason is None:
            continue
        message = f"evaluate.require: metric '{name}' is absent: {reason}; or take it out of evaluate.require"
        raise WeightsError(message) if metric.function is None else ConfigError(message)
