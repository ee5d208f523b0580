"""Where the three focal conditions speak: their maps over what the trained model makes of a few pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mcld.config import GenerateParams, Params
from mcld.data.index import DatasetIndex
from mcld.data.loader import pairs_of
from mcld.data.shards import ShardSet
from mcld.diffusion import seeded_generators
from mcld.errors import ConfigError, DataError
from mcld.evaluation.figures import FigureCell, draw_figure
from mcld.evaluation.protocols import resize, to_8_bit
from mcld.framing import Framing
from mcld.inference.attention_picture import heat_over
from mcld.inference.test_pairs import pair_seed
from mcld.progress import track
from mcld.stages.figure_columns import PairKey, parse_pair, varied_pairs
from mcld.stages.generate import SPLIT, Renderer, load_renderer, renderer_source
from mcld.stages.methods_figure import POSE, SOURCE, PairPictures, printed
from mcld.workspace import Workspace

HEADINGS = {"image": "whole image", "texture": "texture", "face": "face"}  # as `focal_maps` calls them

# Shapes: H W pixels at evaluation size, h w latent cells.


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedAt:
    """A pair's generated picture, (H, W, 3) uint8 RGB, and a condition's strength at each pixel, (H, W)."""

    picture: np.ndarray
    strength: Mapping[str, np.ndarray]


def steps_of(params: GenerateParams, *, step: int | None) -> tuple[int, ...]:
    """The steps that maps are the mean of: all, or the one asked for. Raises ConfigError for another."""
    if step is not None and step >= params.num_inference_steps:
        raise ConfigError(
            f"--step: {step} is none of the {params.num_inference_steps} steps, 0 to "
            f"{params.num_inference_steps - 1}; change it, or generate.num_inference_steps"
        )
    return tuple(range(params.num_inference_steps)) if step is None else (step,)


def pairs_to_render(
    workspace: Workspace, *, index: DatasetIndex, wanted: Sequence[str], count: int
) -> tuple[PairKey, ...]:
    """The pairs `wanted` (SOURCE:TARGET) or, without any, `count` test pairs of as many people as there are.

    Raises DataError for one that the shards lack.
    """
    shards = ShardSet.open(workspace.stage_dir("shards"))
    known = [(pair.source, pair.target) for pair in pairs_of(shards.of_split(SPLIT))]
    if not wanted:
        chosen = varied_pairs(known)[:count]
        return tuple(pair for pair in known if pair in chosen)
    pairs = tuple(parse_pair(text, index=index) for text in wanted)
    for pair in pairs:
        if pair not in known:
            raise DataError(f"{shards.place}: has no test pair {pair[0]} -> {pair[1]}; name another")
    return pairs


def attention_figure(
    params: Params,
    *,
    pictures: PairPictures,
    pairs: Sequence[PairKey],
    steps: Sequence[int],
    workspace: Workspace,
) -> np.ndarray:
    """Return a row a pair, uint8 RGB: source, target pose, generated, and the strength of each condition.

    Colours go from a picture's own smallest value to its largest, which stand below it: they show where a
    condition speaks more than elsewhere, the numbers how much. Raises DataError when nothing is trained yet.
    """
    renderer = load_renderer(renderer_source(params, workspace=workspace))
    try:
        tracked = track(pairs, description="attention", total=len(pairs))
        found = [look_at(pair, renderer=renderer, params=params.generate, steps=steps) for pair in tracked]
    finally:
        load_renderer.cache_clear()
    names = [name for name in HEADINGS if name in found[0].strength]  # ablations lack some
    rows = [
        [
            FigureCell(picture=printed(pictures.image(source))),
            FigureCell(picture=printed(pictures.pose(target))),
            FigureCell(picture=printed(one.picture)),
            *(_heat_cell(one, name=name) for name in names),
        ]
        for (source, target), one in zip(pairs, found, strict=True)
    ]
    headings = (SOURCE, POSE, "generated", *(HEADINGS[name] for name in names))
    return draw_figure(rows, headings=headings, rules_before=(2, 3))


def look_at(pair: PairKey, *, renderer: Renderer, params: GenerateParams, steps: Sequence[int]) -> LookedAt:
    """Render one pair with the noise that the stage `generate` gives it, and look where conditions speak."""
    source, target = pair
    sample = renderer.samples.sample_for(source=source, target=target)
    images, maps = renderer.generator.render_with_maps(
        [sample],
        generator=seeded_generators([pair_seed(params.seed, source=source, target=target)]),
        params=params,
        steps=steps,
    )
    framing = renderer.samples.framing
    cut = framing.cut(to_8_bit(images[0].permute(1, 2, 0).numpy()), image_hw=sample.target_hw)
    size = {"height_px": params.height_px, "width_px": params.width_px}
    strength = {
        name: _at_size(maps[name][0].float().numpy(), framing=framing, image_hw=sample.target_hw, **size)
        for name in HEADINGS
        if name in maps
    }
    return LookedAt(picture=resize(cut, **size), strength=strength)


def _at_size(
    map_hw: np.ndarray, *, framing: Framing, image_hw: tuple[int, int], height_px: int, width_px: int
) -> np.ndarray:
    """A map over latent cells as one over the pixels of the picture that is shown, (H, W) float32."""
    whole = cv2.resize(map_hw, (framing.width_px, framing.height_px), interpolation=cv2.INTER_LINEAR)
    cut = framing.cut(whole, image_hw=image_hw)
    return np.asarray(cv2.resize(cut, (width_px, height_px), interpolation=cv2.INTER_LINEAR))


def _heat_cell(one: LookedAt, *, name: str) -> FigureCell:
    values = one.strength[name]
    smallest, largest = float(values.min()), float(values.max())
    spread = (largest - smallest) or 1.0  # where all are equal, all are 0
    return FigureCell(
        picture=printed(heat_over(one.picture, values=(values - smallest) / spread)),
        note=f"{smallest:.2f} to {largest:.2f}",
    )
