"""From a photograph to the rendered people in it: one look at all of it, then one at each of them.

Shapes: H W the photograph's size, h w the size at which the network sees it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from mcld.conditions.mannequins.networks import STRIDE_PX, PersonMaps, PersonNetwork, pixels_in
from mcld.framing import resize_image, resize_labels

LOOK_AREA_PX = 160 * 112  # of what the network sees, about, whatever the photograph's aspect
MAX_FINE_PX = 1 << 20  # borders are found at up to so many pixels; above, pixels are repeated
MIN_PERSON_SHARE = 0.005  # of the photograph; less is a crumb
MIN_PARTS = 3  # that a body shows, and among them torso or head
MIN_PART_SHARE = 0.02  # of the body, for a part to count
ROOM = 0.2  # around a person who is looked at again, of their height and width
SLIMMEST = 0.6  # the shorter side of that rectangle over its longer one
MAX_SECOND_LOOK = 0.8  # of the photograph: a person with so much around them is seen well already
TRUNK_PARTS = (1, 2, 23, 24)
EIGHT_NEIGHBOURS = np.ones((3, 3), bool)


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedPerson:
    """One person."""

    iuv: np.ndarray  # (H, W, 3) uint8, channels I U V; this person alone
    score: float  # 0..1, how sure the network is that their pixels are somebody's


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the network sees in a picture, in the picture's own size."""

    iuv: np.ndarray  # (H, W, 3) uint8, channels I U V; of everybody
    sureness: np.ndarray  # (H, W) float32, 0..1, that there is somebody


def find_rendered_people(network: PersonNetwork, *, photo: np.ndarray) -> tuple[RenderedPerson, ...]:
    """Everyone in (H, W, 3) uint8 RGB, in no order; no pixel is two people's."""
    seen = look(network, photo=photo)
    found = bodies(seen.iuv[..., 0])
    is_taken = np.any(found, axis=0) if found else np.zeros(photo.shape[:2], bool)
    people = []
    for is_person in found:
        is_free = ~is_taken | is_person
        person = _look_again(network, photo=photo, is_person=is_person, is_free=is_free)
        if person is None:
            person = _alone(seen, is_person=is_person)
        is_taken |= person.iuv[..., 0] > 0
        people.append(person)
    return tuple(people)


def bodies(labels: np.ndarray) -> list[np.ndarray]:
    """The pixels, (H, W) bool each, of every connected patch of body parts (H, W) that is a body.

    Smaller patches belong to the body in whose box their middle lies, as a hand behind a back does.
    """
    patches, number = ndimage.label(labels > 0, structure=EIGHT_NEIGHBOURS)
    sizes = np.bincount(patches.ravel(), minlength=number + 1)
    boxes = ndimage.find_objects(patches)
    enough = MIN_PERSON_SHARE * labels.size
    chosen = [
        patch
        for patch in range(1, number + 1)
        if sizes[patch] >= enough and _is_body(labels[boxes[patch - 1]][patches[boxes[patch - 1]] == patch])
    ]
    owner = np.zeros(number + 1, np.int64)
    owner[chosen] = chosen
    for patch in range(1, number + 1):
        if not owner[patch]:
            owner[patch] = _owner(boxes[patch - 1], boxes={body: boxes[body - 1] for body in chosen})
    owned = owner[patches]
    return [owned == body for body in chosen]


def look(network: PersonNetwork, *, photo: np.ndarray) -> Look:
    """What body part each pixel of (H, W, 3) uint8 RGB shows."""
    photo_hw = (photo.shape[0], photo.shape[1])
    height_px, width_px = look_size(photo_hw)
    small = resize_image(photo, height_px=height_px, width_px=width_px)
    with torch.inference_mode():
        maps = network(pixels_in(torch.from_numpy(np.array(small))[None]))
        labels, sureness, uv = _enlarged(maps, size=_fine_size(photo_hw))
    numbers = (uv.clamp(0, 1) * 255).round().to(torch.uint8)
    iuv = torch.cat([labels.to(torch.uint8)[None], numbers]).permute(1, 2, 0).numpy()
    size = {"height_px": photo_hw[0], "width_px": photo_hw[1]}
    return Look(iuv=resize_labels(iuv, **size), sureness=resize_labels(sureness.numpy(), **size))


def _look_again(
    network: PersonNetwork, *, photo: np.ndarray, is_person: np.ndarray, is_free: np.ndarray
) -> RenderedPerson | None:
    """A person seen from nearer; None who fills the photograph, or is not seen to be one from there.

    Only pixels that are free may turn out to be theirs.
    """
    window = _with_room(is_person)
    if is_person[window].size > MAX_SECOND_LOOK * is_person.size:
        return None
    seen = look(network, photo=np.ascontiguousarray(photo[window]))
    overlaps = [(int((body & is_person[window]).sum()), body) for body in bodies(seen.iuv[..., 0])]
    overlap, body = max(overlaps, key=lambda pair: pair[0], default=(0, None))
    if body is None or not overlap:
        return None
    near = _alone(seen, is_person=body & is_free[window])
    iuv = np.zeros(photo.shape, np.uint8)
    iuv[window] = near.iuv
    return RenderedPerson(iuv=iuv, score=near.score)


def _alone(seen: Look, *, is_person: np.ndarray) -> RenderedPerson:
    return RenderedPerson(
        iuv=np.where(is_person[..., None], seen.iuv, np.uint8(0)),
        score=float(seen.sureness[is_person].mean()),
    )


def _with_room(is_person: np.ndarray) -> tuple[slice, slice]:
    """The part of the picture around a person: with room on every side, and not slimmer than pictures."""
    shown = [np.flatnonzero(is_person.any(axis=axis)) for axis in (1, 0)]
    wanted = [(1 + 2 * ROOM) * (pixels[-1] + 1 - pixels[0]) for pixels in shown]
    sides = []
    for pixels, own, other, length_px in zip(shown, wanted, reversed(wanted), is_person.shape, strict=True):
        half = max(own, SLIMMEST * other) / 2
        middle = (pixels[0] + pixels[-1] + 1) / 2
        sides.append(slice(max(0, round(middle - half)), min(length_px, round(middle + half))))
    return sides[0], sides[1]


def look_size(photo_hw: tuple[int, int]) -> tuple[int, int]:
    """Height and width at which the network sees a photograph: its aspect, nearly, and always one area."""
    height_px, width_px = photo_hw
    shrink = math.sqrt(LOOK_AREA_PX / (height_px * width_px))
    sides = (height_px * shrink, width_px * shrink)
    # A strip is seen squeezed rather than at a few pixels.
    high, wide = (max(2, round(side / STRIDE_PX)) * STRIDE_PX for side in sides)
    return high, wide


def _fine_size(photo_hw: tuple[int, int]) -> tuple[int, int]:
    height_px, width_px = photo_hw
    shrink = min(1.0, math.sqrt(MAX_FINE_PX / (height_px * width_px)))
    return max(1, round(height_px * shrink)), max(1, round(width_px * shrink))


def _enlarged(maps: PersonMaps, *, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Labels (H, W), sureness (H, W) and U, V (2, H, W) of the maps of one picture.

    All are enlarged smoothly, so that borders run between pixels; U and V are each part's own, since at its
    border they jump.
    """
    logits = _smoothly(maps.label_logits, size=size)[0]
    labels = logits.argmax(dim=0)
    uv = torch.zeros(2, *size)
    for part in labels.unique().tolist():
        if part > 0:
            is_part = labels == part
            uv[:, is_part] = _smoothly(maps.uv[:, part], size=size)[0][:, is_part]
    return labels, 1.0 - logits.softmax(dim=0)[0], uv


def _smoothly(maps: Tensor, *, size: tuple[int, int]) -> Tensor:
    return functional.interpolate(maps.float(), size=size, mode="bilinear", align_corners=False)


def _is_body(labels: np.ndarray) -> bool:
    """Whether the parts (P,) of a patch are those of somebody: some of them, and among these the trunk."""
    counts = np.bincount(labels)
    parts = np.flatnonzero(counts >= MIN_PART_SHARE * len(labels))
    return len(parts) >= MIN_PARTS and bool(np.isin(parts, TRUNK_PARTS).any())


def _owner(box: tuple[slice, slice], *, boxes: dict[int, tuple[slice, slice]]) -> int:
    """The body in whose box the middle of a patch lies; 0 where there is none."""
    row, column = ((side.start + side.stop) / 2 for side in box)
    for body, (rows, columns) in boxes.items():
        if rows.start <= row < rows.stop and columns.start <= column < columns.stop:
            return body
    return 0
