"""How much of everything the service takes, keeps and waits for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """All bounds of a service. What is over a bound is refused with a sentence, or the oldest leaves."""

    max_upload_bytes: int = 20 << 20  # of a picture's file
    max_json_bytes: int = 1 << 20  # of any other request's body
    upload_timeout_s: float = 60.0  # until a body is there
    max_uploads: int = 8  # bodies that are read at once; more wait
    max_photos: int = 64  # kept at once; those unused longest leave
    max_pictures: int = 32  # likewise, of pictures to print on clothes
    max_shelf_bytes: int = 1 << 30  # of all photographs' pixels, and again of all pictures'
    photo_ttl_s: float = 3600.0  # a photograph or picture that nobody used for so long is forgotten
    max_queue: int = 16  # renders that wait; and again as many reads of photographs
    render_timeout_s: float = 600.0  # of one picture, from its start
    max_kept_renders: int = 64  # whose work is over; the oldest leave
    render_ttl_s: float = 3600.0  # after which they leave anyway
    max_edits: int = 16  # of one person
