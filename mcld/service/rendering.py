"""One render's work, from kept photographs to the bytes that are handed out."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from mcld.data.codec import encode_png
from mcld.inference.attention_picture import attention_grid
from mcld.inference.changes import Changes
from mcld.inference.engine import Engine, OnProgress
from mcld.inference.photos.person import Person, Pose
from mcld.inference.recipe import Machine, Recipe, photo_use
from mcld.inference.render_jobs import notes_of
from mcld.inference.settings import RenderSettings
from mcld.service.edits import NamedEdits
from mcld.service.photographs import KeptPhoto
from mcld.storage import sha256_of_bytes

FOCI = ("image", "texture", "face")
NUM_ATTENTION_ROWS = 4  # steps at which the foci are shown, spread evenly


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """Files of a render that is done."""

    picture_png: bytes
    recipe_json: bytes
    attention_png: bytes | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderWork:
    """All that a render needs, so that nothing can expire while it waits."""

    engine: Engine
    model: str
    machine: Machine
    source: KeptPhoto
    source_number: int | None
    target: KeptPhoto
    target_number: int | None
    edits: NamedEdits
    settings: RenderSettings
    attention: bool

    def __call__(self, on_progress: OnProgress) -> Rendered:
        """Render in the model's thread. Raises DataError, ConfigError, and what `on_progress` raises."""
        changes = self.edits.changes(self.engine)
        person = changes.applied_to(self.source.person(self.source_number, engine=self.engine))
        pose = self.target.sight(self.target_number).pose
        rendering = self.engine.render(
            [(person, pose)],
            settings=self.settings,
            on_progress=on_progress,
            attention_maps_at=_shown_steps(self.settings.num_steps) if self.attention else (),
        )
        picture_png = encode_png(rendering.pictures[0])
        maps = rendering.attention_maps
        return Rendered(
            picture_png=picture_png,
            recipe_json=self._recipe(changes, person=person, pose=pose, picture_png=picture_png),
            attention_png=_attention_png(maps) if maps else None,
            notes=(*notes_of(person, pose=pose), *person.edits),
        )

    def _recipe(self, changes: Changes, *, person: Person, pose: Pose, picture_png: bytes) -> bytes:
        recipe = Recipe(
            model=self.model,
            model_sha256=self.engine.model_sha256,
            source=photo_use(person.origin.name, origin=person.origin),
            target=photo_use(pose.origin.name, origin=pose.origin),
            edits=changes.edits,
            named=dict(changes.uses),
            settings=self.settings,
            machine=self.machine,
            picture_sha256=sha256_of_bytes(picture_png),
        )
        return recipe.model_dump_json(indent=1).encode()


def _shown_steps(num_steps: int) -> tuple[int, ...]:
    """Of all steps, the ones whose attention is shown: first and last among them."""
    count = min(NUM_ATTENTION_ROWS, num_steps)
    return tuple(sorted({round(index * (num_steps - 1) / max(1, count - 1)) for index in range(count)}))


def _attention_png(maps: Mapping[int, Mapping[str, Tensor]]) -> bytes:
    """Where the three foci speak: a row a step, a column a focus."""
    foci = {step: {name: found[name] for name in found if name in FOCI} for step, found in maps.items()}
    buffer = io.BytesIO()
    attention_grid(foci).save(buffer, "PNG")
    return buffer.getvalue()
