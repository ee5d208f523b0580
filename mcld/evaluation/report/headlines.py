"""The few figures that answer: does it keep the pose, does it keep the clothes, what does it lose?"""

from __future__ import annotations

from collections.abc import Mapping

from mcld.evaluation.report.pieces import Headline
from mcld.evaluation.report.rendering import number


def headlines(metrics: Mapping[str, float]) -> tuple[Headline, ...]:
    """Return the headlines that the flat metrics of an evaluation give; one needs both its figures."""
    found = (
        _headline(
            metrics,
            name="silhouette_iou",
            other="wrong_pose.silhouette_iou",
            title="Keeps the pose",
            versus="with a wrong pose {other}",
            reading="Overlap of the generated person's outline with the target's; 1 is perfect. The second "
            "figure is what the outline scores when another pose is asked for: the distance is how much the "
            "model listens to the pose.",
        ),
        _headline(
            metrics,
            name="colour_error_torso",
            other="wrong_source.colour_error_torso",
            title="Keeps the clothes",
            versus="from a wrong source {other}",
            reading="Distance between the mean colours of the generated and the true torso; 0 is perfect. "
            "Dressed from another person's picture, it should be several times larger.",
        ),
        _headline(
            metrics,
            name="ssim",
            other="vae_reconstruction.ssim",
            title="Looks like the target",
            versus="the latent space allows {other}",
            reading="Structural similarity to the true picture (protocol B). The second figure is what the "
            "targets themselves keep on their way through the VAE and back: no model on top of it can be "
            "expected to do better.",
        ),
    )
    return tuple(headline for headline in found if headline is not None)


def _headline(
    metrics: Mapping[str, float], *, name: str, other: str, title: str, versus: str, reading: str
) -> Headline | None:
    if name not in metrics or other not in metrics:
        return None
    return Headline(
        figure=number(metrics[name]),
        versus=versus.format(other=number(metrics[other])),
        title=title,
        reading=reading,
    )
