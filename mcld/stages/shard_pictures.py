"""A picture of one training sample: what an outfit's shard holds of every view."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

import numpy as np

from mcld.data.codec import decode_image, decode_iuv
from mcld.data.deepfashion import parse_name
from mcld.data.shards import OutfitSample, ShardSet
from mcld.errors import DataError
from mcld.evaluation.pictures import fit, labelled_rows, note, overlay_iuv
from mcld.stages.condition_pictures import rendered_back

CELL_HEIGHT_PX = 280
CAPTIONS = ("image", "IUV map", "UV texture", "texture rendered back")
UNSEEN_RGB = (0, 0, 0)


def find_sample(shards: ShardSet, *, name: str) -> OutfitSample:
    """The sample of an outfit's key, or of an image in any spelling. Raises DataError with the nearest."""
    by_outfit = {sample.outfit: sample for sample in shards.samples}
    outfit = name if name in by_outfit else _outfit_of(name)
    if outfit not in by_outfit:
        near = ", ".join(get_close_matches(name, by_outfit, n=3)) or "none is near"
        raise DataError(f"{name}: no sample of {shards.place}; did you mean {near}?")
    return by_outfit[outfit]


def describe_sample(sample: OutfitSample) -> str:
    """One line: where it lies and what it gives."""
    return (
        f"{sample.outfit}: {sample.split}, {sample.shard} at byte {sample.offset:,}, "
        f"{sample.num_bytes:,} bytes, {len(sample.views)} views, {len(sample.pairs)} pairs"
    )


def picture_of_sample(shards: ShardSet, *, sample: OutfitSample) -> np.ndarray:
    """One row a view, uint8 RGB. Raises DataError naming shard and sample where anything is damaged."""
    members = shards.read_sample(sample)
    rows = []
    for index, view in enumerate(sample.views):
        has_face = "face" if sample.face_found[index] else "no face"
        targets = [sample.views[target] for source, target in sample.pairs if source == index]
        label = f"{view}   {has_face}   source of: {', '.join(targets) or 'no pair'}"
        rows.append((label, _cells(members, view=view)))
    return labelled_rows(rows, captions=[CAPTIONS] * len(rows))


def _cells(members: Mapping[str, bytes], *, view: str) -> list[np.ndarray]:
    image = decode_image(members[f"{view}.image.jpg"])
    iuv = decode_iuv(members[f"{view}.iuv.png"])
    texture = decode_image(members[f"{view}.texture.png"])
    width_px = round(CELL_HEIGHT_PX * image.shape[1] / image.shape[0])
    size = {"height_px": CELL_HEIGHT_PX, "width_px": max(1, width_px)}
    rendered = rendered_back(texture, iuv=iuv)
    return [
        fit(image, **size),
        fit(overlay_iuv(image, iuv=iuv), **size),
        fit(texture, **size, margin_rgb=UNSEEN_RGB),
        note(rendered, **size) if isinstance(rendered, str) else fit(rendered, **size),
    ]


def _outfit_of(name: str) -> str:
    try:
        return parse_name(name).outfit_key
    except DataError:
        return name
