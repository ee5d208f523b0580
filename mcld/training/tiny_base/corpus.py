"""A large set of mannequins, none of them in any demo, rendered once into memory-mapped arrays."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mcld.conditions.texture import unwrap
from mcld.data.mannequins import render_view, sample_mannequin
from mcld.framing import resize_image, resize_labels
from mcld.progress import track
from mcld.storage import atomic_dir, fingerprint, read_json, write_json

FLAT_VIEW = "6_flat"


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusSettings:
    """What the corpus shows. Every value shapes it; together they are its fingerprint."""

    seed: int
    num_outfits: int
    views_per_outfit: int
    render_height_px: int
    render_width_px: int
    height_px: int
    width_px: int
    texture_height_px: int
    texture_width_px: int
    part_size_px: int
    fill_margin_px: int

    def as_dict(self) -> dict[str, int]:
        """Plain values, for fingerprints and cards."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """N views: `images` and `iuvs` (N, H, W, 3), `textures` (N, H', W', 3), uint8 and memory-mapped.

    `outfit_of_view` (N,) int64 says which outfit each view shows; views of one outfit are adjacent.
    """

    images: np.ndarray
    iuvs: np.ndarray
    textures: np.ndarray
    outfit_of_view: np.ndarray


def ensure_corpus(directory: Path, *, settings: CorpusSettings, num_workers: int) -> Corpus:
    """Render the corpus unless the very same one lies there already."""
    wanted = fingerprint(settings.as_dict())
    record = directory / "record.json"
    if not record.is_file() or read_json(record) != {"fingerprint": wanted}:
        with atomic_dir(directory) as temporary:
            _render_into(temporary, settings=settings, num_workers=num_workers)
            write_json(temporary / "record.json", value={"fingerprint": wanted})
    names = ("images", "iuvs", "textures", "outfit_of_view")
    arrays = {name: np.load(directory / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names}
    return Corpus(**arrays)


def _render_into(directory: Path, *, settings: CorpusSettings, num_workers: int) -> None:
    views = _Views.empty()
    tasks = ((settings, index) for index in range(settings.num_outfits))
    with ProcessPoolExecutor(num_workers or os.cpu_count()) as pool:
        rendered: Iterable[_Views] = pool.map(_render_outfit, tasks, chunksize=8)
        for outfit in track(rendered, description="rendering the corpus", total=settings.num_outfits):
            views.extend(outfit)
    for name in ("images", "iuvs", "textures"):
        np.save(directory / f"{name}.npy", np.stack(getattr(views, name)), allow_pickle=False)
    np.save(directory / "outfit_of_view.npy", np.asarray(views.outfits, dtype=np.int64), allow_pickle=False)


@dataclass(slots=True, kw_only=True)
class _Views:
    images: list[np.ndarray]
    iuvs: list[np.ndarray]
    textures: list[np.ndarray]
    outfits: list[int]

    @classmethod
    def empty(cls) -> _Views:
        return cls(images=[], iuvs=[], textures=[], outfits=[])

    def extend(self, other: _Views) -> None:
        self.images += other.images
        self.iuvs += other.iuvs
        self.textures += other.textures
        self.outfits += other.outfits


def _render_outfit(task: tuple[CorpusSettings, int]) -> _Views:
    settings, index = task
    mannequin = sample_mannequin(settings.seed, index=index)
    views = _Views.empty()
    persons = [view for view in mannequin.views if view != FLAT_VIEW]
    for view in persons[: settings.views_per_outfit]:
        rendered = render_view(
            mannequin, view=view, height_px=settings.render_height_px, width_px=settings.render_width_px
        )
        atlas = unwrap(
            rendered.image,
            iuv=rendered.iuv,
            part_size_px=settings.part_size_px,
            fill_margin_px=settings.fill_margin_px,
        )
        views.images.append(
            resize_image(rendered.image, height_px=settings.height_px, width_px=settings.width_px)
        )
        views.iuvs.append(
            resize_labels(rendered.iuv, height_px=settings.height_px, width_px=settings.width_px)
        )
        views.textures.append(
            resize_image(atlas, height_px=settings.texture_height_px, width_px=settings.texture_width_px)
        )
        views.outfits.append(index)
    return views
