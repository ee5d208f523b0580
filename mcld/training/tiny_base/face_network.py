"""Train the network that tells from a head's picture whose it is, and whether its face is seen.

Shapes: B heads, S side of a head's picture, D embedding length.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mcld.conditions.mannequins import HEAD_PX, FaceNetwork, Square, head_picture, head_square, pixels_in
from mcld.framing import resize_image
from mcld.progress import track
from mcld.training.optimisation import apply_gradients, muon_and_adamw
from mcld.training.schedules import warmup_cosine
from mcld.training.tiny_base.people_corpus import PeopleCorpus
from mcld.training.tiny_base.people_pictures import disturb

LOG_EVERY_STEPS = 100
MOVED, SCALED = 0.06, 0.15  # how far a head's square is off, in its sides
SMALLEST_PX = 32  # a head's picture may come from so few pixels

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceSettings:
    """Optimisation of the face network."""

    seed: int = 12
    num_steps: int = 2000
    batch_size: int = 64
    kernel_learning_rate: float = 1e-2  # Muon
    learning_rate: float = 2e-3  # AdamW: vectors, first and last layers
    warmup_steps: int = 50

    def as_dict(self) -> dict[str, object]:
        """Plain values, for cards."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """One head to learn from."""

    image: np.ndarray  # (h, w, 3) uint8 RGB, around the head with room to move
    square: Square  # in `image`
    is_seen: bool  # its face
    embedding: np.ndarray  # (D,) float32


def heads_of(corpus: PeopleCorpus) -> list[Head]:
    """Every head that is big enough, cut out with room around it."""
    heads = []
    for view, iuv in enumerate(corpus.iuvs):
        square = head_square(iuv)
        if square is None:
            continue
        image = corpus.images[view]
        room_px = square.side_px // 2
        top, left = max(0, square.top - room_px), max(0, square.left - room_px)
        cut = image[
            top : square.top + square.side_px + room_px, left : square.left + square.side_px + room_px
        ]
        heads.append(
            Head(
                image=np.array(cut),
                square=Square(left=square.left - left, top=square.top - top, side_px=square.side_px),
                is_seen=bool(corpus.face_visible[view]),
                embedding=np.array(corpus.embeddings[corpus.outfit_of_view[view]]),
            )
        )
    return heads


def train_face_network(heads: Sequence[Head], *, settings: FaceSettings) -> FaceNetwork:
    """Train on all of the heads."""
    torch.manual_seed(settings.seed)
    network = FaceNetwork()
    optimizers = muon_and_adamw(
        network,
        ends=("body.0", "identity", "seen"),
        kernel_learning_rate=settings.kernel_learning_rate,
        learning_rate=settings.learning_rate,
    )
    steps = range(settings.num_steps)
    for step in track(steps, description="training the face network", total=settings.num_steps):
        pixels, is_seen, wanted = draw_heads(heads, settings=settings, step=step)
        embedding, logits = network(pixels)
        loss = face_loss(embedding, logits=logits, is_seen=is_seen, wanted=wanted)
        factor = warmup_cosine(
            step, num_steps=settings.num_steps, warmup_steps=settings.warmup_steps, final_fraction=0.01
        )
        apply_gradients(network, loss=loss, optimizers=optimizers, factor=factor, max_grad_norm=1.0)
        if (step + 1) % LOG_EVERY_STEPS == 0:
            logger.info("face network, step %d: loss %.4f", step + 1, float(loss.detach()))
    network.eval()
    return network


def face_loss(embedding: Tensor, *, logits: Tensor, is_seen: Tensor, wanted: Tensor) -> Tensor:
    """One less the cosine (B, D) of faces that are seen, and cross entropy (B,) of whether they are."""
    away = 1.0 - functional.cosine_similarity(embedding, wanted, dim=1)
    seen = functional.binary_cross_entropy_with_logits(logits, is_seen)
    return (away * is_seen).sum() / (is_seen.sum() + 1.0) + 0.1 * seen


def draw_heads(heads: Sequence[Head], *, settings: FaceSettings, step: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels (B, 3, S, S) in [-1, 1], whether faces are seen (B,) float32, and embeddings (B, D)."""
    generator = np.random.default_rng((settings.seed, step))
    chosen = [heads[int(row)] for row in generator.integers(len(heads), size=settings.batch_size)]
    pictures = np.stack([_picture(head, generator=generator) for head in chosen])
    return (
        pixels_in(torch.from_numpy(pictures)),
        torch.tensor([float(head.is_seen) for head in chosen]),
        torch.from_numpy(np.stack([head.embedding for head in chosen])),
    )


def _picture(head: Head, *, generator: np.random.Generator) -> np.ndarray:
    """The head as a finder that is a little off would cut it out of a picture of another size."""
    square = head.square
    side_px = round(square.side_px * generator.uniform(1 - SCALED, 1 + SCALED))
    across, down = generator.uniform(-MOVED, MOVED, 2) * square.side_px
    moved = Square(
        left=round(square.left + (square.side_px - side_px) / 2 + across),
        top=round(square.top + (square.side_px - side_px) / 2 + down),
        side_px=side_px,
    )
    picture = head_picture(head.image, square=moved)
    if generator.random() < 0.2:
        small_px = int(generator.integers(SMALLEST_PX, picture.shape[0]))
        picture = resize_image(picture, height_px=small_px, width_px=small_px)
    # Colours tell people apart, so that cameras may differ only a little here.
    picture = disturb(picture, generator=generator, strength=0.25)
    return resize_image(picture, height_px=HEAD_PX, width_px=HEAD_PX)
