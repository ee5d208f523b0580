"""The registry and each metric's known answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcld.config import EvaluateParams
from mcld.errors import ConfigError, WeightsError
from mcld.evaluation import scores
from mcld.evaluation.metrics import METRICS, absent_metrics, check_required, metric_named, pair_metrics
from mcld.evaluation.networks import find_networks
from mcld.evaluation.scores import ScoredPair

HEIGHT_PX, WIDTH_PX = 80, 64
LACKING = find_networks(EvaluateParams(), root=Path())[1] | {"face": "needs a recogniser"}


def scored(*, image: np.ndarray, target: np.ndarray, part: int = 1) -> ScoredPair:
    """A pair whose target shows one part in a rectangle."""
    iuv = np.zeros((HEIGHT_PX, WIDTH_PX, 3), np.uint8)
    iuv[20:60, 16:48] = (part, 128, 128)
    return ScoredPair(image=image, target=target, target_iuv=iuv)


def flat(*colour: int) -> np.ndarray:
    return np.full((HEIGHT_PX, WIDTH_PX, 3), colour, np.uint8)


def with_rectangle(*colour: int) -> np.ndarray:
    image = flat(240, 240, 240)
    image[20:60, 16:48] = colour
    return image


@pytest.mark.parametrize(("region", "part"), [("torso", 2), ("arms", 19), ("legs", 8), ("head", 24)])
def test_colour_error_is_the_distance_of_mean_colours_in_that_region(region: str, part: int) -> None:
    pair = scored(image=with_rectangle(130, 100, 100), target=with_rectangle(100, 140, 100), part=part)
    function = metric_named(f"colour_error_{region}").function
    assert function is not None
    assert function(pair) == pytest.approx(50 / 255)  # 30, 40, 0


def test_colour_error_ignores_pattern_of_equal_mean() -> None:
    striped = with_rectangle(0, 0, 0)
    striped[20:60:2, 16:48] = 200
    assert (
        scores.colour_error(scored(image=striped, target=with_rectangle(100, 100, 100)), parts=(1, 2)) == 0.0
    )


def test_a_region_out_of_view_is_undefined() -> None:
    pair = scored(image=flat(0, 0, 0), target=flat(9, 9, 9), part=1)
    assert scores.colour_error(pair, parts=(7, 8)) is None
    assert scores.face_ssim(pair) is None
    assert scores.face_psnr(pair) is None


def test_silhouette_iou_of_half_a_person_is_one_half() -> None:
    target = with_rectangle(200, 20, 20)
    half = target.copy()
    half[20:60, 32:48] = 240
    assert scores.silhouette_iou(scored(image=target, target=target)) == pytest.approx(1.0, abs=0.02)
    assert scores.silhouette_iou(scored(image=half, target=target)) == pytest.approx(0.5, abs=0.03)


def test_silhouette_iou_without_a_person_in_the_target_is_undefined() -> None:
    empty = np.zeros((HEIGHT_PX, WIDTH_PX, 3), np.uint8)
    assert scores.silhouette_iou(ScoredPair(image=flat(9, 9, 9), target=empty, target_iuv=empty)) is None


def test_face_metrics_look_at_the_head_alone() -> None:
    target = with_rectangle(150, 120, 100)
    image = target.copy()
    image[:10] = 0  # wrong, but six pixels and more above the head
    pair = scored(image=image, target=target, part=23)
    assert scores.face_psnr(pair) is None  # equal there
    assert scores.face_ssim(pair) == pytest.approx(1.0)
    image[20:60, 16:48] += 51
    assert scores.face_psnr(pair) == pytest.approx(-20 * np.log10(0.2))


def test_every_metric_names_protocol_and_meaning_and_is_named_once() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    for metric in METRICS:
        assert metric.meaning
        assert (metric.function is None) == (metric.network is not None)


def test_metrics_of_both_protocols_are_known_even_when_absent() -> None:
    absent = absent_metrics(height_px=256, width_px=176, lacking=LACKING)
    assert {"fid_a", "lpips_alex", "face_cosine_target", "face_cosine_source"} <= set(absent)
    assert {"fid", "clean_fid", "kid", "lpips_squeeze"} <= set(absent)
    assert "inception_v3_google-0cc3c7bd.pth" in absent["fid_a"]


def test_pair_metrics_score_every_pair_without_weights() -> None:
    pair = scored(image=with_rectangle(10, 20, 30), target=with_rectangle(30, 20, 10))
    for metric in pair_metrics(height_px=HEIGHT_PX, width_px=WIDTH_PX):
        assert metric.function is not None
        value = metric.function(pair)
        assert value is None or np.isfinite(value), metric.name


def test_small_images_make_a_wide_window_absent_with_the_remedy() -> None:
    assert "at least 51 px" in absent_metrics(height_px=64, width_px=48, lacking={})["ssim_51"]
    assert "ssim_51" not in absent_metrics(height_px=64, width_px=64, lacking={})


def test_requiring_an_absent_metric_is_an_error_that_says_how_to_get_it() -> None:
    with pytest.raises(WeightsError, match=r"evaluate\.require.*fid_a.*inception_v3_google"):
        check_required(("ssim", "fid_a"), height_px=256, width_px=176, lacking=LACKING)
    with pytest.raises(ConfigError, match="51 px"):
        check_required(("ssim_51",), height_px=32, width_px=32, lacking=LACKING)
    check_required(("ssim", "psnr"), height_px=256, width_px=176, lacking=LACKING)


def test_requiring_an_unknown_metric_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'silhouette_iou'"):
        check_required(("silhouete_iou",), height_px=256, width_px=176, lacking=LACKING)


def test_advantage_follows_the_direction() -> None:
    assert metric_named("ssim").advantage(0.8, over=0.5) == pytest.approx(0.3)
    assert metric_named("colour_error_torso").advantage(0.1, over=0.3) == pytest.approx(0.2)


def test_metrics_that_a_pair_may_lack_say_when() -> None:
    names = {metric.name for metric in METRICS if metric.undefined}
    assert names == {
        *("psnr", "ssim_256", "face_ssim", "face_psnr", "silhouette_iou"),
        *(f"colour_error_{region}" for region in scores.REGIONS),
        *("face_cosine_target", "face_cosine_source"),
    }
