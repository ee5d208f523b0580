"""Mannequins to learn to find: pictures of their natural size with exact IUV, rendered once into arrays.

Beside people there are flat views: garments that nobody wears.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from mcld.data.mannequins import face_embedding, render_view, sample_mannequin
from mcld.data.mannequins.poses import FLAT_POSE
from mcld.progress import track
from mcld.storage import atomic_dir, fingerprint, read_json, write_json
from mcld.training.tiny_base.corpus import FLAT_VIEW

FRONT_VIEW = "1_front"
PORTRAIT_SPAN = 0.3  # of a body's height that a portrait shows: its head is as large as in a whole picture
ARRAYS = ("images", "iuvs", "face_visible", "outfit_of_view", "embeddings", "flats")


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleSettings:
    """What the corpus shows. Every value shapes it; together they are its fingerprint."""

    seed: int
    num_outfits: int
    views_per_outfit: int  # the front, and others drawn by the outfit's number
    height_px: int = 256
    width_px: int = 176

    def as_dict(self) -> dict[str, int]:
        """Plain values, for fingerprints and cards."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleCorpus:
    """N views of O outfits, and F flat views; memory-mapped."""

    images: np.ndarray  # (N, H, W, 3) uint8 RGB
    iuvs: np.ndarray  # (N, H, W, 3) uint8, channels I U V
    face_visible: np.ndarray  # (N,) bool
    outfit_of_view: np.ndarray  # (N,) int64; views of one outfit are adjacent
    embeddings: np.ndarray  # (O, 512) float32, of the person in each outfit
    flats: np.ndarray  # (F, H, W, 3) uint8 RGB


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedOutfit:
    """Some views of one outfit."""

    images: list[np.ndarray]
    iuvs: list[np.ndarray]
    face_visible: list[bool]
    embedding: np.ndarray
    flats: list[np.ndarray]


Render = Callable[[PeopleSettings, int], RenderedOutfit]  # of the outfit with this number


def ensure_people(
    directory: Path, *, settings: PeopleSettings, num_workers: int, render: Render
) -> PeopleCorpus:
    """Render the corpus unless the very same one lies there already; a folder is for one way to render."""
    wanted = fingerprint(settings.as_dict())
    record = directory / "record.json"
    if not record.is_file() or read_json(record) != {"fingerprint": wanted}:
        with atomic_dir(directory) as temporary:
            _render_into(temporary, settings=settings, num_workers=num_workers, render=render)
            write_json(temporary / "record.json", value={"fingerprint": wanted})
    arrays = {name: np.load(directory / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ARRAYS}
    return PeopleCorpus(**arrays)


def _render_into(directory: Path, *, settings: PeopleSettings, num_workers: int, render: Render) -> None:
    with ProcessPoolExecutor(num_workers or os.cpu_count()) as pool:
        rendered: Iterable[RenderedOutfit] = pool.map(
            partial(render, settings), range(settings.num_outfits), chunksize=8
        )
        outfits = list(track(rendered, description="rendering people", total=settings.num_outfits))
    blank = np.zeros((0, settings.height_px, settings.width_px, 3), np.uint8)
    arrays = {
        "images": np.stack([image for outfit in outfits for image in outfit.images]),
        "iuvs": np.stack([iuv for outfit in outfits for iuv in outfit.iuvs]),
        "face_visible": np.array([seen for outfit in outfits for seen in outfit.face_visible]),
        "outfit_of_view": np.repeat(np.arange(len(outfits)), [len(outfit.images) for outfit in outfits]),
        "embeddings": np.stack([outfit.embedding for outfit in outfits]),
        "flats": np.concatenate([blank, *(flat[None] for outfit in outfits for flat in outfit.flats)]),
    }
    for name in ARRAYS:
        np.save(directory / f"{name}.npy", arrays[name], allow_pickle=False)


def render_outfit(settings: PeopleSettings, index: int) -> RenderedOutfit:
    """The front of an outfit and so many other views as the settings say, and its flat views."""
    mannequin = sample_mannequin(settings.seed, index=index)
    size = {"height_px": settings.height_px, "width_px": settings.width_px}
    others = [view for view in mannequin.views if view not in (FRONT_VIEW, FLAT_VIEW)]
    order = np.random.default_rng([settings.seed, index]).permutation(len(others))
    chosen = [FRONT_VIEW, *(others[number] for number in sorted(order[: settings.views_per_outfit - 1]))]
    views = [render_view(mannequin, view=view, **size) for view in chosen]
    flats = [render_view(mannequin, view=FLAT_VIEW, **size)] if FLAT_VIEW in mannequin.views else []
    return RenderedOutfit(
        images=[view.image for view in views],
        iuvs=[view.iuv for view in views],
        face_visible=[view.face_visible for view in views],
        embedding=face_embedding(mannequin),
        flats=[flat.image for flat in flats],
    )


def render_portraits(settings: PeopleSettings, index: int) -> RenderedOutfit:
    """Heads and shoulders of a person, two in three from the front, else from aside; the face is seen."""
    mannequin = sample_mannequin(settings.seed, index=index)
    generator = np.random.default_rng([settings.seed, index])
    views = []
    for number in range(settings.views_per_outfit):
        pose = replace(
            FLAT_POSE,
            yaw=float(generator.normal(0, 9) if (index + number) % 3 else generator.uniform(-60, 60)),
            head_yaw=float(generator.normal(0, 11)),
            head_pitch=float(generator.normal(0, 4)),
            camera_pitch=float(generator.uniform(2, 6)),
            span=PORTRAIT_SPAN,
        )
        posed = replace(mannequin, views=(FRONT_VIEW,), poses=(pose,))
        views.append(
            render_view(posed, view=FRONT_VIEW, height_px=settings.height_px, width_px=settings.width_px)
        )
    return RenderedOutfit(
        images=[view.image for view in views],
        iuvs=[view.iuv for view in views],
        face_visible=[True for _ in views],
        embedding=face_embedding(mannequin),
        flats=[],
    )
