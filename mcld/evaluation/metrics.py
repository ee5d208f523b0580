"""The registry of metrics: each has a name, a protocol, a direction, and what gives it.

Protocol A is what the pose-transfer papers ran, B is the standard definition, "own" has no published
counterpart. What gives a metric is a function of a pair of images (`scores`), or a network (`judge`), whose
weights the user brings; some are numbers of a whole set of images (`set_scores`). A metric whose weights are
missing is shown as absent, with how to get them, never as a made-up number. To add a metric, add its
function to `scores` and one line here.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from mcld.errors import ConfigError, WeightsError
from mcld.evaluation import scores
from mcld.evaluation.networks import NetworkName
from mcld.evaluation.scores import ScoredPair
from mcld.evaluation.similarity import UNIFORM_SIZE_PX
from mcld.evaluation.windowed_ssim import GAUSSIAN_SIZE_PX

Direction = Literal["higher", "lower"]
Protocol = Literal["A", "B", "own"]
Score = Callable[[ScoredPair], float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A named number. Either a `function` gives it or a `network`; `is_of_set`: of all images together."""

    name: str
    protocol: Protocol
    direction: Direction
    meaning: str
    function: Score | None = None
    network: NetworkName | None = None
    is_of_set: bool = False
    min_side_px: int = 1
    undefined: str = ""  # why a pair may have no value

    def absence(self, *, height_px: int, width_px: int, lacking: Mapping[NetworkName, str]) -> str | None:
        """Return why this metric cannot be computed on images of that size, or None when it can.

        `lacking` says of every network that is not there why.
        """
        if self.network is not None and self.network in lacking:
            return lacking[self.network]
        if min(height_px, width_px) < self.min_side_px:
            return (
                f"needs images of at least {self.min_side_px} px a side, not {width_px} x {height_px}; "
                "raise generate.height_px and generate.width_px"
            )
        return None

    def advantage(self, value: float, *, over: float) -> float:
        """Return by how much `value` is better than `over`; negative when it is worse."""
        return value - over if self.direction == "higher" else over - value


LPIPS_MIN_SIDE_PX = 31  # AlexNet's last pooling has something left of it

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
        undefined="the picture is of one flat value",
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
        undefined="picture and target are equal",
    ),
    Metric(
        name="face_ssim",
        protocol="own",
        direction="higher",
        meaning="structural similarity over the target's head (parts 23, 24)",
        function=scores.face_ssim,
        min_side_px=GAUSSIAN_SIZE_PX,
        undefined="too little of a head in the target",
    ),
    Metric(
        name="face_psnr",
        protocol="own",
        direction="higher",
        meaning="PSNR in dB over the target's head (parts 23, 24)",
        function=scores.face_psnr,
        undefined="too little of a head in the target, or equal there",
    ),
    Metric(
        name="silhouette_iou",
        protocol="own",
        direction="higher",
        meaning="overlap of the person's outline with the target's",
        function=scores.silhouette_iou,
        min_side_px=GAUSSIAN_SIZE_PX,
        undefined="too little of a person in the target",
    ),
    *(
        Metric(
            name=f"colour_error_{region}",
            protocol="own",
            direction="lower",
            meaning=f"distance of mean colours over the target's {region}, in [0, 1] RGB",
            function=partial(scores.colour_error, parts=parts),
            undefined=f"too little of {region} in the target",
        )
        for region, parts in scores.REGIONS.items()
    ),
    Metric(
        name="fid_a",
        protocol="A",
        direction="lower",
        meaning="Fréchet distance of Inception features to all training images",
        network="inception",
        is_of_set=True,
    ),
    Metric(
        name="lpips_alex",
        protocol="A",
        direction="lower",
        meaning="perceptual distance, AlexNet",
        network="lpips_alex",
        min_side_px=LPIPS_MIN_SIDE_PX,
    ),
    Metric(
        name="face_cosine_target",
        protocol="A",
        direction="higher",
        meaning="cosine of ArcFace embeddings, generated to target",
        network="face",
        undefined="no face found",
    ),
    Metric(
        name="face_cosine_source",
        protocol="A",
        direction="higher",
        meaning="cosine of ArcFace embeddings, generated to source",
        network="face",
        undefined="no face found",
    ),
    Metric(
        name="fid",
        protocol="B",
        direction="lower",
        meaning="Fréchet distance of TF Inception features to the test targets",
        network="inception_tf",
        is_of_set=True,
    ),
    Metric(
        name="clean_fid",
        protocol="B",
        direction="lower",
        meaning="Fréchet distance with clean-fid's resize",
        network="inception_tf",
        is_of_set=True,
    ),
    Metric(
        name="kid",
        protocol="B",
        direction="lower",
        meaning="kernel distance of TF Inception features to the test targets",
        network="inception_tf",
        is_of_set=True,
    ),
    Metric(
        name="lpips_squeeze",
        protocol="B",
        direction="lower",
        meaning="perceptual distance, SqueezeNet",
        network="lpips_squeeze",
        min_side_px=LPIPS_MIN_SIDE_PX,
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


def pair_metrics(*, height_px: int, width_px: int) -> tuple[Metric, ...]:
    """Return the metrics that a function gives on images of that size, in table order: no weights needed."""
    return tuple(
        metric
        for metric in METRICS
        if metric.function and metric.absence(height_px=height_px, width_px=width_px, lacking={}) is None
    )


def network_metrics(
    *, height_px: int, width_px: int, lacking: Mapping[NetworkName, str]
) -> tuple[Metric, ...]:
    """Return the metrics that a network gives which is there, on images of that size, in table order."""
    return tuple(
        metric
        for metric in METRICS
        if metric.network and metric.absence(height_px=height_px, width_px=width_px, lacking=lacking) is None
    )


def absent_metrics(*, height_px: int, width_px: int, lacking: Mapping[NetworkName, str]) -> dict[str, str]:
    """Return name to reason for every metric that cannot be computed on images of that size."""
    reasons = {
        metric.name: metric.absence(height_px=height_px, width_px=width_px, lacking=lacking)
        for metric in METRICS
    }
    return {name: reason for name, reason in reasons.items() if reason is not None}


def check_required(
    required: Sequence[str], *, height_px: int, width_px: int, lacking: Mapping[NetworkName, str]
) -> None:
    """Raise ConfigError for an unknown name, WeightsError for a metric whose weights are missing."""
    for name in required:
        metric = metric_named(name)
        reason = metric.absence(height_px=height_px, width_px=width_px, lacking=lacking)
        if reason is None:
            continue
        message = f"evaluate.require: metric '{name}' is absent: {reason}; or take it out of evaluate.require"
        raise WeightsError(message) if metric.network in lacking else ConfigError(message)
