"""Draw pictures to learn from: people of every size and place, alone or side by side, or nobody.

Shapes: H W of the picture that is drawn, h w of a person's.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mcld.framing import resize_image, resize_labels
from mcld.training.tiny_base.backgrounds import background
from mcld.training.tiny_base.people_corpus import PeopleCorpus

NOBODY, SEVERAL = 0.15, 0.2  # shares of pictures
AS_RENDERED = 0.3  # share of pictures of one person that show it as it was rendered
STUDIO = 0.5  # share of people who keep their own surroundings
SQUEEZE = 0.08  # how far height and width are scaled apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A picture and what each of its pixels shows."""

    pixels: np.ndarray  # (H, W, 3) uint8 RGB
    iuv: np.ndarray  # (H, W, 3) uint8, channels I U V; zeros where there is nobody


def draw_picture(
    corpus: PeopleCorpus, *, views: np.ndarray, generator: np.random.Generator, height_px: int, width_px: int
) -> Drawn:
    """One picture of people of `views`, or of nobody."""
    chance = generator.random()
    if chance < NOBODY:
        drawn = _nobody(corpus, generator=generator, height_px=height_px, width_px=width_px)
    elif chance < NOBODY + SEVERAL:
        drawn = _several(corpus, views=views, generator=generator, height_px=height_px, width_px=width_px)
    else:
        drawn = _alone(corpus, views=views, generator=generator, height_px=height_px, width_px=width_px)
    return Drawn(pixels=disturb(drawn.pixels, generator=generator), iuv=drawn.iuv)


def disturb(pixels: np.ndarray, *, generator: np.random.Generator, strength: float = 1.0) -> np.ndarray:
    """(H, W, 3) uint8 as another camera and JPEG would give it; `strength` says how different cameras are."""
    if generator.random() < 0.3:
        return jpeg(pixels, quality=95)
    brightness, contrast = 1 + strength * generator.uniform(-0.15, 0.12, 2)
    hue = 1 + strength * generator.uniform(-0.05, 0.05, 3)
    changed = ((pixels.astype(np.float32) - 128) * contrast + 128) * brightness * hue
    changed = changed + generator.normal(0, strength * generator.uniform(0, 6), pixels.shape)
    if generator.random() < 0.25:
        changed = cv2.GaussianBlur(changed, (0, 0), generator.uniform(0.3, 0.9))
    return jpeg(np.clip(changed, 0, 255).astype(np.uint8), quality=int(generator.integers(40, 98)))


def jpeg(pixels: np.ndarray, *, quality: int) -> np.ndarray:
    """(H, W, 3) uint8 RGB, as it comes back from a JPEG."""
    # OpenCV takes blue, green, red; both ways alike, so that the order comes back.
    _, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.ascontiguousarray(decoded[..., ::-1].astype(np.uint8))


def _nobody(corpus: PeopleCorpus, *, generator: np.random.Generator, height_px: int, width_px: int) -> Drawn:
    if len(corpus.flats) and generator.random() < 0.4:
        flat = corpus.flats[int(generator.integers(len(corpus.flats)))]
        scale = generator.uniform(0.6, 1.3) * height_px / flat.shape[0]
        nothing = np.zeros(flat.shape, np.uint8)
        canvas = _canvas(generator, height_px=height_px, width_px=width_px)
        _lay(canvas, image=flat, iuv=nothing, scale=scale, generator=generator, middle=0.5, whole=True)
        return canvas
    return _canvas(generator, height_px=height_px, width_px=width_px)


def _alone(
    corpus: PeopleCorpus, *, views: np.ndarray, generator: np.random.Generator, height_px: int, width_px: int
) -> Drawn:
    view = int(generator.choice(views))
    image, iuv = corpus.images[view], corpus.iuvs[view]
    if generator.random() < AS_RENDERED and height_px > width_px:
        size = {"height_px": height_px, "width_px": width_px}
        return Drawn(pixels=resize_image(image, **size), iuv=resize_labels(iuv, **size))
    canvas = _canvas(generator, height_px=height_px, width_px=width_px)
    scale = generator.uniform(0.5, 1.4) * height_px / image.shape[0]
    _lay(
        canvas,
        image=image,
        iuv=iuv,
        scale=scale,
        generator=generator,
        middle=generator.uniform(0.3, 0.7),
        whole=generator.random() < STUDIO,
    )
    return canvas


def _several(
    corpus: PeopleCorpus, *, views: np.ndarray, generator: np.random.Generator, height_px: int, width_px: int
) -> Drawn:
    """Two or three side by side; whoever is laid later may hide a little of the one before."""
    number = int(generator.integers(2, 4))
    canvas = _canvas(generator, height_px=height_px, width_px=width_px)
    whole = generator.random() < STUDIO
    height = generator.uniform(0.9, 1.2) * width_px / number * corpus.images.shape[1] / corpus.images.shape[2]
    for place in range(number):
        view = int(generator.choice(views))
        image, iuv = corpus.images[view], corpus.iuvs[view]
        _lay(
            canvas,
            image=image,
            iuv=iuv,
            scale=min(height, 1.2 * height_px) * generator.uniform(0.9, 1.05) / image.shape[0],
            generator=generator,
            middle=(place + 0.5) / number,
            whole=whole,
        )
    return canvas


def _canvas(generator: np.random.Generator, *, height_px: int, width_px: int) -> Drawn:
    return Drawn(
        pixels=background(generator, height_px=height_px, width_px=width_px),
        iuv=np.zeros((height_px, width_px, 3), np.uint8),
    )


def _lay(
    canvas: Drawn,
    *,
    image: np.ndarray,
    iuv: np.ndarray,
    scale: float,
    generator: np.random.Generator,
    middle: float,  # of the canvas's width, where the middle of the picture comes
    whole: bool,  # the picture with its surroundings, or the person alone
) -> None:
    """Lay a picture into the canvas, scaled, at a height drawn at random."""
    squeeze = generator.uniform(1 - SQUEEZE, 1 + SQUEEZE)
    size = {
        "height_px": max(8, round(image.shape[0] * scale)),
        "width_px": max(8, round(image.shape[1] * scale * squeeze)),
    }
    image, iuv = resize_image(image, **size), resize_labels(iuv, **size)
    height_px, width_px = canvas.iuv.shape[:2]
    room = height_px - size["height_px"]
    top = int(generator.integers(min(room, 0), max(room, 0) + 1))
    left = round(middle * width_px - size["width_px"] / 2)
    target = np.s_[max(0, top) : top + size["height_px"], max(0, left) : max(0, left + size["width_px"])]
    source = np.s_[
        max(0, -top) : height_px - top,
        max(0, -left) : max(0, width_px - left),
    ]
    shown, labels = image[source], iuv[source]
    person = labels[..., :1] > 0
    if whole:
        canvas.pixels[target] = shown
        canvas.iuv[target] = labels
        return
    # Half of the border's pixels are half background: a soft edge, a little inside, hides the white paper.
    alpha = cv2.blur(person[..., 0].astype(np.float32), (3, 3))[..., None] * person
    mixed = alpha * shown + (1 - alpha) * canvas.pixels[target]
    canvas.pixels[target] = mixed.astype(np.uint8)
    canvas.iuv[target] = np.where(person, labels, canvas.iuv[target])
