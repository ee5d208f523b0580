"""Compare our DensePose with what detectron2 made of the same images and weights, row by row.

A folder of cases: `case_X.json` names the seed of the weights (`densepose_recipe.py`) and the image,
`case_X.png` is the image, `case_X.npz` what was recorded; `resize.json`, if there, lists sizes at which the
network sees images. Errors are largest absolute differences, in the unit of what is compared; counts of
pixels and of detections where the name says so.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mcld.conditions.densepose import (
    DensePoseNetwork,
    UvOverflow,
    best_iuv,
    find_people_in_resized,
    network_of,
    network_size,
    resize,
)
from mcld.conditions.densepose.people import People, full_precision
from mcld.conditions.densepose.preprocess import network_input
from mcld.conditions.densepose.weights import empty_network
from mcld.data.codec import decode_image
from mcld.errors import DataError
from mcld.parity.arrays import read_npz
from mcld.parity.densepose_recipe import IMAGE_SIZES_PX, digest, recipe_image, recipe_state
from mcld.parity.rows import Row
from mcld.parity.settings import REMEDY, Settings, read_settings

RECORDED_UV_OVERFLOW: UvOverflow = "wrap"  # as the authors' canvas was recorded
CHARTS = ("coarse_segm", "fine_segm", "u", "v")
LEVELS = ("p2", "p3", "p4", "p5", "p6")
BYTE_RANGE = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerances:
    """How far off each number may be: several times what another number of threads changes."""

    probe: float = 5e-5
    box_px: float = 1e-2
    score: float = 2e-5
    segmentation: float = 3e-4  # logits
    uv: float = 6e-5
    half: float = 1.5e-3  # of charts that were stored as float16, relative above 1
    label_pixels: float = 20
    uv_pixels: float = 400
    uv_step: float = 1  # of 255
    num_detections: float = 1
    num_missing: float = 0  # of the recorded detections


ON_CPU = Tolerances()
# float32 on a GPU, without TF32: its sums run in another order.
ON_GPU = Tolerances(
    probe=5e-4,
    box_px=5e-2,
    score=2e-4,
    segmentation=3e-3,
    uv=6e-4,
    half=4e-3,
    label_pixels=200,
    uv_pixels=4000,
    num_detections=3,
)


# Half precision: what it changes is told, against float32 as recorded; only the input must be right.
ONLY_TOLD = Tolerances(**{field.name: math.inf for field in fields(Tolerances)})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """What is recorded of one image."""

    name: str
    path: Path
    settings: Settings
    image: np.ndarray  # (H, W, 3) uint8 RGB
    arrays: Mapping[str, np.ndarray]

    def array(self, name: str) -> np.ndarray:
        if name not in self.arrays:
            raise DataError(f"{self.path}: no array '{name}'; {REMEDY}")
        return self.arrays[name]


def check_densepose(
    directory: Path,
    *,
    device: torch.device,
    precision: torch.dtype = torch.float32,
    uv_overflow: UvOverflow = RECORDED_UV_OVERFLOW,
) -> Iterator[Row]:
    """Every check, as it is done; in half precision errors are told, and nothing is asked of them.

    Raises DataError when the folder cannot be used.
    """
    paths = sorted(directory.glob("case_*.json"))
    if not paths:
        raise DataError(f"{directory}: no case_*.json; give a folder of recorded DensePose cases")
    cases = [_read_case(path) for path in paths]
    exact = ON_CPU if device.type == "cpu" else ON_GPU
    tolerances = exact if precision == torch.float32 else ONLY_TOLD
    if (directory / "resize.json").exists():
        yield _check_sizes(directory / "resize.json")
    for case in cases:
        yield from _check_case(
            case, device=device, precision=precision, tolerances=tolerances, uv_overflow=uv_overflow
        )


def _check_sizes(path: Path) -> Row:
    """Rows of four: height and width of an image, and at which the network sees it."""
    sizes = read_settings(path).values.get("shapes_h_w_to_h_w")
    if not isinstance(sizes, list) or not all(_is_size(size) for size in sizes):
        raise DataError(f"{path}: 'shapes_h_w_to_h_w' is no list of four sizes each; {REMEDY}")
    wrong = [size for size in sizes if network_size(*size[:2]) != tuple(size[2:])]
    note = str(wrong[0]) if wrong else ""
    return Row(name="resize: sizes that differ", error=len(wrong), tolerance=0, note=note)


def _is_size(size: object) -> bool:
    return isinstance(size, list) and len(size) == 4 and all(type(side) is int and side > 0 for side in size)


def _read_case(path: Path) -> _Case:
    settings = read_settings(path)
    return _Case(
        name=path.stem.replace("_", " ", 1),
        path=path.with_suffix(".npz"),
        settings=settings,
        image=_read_image(path.with_suffix(".png"), index=settings.integer("image", minimum=0)),
        arrays=read_npz(path.with_suffix(".npz")),
    )


def _read_image(path: Path, *, index: int) -> np.ndarray:
    """The picture beside the case, or the recipe's where there is none."""
    if path.exists():
        try:
            return decode_image(path.read_bytes())
        except DataError as error:
            raise DataError(f"{path}: {error}; {REMEDY}") from error
    if index >= len(IMAGE_SIZES_PX):
        raise DataError(f"{path}: not found, and there is no recipe for image {index}; {REMEDY}")
    return recipe_image(index)[..., ::-1]


def _check_case(
    case: _Case,
    *,
    device: torch.device,
    precision: torch.dtype,
    tolerances: Tolerances,
    uv_overflow: UvOverflow,
) -> Iterator[Row]:
    state = recipe_state(
        {name: tuple(value.shape) for name, value in empty_network().state_dict().items()},
        seed=case.settings.integer("seed", minimum=0),
        uv_spread=case.settings.number("uv"),
    )
    resized = resize(case.image)
    yield _check_digest(case, "weights_sha256", found=digest(state))
    yield _check_digest(case, "image_bgr_sha256", found=_sha256_of_bgr(case.image))
    yield _check_digest(case, "resized_bgr_sha256", found=_sha256_of_bgr(resized))
    network = network_of(
        {name: torch.from_numpy(value) for name, value in state.items()},
        place=case.name,
        device=device,
        dtype=precision,
    )
    yield from _check_probes(case, network=network, resized=resized, tolerance=tolerances.probe)
    image_hw = (case.image.shape[0], case.image.shape[1])
    people = find_people_in_resized(network, resized=[resized], image_hw=image_hw)[0]
    yield from _check_detections(case, people=people, tolerances=tolerances)
    if people.charts is not None and len(case.array("boxes")):
        yield from _check_charts(case, people=people, tolerances=tolerances)
        yield from _check_canvas(case, people=people, tolerances=tolerances, uv_overflow=uv_overflow)


def _check_digest(case: _Case, key: str, *, found: str) -> Row:
    expected = case.settings.values.get(key)
    note = "" if found == expected else f"sha256 {found}"
    return Row(name=f"{case.name}: {key}", error=float(found != expected), tolerance=0, note=note)


def _sha256_of_bgr(image: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(image[..., ::-1]).tobytes()).hexdigest()


@torch.inference_mode()
def _check_probes(
    case: _Case, *, network: DensePoseNetwork, resized: np.ndarray, tolerance: float
) -> Iterator[Row]:
    """A few numbers of the features on the way, to find where a fault is; nothing where none are recorded."""
    if "probe_input" not in case.arrays:
        return
    pixels = network_input([resized], device=network.device)
    yield _largest(case, "probe_input", found=pixels[0, :, ::16, ::16], tolerance=0)
    with full_precision():
        features = network.features(pixels)
        decoded = network.roi_heads.decoder(features[:-1])
    for name, feature in zip((*LEVELS, "decoder"), (*features, decoded), strict=True):
        rows, columns = (max(1, length // 16) for length in feature.shape[2:])
        probe = feature[0, ::32, ::rows, ::columns]
        yield _largest(case, f"probe_{name}", found=probe, tolerance=tolerance)


def _check_detections(case: _Case, *, people: People, tolerances: Tolerances) -> Iterator[Row]:
    found, expected = people.detections, {name: case.array(name) for name in ("boxes", "scores", "n_det")}
    boxes, scores = found.boxes.cpu().numpy(), found.scores.cpu().numpy()
    num_recorded = len(expected["boxes"])
    yield Row(
        name=f"{case.name}: detections more or fewer",
        error=abs(len(boxes) - int(expected["n_det"])),
        tolerance=tolerances.num_detections,
        note=f"{len(boxes)} found",
    )
    if num_recorded == 0 or len(boxes) < num_recorded:
        missing = num_recorded - min(len(boxes), num_recorded)
        yield Row(name=f"{case.name}: detections missing", error=missing, tolerance=tolerances.num_missing)
        return
    score_error = np.abs(scores[:num_recorded] - expected["scores"])
    yield Row(name=f"{case.name}: scores", error=float(score_error.max()), tolerance=tolerances.score)
    distance = _box_distances(boxes, scores=scores, expected=expected, max_score_error=2 * tolerances.score)
    # The first must be first; below it, boxes of nearly equal score may change places.
    error = max(distance[0, 0], distance.min(axis=1).max())
    yield Row(name=f"{case.name}: boxes, px", error=float(error), tolerance=tolerances.box_px)


def _box_distances(
    boxes: np.ndarray, *, scores: np.ndarray, expected: Mapping[str, np.ndarray], max_score_error: float
) -> np.ndarray:
    """Largest difference of each recorded box (rows) from each found one; infinite where scores differ."""
    distance: np.ndarray = np.abs(boxes[None] - expected["boxes"][:, None]).max(axis=-1).astype(np.float64)
    distance[np.abs(scores[None] - expected["scores"][:, None]) > max_score_error] = np.inf
    return distance


def _check_charts(case: _Case, *, people: People, tolerances: Tolerances) -> Iterator[Row]:
    """Every fourth cell was recorded as float32, all cells as float16."""
    charts = people.charts
    assert charts is not None
    for name, chart in zip(CHARTS, (charts.coarse, charts.fine, charts.u, charts.v), strict=True):
        limit = tolerances.uv if name in ("u", "v") else tolerances.segmentation
        yield _largest(case, f"{name}_f32s4", found=chart[0, :, 1::4, 1::4], tolerance=limit)
        scale = chart[0].abs().clamp(min=1)
        yield _largest(case, f"{name}_f16", found=chart[0], tolerance=tolerances.half, scale=scale)


def _check_canvas(
    case: _Case, *, people: People, tolerances: Tolerances, uv_overflow: UvOverflow
) -> Iterator[Row]:
    found, expected = best_iuv(people, uv_overflow=uv_overflow), case.array("iuv")
    assert found is not None
    _check_shape(case, "iuv", found=found.shape, expected=expected.shape)
    is_same_part = found[..., 0] == expected[..., 0]
    step = np.abs(found[..., 1:].astype(int) - expected[..., 1:].astype(int))
    step = np.minimum(step, BYTE_RANGE - step)[is_same_part]  # the bytes wrap: 255 and 0 are neighbours
    for name, error, tolerance in (
        ("pixels of another part", (~is_same_part).sum(), tolerances.label_pixels),
        ("pixels of the same part with other U or V", step.any(axis=-1).sum(), tolerances.uv_pixels),
        ("largest step of U or V there", step.max(initial=0), tolerances.uv_step),
    ):
        yield Row(name=f"{case.name}: {name}", error=float(error), tolerance=tolerance)


def _largest(case: _Case, name: str, *, found: Tensor, tolerance: float, scale: Tensor | None = None) -> Row:
    """The largest difference from a recorded array, in units of `scale`."""
    expected = torch.from_numpy(case.array(name)).float()
    _check_shape(case, name, found=tuple(found.shape), expected=tuple(expected.shape))
    difference = (found.cpu().float() - expected).abs()
    difference = difference if scale is None else difference / scale.cpu()
    return Row(name=f"{case.name}: {name}", error=float(difference.max()), tolerance=tolerance)


def _check_shape(case: _Case, name: str, *, found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if found != expected:
        raise DataError(f"{case.path}: '{name}' has shape {expected}, but ours has {found}; {REMEDY}")
