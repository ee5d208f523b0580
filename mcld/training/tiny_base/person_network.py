"""Train the network that tells what part of a body each pixel shows, on pictures drawn anew at every step.

Shapes: B pictures, H W sides of a picture.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mcld.conditions.mannequins.networks import CHANNELS, NUM_LABELS, PersonNetwork, Trunk, pixels_in
from mcld.progress import track
from mcld.training.optimisation import apply_gradients, muon_and_adamw
from mcld.training.schedules import warmup_cosine
from mcld.training.tiny_base.people_corpus import PeopleCorpus
from mcld.training.tiny_base.people_pictures import draw_picture

# Sides of the pictures of a step, and how often: of about one area, as PersonNetwork is given photographs.
SIZES = ((160, 112), (128, 144), (112, 160))
SIZE_SHARES = (0.7, 0.1, 0.2)
PERSON_WEIGHT = 2.0  # of a person's pixel among those of the background, which are many and easy
ENDS = ("trunk.stem", "head", "labels", "uv")  # first and last layers
LOG_EVERY_STEPS = 50

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonSettings:
    """Optimisation of the person network, in two rounds."""

    seed: int = 11
    num_first_steps: int = 2600  # with one U and one V for all parts
    num_steps: int = 3000  # with U and V of each part's own
    batch_size: int = 8
    kernel_learning_rate: float = 1e-2  # Muon
    learning_rate: float = 2e-3  # AdamW: vectors, first and last layers
    second_share: float = 0.5  # of both in the second round
    warmup_steps: int = 50
    uv_weight: float = 5.0

    def as_dict(self) -> dict[str, object]:
        """Plain values, for cards."""
        return {name: getattr(self, name) for name in self.__slots__}


class SharedNetwork(nn.Module):
    """The trunk with one U and one V for all parts: what the first round trains."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk(channels=CHANNELS)
        self.head = nn.Conv2d(CHANNELS[0], 4 * (NUM_LABELS + 2), 1)

    def forward(self, pixels_B3HW: Tensor) -> Tensor:
        """Pixels in [-1, 1] to label logits, U and V (B, 27, H, W)."""
        return functional.pixel_shuffle(self.head(self.trunk(pixels_B3HW)), 2)


def train_shared_network(corpus: PeopleCorpus, *, settings: PersonSettings) -> SharedNetwork:
    """The first round, on all people of the corpus."""
    torch.manual_seed(settings.seed)
    network = SharedNetwork()

    def loss_of(pixels: Tensor, iuv: Tensor) -> Tensor:
        maps = network(pixels).float()
        own_uv = maps[:, NUM_LABELS:]
        return person_loss(maps[:, :NUM_LABELS], uv=own_uv, iuv=iuv, uv_iuv=iuv, settings=settings)

    steps = range(settings.num_first_steps)
    _train(network, corpus=corpus, loss_of=loss_of, steps=steps, settings=settings, share=1.0)
    return network


def train_person_network(
    first: SharedNetwork, *, corpus: PeopleCorpus, settings: PersonSettings
) -> PersonNetwork:
    """The second round: every part's U and V begin as what the first round gives all parts."""
    network = with_own_uv(first)

    def loss_of(pixels: Tensor, iuv: Tensor) -> Tensor:
        maps = network(pixels)
        blocks = iuv[:, :, ::2, ::2]
        chosen = blocks[:, :1, None].long().expand(-1, 1, 2, -1, -1)
        own_uv = maps.uv.float().gather(1, chosen)[:, 0]
        return person_loss(maps.label_logits.float(), uv=own_uv, iuv=iuv, uv_iuv=blocks, settings=settings)

    steps = range(settings.num_first_steps, settings.num_first_steps + settings.num_steps)
    _train(
        network, corpus=corpus, loss_of=loss_of, steps=steps, settings=settings, share=settings.second_share
    )
    return network


@torch.no_grad()
def with_own_uv(first: SharedNetwork) -> PersonNetwork:
    """A network of the shape that is wanted, which says what the first one says."""
    network = PersonNetwork()
    network.trunk.load_state_dict(first.trunk.state_dict())
    shared = first.head.state_dict()
    network.labels.load_state_dict({name: value[: 4 * NUM_LABELS] for name, value in shared.items()})
    # U, then V, of the four pixels of a block: of their mean, once for every part.
    both = {name: value[4 * NUM_LABELS :].unflatten(0, (2, 4)).mean(dim=1) for name, value in shared.items()}
    network.uv.load_state_dict({name: torch.cat([value] * NUM_LABELS) for name, value in both.items()})
    return network


def _train(
    network: nn.Module,
    *,
    corpus: PeopleCorpus,
    loss_of: Callable[[Tensor, Tensor], Tensor],
    steps: range,
    settings: PersonSettings,
    share: float,
) -> None:
    """One round, in place: learning rates rise to a share of their peaks, and fall to nearly nothing."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # nn.Module.to takes it
    optimizers = muon_and_adamw(
        network,
        ends=ENDS,
        kernel_learning_rate=settings.kernel_learning_rate,
        learning_rate=settings.learning_rate,
    )
    views = np.arange(len(corpus.images))
    for step in track(steps, description="training the person network", total=len(steps)):
        pixels, iuv = draw_batch(corpus, views=views, settings=settings, step=step)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = loss_of(pixels.to(memory_format=torch.channels_last), iuv)
        factor = share * warmup_cosine(
            step - steps.start,
            num_steps=len(steps),
            warmup_steps=settings.warmup_steps,
            final_fraction=0.01,
        )
        apply_gradients(network, loss=loss, optimizers=optimizers, factor=factor, max_grad_norm=1.0)
        if (step + 1) % LOG_EVERY_STEPS == 0:
            logger.info("person network, step %d: loss %.4f", step + 1, float(loss.detach()))
    network.eval()


def person_loss(
    label_logits: Tensor, *, uv: Tensor, iuv: Tensor, uv_iuv: Tensor, settings: PersonSettings
) -> Tensor:
    """Cross entropy of the parts (B, 25, H, W), and how far U and V (B, 2, h, w) are off on people.

    `iuv` (B, 3, H, W) and `uv_iuv` (B, 3, h, w) uint8 are the truth at both sizes.
    """
    weights = torch.full((NUM_LABELS,), PERSON_WEIGHT)
    weights[0] = 1.0
    parts = functional.cross_entropy(label_logits, iuv[:, 0].long(), weight=weights)
    is_person = uv_iuv[:, :1] > 0
    away = ((uv - uv_iuv[:, 1:].float() / 255.0).abs() * is_person).sum() / (2 * is_person.sum() + 1)
    return parts + settings.uv_weight * away


def draw_batch(
    corpus: PeopleCorpus, *, views: np.ndarray, settings: PersonSettings, step: int
) -> tuple[Tensor, Tensor]:
    """Pixels (B, 3, H, W) in [-1, 1] and maps (B, 3, H, W) uint8, of one of the sizes."""
    generator = np.random.default_rng((settings.seed, step))
    height_px, width_px = SIZES[int(generator.choice(len(SIZES), p=SIZE_SHARES))]
    drawn = [
        draw_picture(corpus, views=views, generator=generator, height_px=height_px, width_px=width_px)
        for _ in range(settings.batch_size)
    ]
    pixels = torch.from_numpy(np.stack([picture.pixels for picture in drawn]))
    iuv = torch.from_numpy(np.stack([picture.iuv for picture in drawn]))
    return pixels_in(pixels), iuv.permute(0, 3, 1, 2)
