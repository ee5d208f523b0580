"""What a page is put together from: tables, figures with a reading, pictures and rows of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PROTOCOL_MEANINGS = {
    "A": "as the pose-transfer papers ran it",
    "B": "the standard definition",
    "own": "ours, without a published counterpart",
}
PUBLISHED_MARK = "*published*"  # behind the names of rows that were printed by others
VERDICTS = {"better": "better", "worse": "worse", "none": "no difference shown"}

Facts = tuple[tuple[str, str], ...]  # name and what is known of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of text."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """One figure and how to read it."""

    figure: str
    versus: str
    title: str
    reading: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An image on the page; `image` is (H, W, 3) uint8 RGB."""

    caption: str
    image: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """Rows of pictures under one title; every row has a label."""

    title: str
    note: str
    rows: tuple[tuple[str, tuple[Picture, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A picture that explains itself beside numbers; `note` says what it shows."""

    note: str
    picture: Picture
    table: Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What was spent: time by stage, and what the training took."""

    stages: Table
    training: Facts
