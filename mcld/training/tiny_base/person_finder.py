"""Make the networks that find rendered people: render, train both, measure on people nobody trained on.

    python -m mcld.training.tiny_base.person_finder --out-dir person_finder --work-dir work

Repeating the command goes on after the last thing that was finished: rendering, either training, measuring.
"""

from __future__ import annotations

import argparse
import logging
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from mcld.conditions.mannequins import FaceNetwork, PersonNetwork, load_networks, save_networks
from mcld.progress import log_to_stderr
from mcld.storage import atomic_dir, atomic_path, fingerprint, sha256_of_file, write_json
from mcld.tensors.files import read_safetensors, write_tensors
from mcld.training.tiny_base.face_network import FaceSettings, heads_of, train_face_network
from mcld.training.tiny_base.measure_finder import OUTFITS, measure_finder
from mcld.training.tiny_base.people_corpus import (
    PeopleCorpus,
    PeopleSettings,
    ensure_people,
    render_outfit,
    render_portraits,
)
from mcld.training.tiny_base.person_network import (
    PersonSettings,
    SharedNetwork,
    train_person_network,
    train_shared_network,
)

CARD_NAME = "card.json"
# Larger than any seed a demo would use, so that no demo shows anybody whom the networks have learnt.
PEOPLE_SEED, FACES_SEED = 1_000_033, 1_000_037
VIEWS_PER_OUTFIT = 3

logger = logging.getLogger(__name__)

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, slots=True, kw_only=True)
class FinderSettings:
    """All that shapes the networks."""

    people: PeopleSettings  # whom both learn from
    faces: PeopleSettings  # whom the face network learns from besides
    person: PersonSettings
    face: FaceSettings

    def as_dict(self) -> dict[str, object]:
        """Plain values, for the card."""
        return {name: getattr(self, name).as_dict() for name in self.__slots__}


def default_settings(
    *, num_outfits: int, num_faces: int, first_steps: int, person_steps: int, face_steps: int
) -> FinderSettings:
    """The sizes of the shipped networks; the five counts set how long it takes."""
    return FinderSettings(
        people=PeopleSettings(seed=PEOPLE_SEED, num_outfits=num_outfits, views_per_outfit=VIEWS_PER_OUTFIT),
        faces=PeopleSettings(
            seed=FACES_SEED, num_outfits=num_faces, views_per_outfit=1, height_px=80, width_px=56
        ),
        person=PersonSettings(num_first_steps=first_steps, num_steps=person_steps),
        face=FaceSettings(num_steps=face_steps),
    )


def make_finder(
    out_dir: Path,
    *,
    work_dir: Path,
    settings: FinderSettings,
    num_workers: int,
    measured_outfits: range = OUTFITS,
) -> dict[str, object]:
    """Make what is not made yet and write `out_dir` whole. Returns the card."""
    work_dir.mkdir(parents=True, exist_ok=True)
    people = ensure_people(
        work_dir / "people", settings=settings.people, num_workers=num_workers, render=render_outfit
    )
    # A round that is run again with more steps of the next one need not be repeated.
    first_settings = settings.person.as_dict() | {"num_steps": 0, "second_share": 0}
    first = _kept(
        work_dir,
        name="first",
        settings={"people": settings.people.as_dict(), "person": first_settings},
        network=SharedNetwork(),
        train=lambda: train_shared_network(people, settings=settings.person),
    )
    person = _kept(
        work_dir,
        name="person",
        settings={"people": settings.people.as_dict(), "person": settings.person.as_dict()},
        network=PersonNetwork(),
        train=lambda: train_person_network(first, corpus=people, settings=settings.person),
    )
    faces = ensure_people(
        work_dir / "portraits", settings=settings.faces, num_workers=num_workers, render=render_portraits
    )
    face = _kept(
        work_dir,
        name="face",
        settings={name: value for name, value in settings.as_dict().items() if name != "person"},
        network=FaceNetwork(),
        train=lambda: train_face_network(heads_of(people) + heads_of(faces), settings=settings.face),
    )
    with atomic_dir(out_dir) as temporary:
        save_networks(temporary, person=person, face=face)
        measured = measure_finder(load_networks(temporary), outfits=measured_outfits)
        card = _card(temporary, settings=settings, corpora=(people, faces), measured=measured)
        write_json(temporary / CARD_NAME, value=card)
    return card


def _kept(
    work_dir: Path,
    *,
    name: str,
    settings: dict[str, object],
    network: Network,
    train: Callable[[], Network],
) -> Network:
    """The network that was trained before with these settings, or is trained now."""
    path = work_dir / f"{name}-{fingerprint(settings)[:16]}.safetensors"
    if not path.is_file():
        with atomic_path(path) as temporary:
            write_tensors(temporary, state=train().state_dict())
    network.load_state_dict(read_safetensors(path))
    network.eval()
    return network


def _card(
    directory: Path,
    *,
    settings: FinderSettings,
    corpora: tuple[PeopleCorpus, PeopleCorpus],
    measured: dict[str, object],
) -> dict[str, object]:
    people, faces = corpora
    return {
        "name": "mcld person finder",
        "what": "what part of a body each pixel of a rendered person shows, and whose face a head has",
        "command": _command(settings),
        "settings": settings.as_dict(),
        "num_train_views": len(people.images),
        "num_train_flat_views": len(people.flats),
        "num_train_faces": int(people.face_visible.sum() + faces.face_visible.sum()),
        "measured": measured,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}",
        "licence": "Apache-2.0, like the project: trained on images that the project itself renders",
        "sha256": {path.name: sha256_of_file(path) for path in sorted(directory.iterdir())},
    }


def _command(settings: FinderSettings) -> str:
    """The command line that makes these networks again, apart from its folders."""
    return (
        f"python -m mcld.training.tiny_base.person_finder --num-outfits {settings.people.num_outfits} "
        f"--num-faces {settings.faces.num_outfits} --first-steps {settings.person.num_first_steps} "
        f"--person-steps {settings.person.num_steps} --face-steps {settings.face.num_steps}"
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out-dir", type=Path, required=True, help="written whole")
    parser.add_argument("--work-dir", type=Path, required=True, help="pictures and what is trained so far")
    parser.add_argument("--num-outfits", type=int, default=480)
    parser.add_argument(
        "--num-faces", type=int, default=2000, help="further people, of whom a portrait is seen"
    )
    parser.add_argument("--first-steps", type=int, default=2600)
    parser.add_argument("--person-steps", type=int, default=1600)
    parser.add_argument("--face-steps", type=int, default=1600)
    parser.add_argument("--num-workers", type=int, default=1, help="processes that render")
    given = parser.parse_args()
    log_to_stderr()
    settings = default_settings(
        num_outfits=given.num_outfits,
        num_faces=given.num_faces,
        first_steps=given.first_steps,
        person_steps=given.person_steps,
        face_steps=given.face_steps,
    )
    card = make_finder(
        given.out_dir, work_dir=given.work_dir, settings=settings, num_workers=given.num_workers
    )
    logger.info("measured on people whom nobody trained on: %s", card["measured"])


if __name__ == "__main__":
    main()
