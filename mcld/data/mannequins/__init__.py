"""Mannequins: the embedded people, rendered with exact IUV from nothing but (seed, index)."""

from mcld.data.mannequins.dataset import MannequinFiles, damage, split_of, view_files, write_outfit
from mcld.data.mannequins.people import Identity, Mannequin, face_embedding, sample_mannequin
from mcld.data.mannequins.render import RenderedView, render_view

__all__ = [
    "Identity",
    "Mannequin",
    "MannequinFiles",
    "RenderedView",
    "damage",
    "face_embedding",
    "render_view",
    "sample_mannequin",
    "split_of",
    "view_files",
    "write_outfit",
]
