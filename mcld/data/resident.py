"""All outfits of a split in memory, where they fit."""

from __future__ import annotations

import logging

from mcld.data.outfits import DecodedOutfit
from mcld.data.reader import PairReader
from mcld.progress import track

NUM_PROBES = 4

logger = logging.getLogger(__name__)


def held_outfits(reader: PairReader, *, resident_bytes: int) -> dict[str, DecodedOutfit] | None:
    """Every outfit by key, or None when they take more than `resident_bytes`.

    Judged by a few outfits, each as large as it is or will be with its maps opened, and again while reading.
    """
    if not resident_bytes:
        return None
    probes = list(reader.outfits(reader.samples[:: -(-len(reader.samples) // NUM_PROBES)]))
    num_views = sum(len(sample.views) for sample in reader.samples)
    probed_bytes = sum(_largest_bytes(probe) for probe in probes)
    estimate = probed_bytes * num_views // sum(len(probe.sample.views) for probe in probes)
    if estimate > resident_bytes:
        _say_too_large(estimate, resident_bytes=resident_bytes)
        return None
    held = {probe.sample.outfit: probe for probe in probes}
    others = [sample for sample in reader.samples if sample.outfit not in held]
    num_bytes = probed_bytes
    for outfit in track(reader.outfits(others), description="reading outfits", total=len(others)):
        held[outfit.sample.outfit] = outfit
        num_bytes += outfit.num_bytes
        if num_bytes > resident_bytes:
            _say_too_large(num_bytes, resident_bytes=resident_bytes)
            return None
    return held


def _largest_bytes(outfit: DecodedOutfit) -> int:
    """Its memory before its maps are opened or after, whichever is more."""
    before = outfit.num_bytes
    for iuv in outfit.iuv:
        iuv.open()
    return max(before, outfit.num_bytes)


def _say_too_large(num_bytes: int, *, resident_bytes: int) -> None:
    logger.info(
        "outfits are read anew at every visit: all of them take %.1f GiB or more, "
        "runtime.resident_gib allows %.1f",
        num_bytes / (1 << 30),
        resident_bytes / (1 << 30),
    )
