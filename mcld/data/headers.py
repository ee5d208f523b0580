"""What an image file says of itself, its pixels undecoded: size, kind, and whether it is all there."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from mcld.data.codec import decode_image_with_notes, notes_of, orientation_of, read_photograph

_END_OF_JPEG = b"\xff\xd9"
_END_OF_PNG = b"\0\0\0\0IEND\xaeB`\x82"
_MAY_ROTATE_PNG = (b"eXIf", b"tEXt", b"zTXt", b"iTXt")  # chunks that may stand behind the pixels
_FIRST_TRANSPOSED = 5  # EXIF orientation from which height and width change places


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """Size as seen, after any EXIF rotation, and what has to be converted, as of `DecodedImage`."""

    height_px: int
    width_px: int
    notes: tuple[str, ...]


def image_facts(data: bytes) -> ImageFacts:
    """Read a photograph's header; where that does not say enough, decode it whole.

    Enough says a JPEG or PNG that ends in its end marker, after which zeros may follow. Raises DataError as
    `decode_image_with_notes`; pixels damaged in the middle go unnoticed.
    """
    facts = read_photograph(data, read=lambda image: _facts_of_header(image, data=data))
    if facts is not None:
        return facts
    image = decode_image_with_notes(data)
    height_px, width_px = image.pixels.shape[:2]
    return ImageFacts(height_px=height_px, width_px=width_px, notes=image.notes)


def _facts_of_header(image: Image.Image, *, data: bytes) -> ImageFacts | None:
    if not _is_whole(image.format, data=data):
        return None
    orientation = orientation_of(image) if image.format == "JPEG" else 1
    height_px, width_px = image.height, image.width
    if orientation >= _FIRST_TRANSPOSED:
        height_px, width_px = width_px, height_px
    return ImageFacts(
        height_px=height_px, width_px=width_px, notes=notes_of(image.mode, orientation=orientation)
    )


def _is_whole(image_format: str | None, *, data: bytes) -> bool:
    """Whether the file is of a kind whose header can be trusted, and ends as it should."""
    unpadded = data.rstrip(b"\0")
    if image_format == "JPEG":
        return unpadded.endswith(_END_OF_JPEG)
    is_whole_png = image_format == "PNG" and unpadded.endswith(_END_OF_PNG)
    return is_whole_png and not any(chunk in data for chunk in _MAY_ROTATE_PNG)
