"""A model that works on photographs: what the command line, the studio and the service all call.

    engine = open_engine("my-model")
    engine.picture("me.jpg", "pose.jpg").save("out.png")

or step by step, so that people can be edited and poses used again:

    person = engine.person(engine.pose(photo_bytes, name="me.jpg"))
    pose = engine.pose(pose_bytes, name="pose.jpg")
    picture = engine.render([(person, pose)], settings=engine.defaults).pictures[0]

One picture is rendered at a time: callers in other threads wait.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from mcld.framing import resize_image, resize_labels
from mcld.inference.background import composed, plain
from mcld.inference.photos.encode import conditions_for, encode_person, view_encoder_of
from mcld.inference.photos.person import Person, Pose
from mcld.inference.photos.photo import read_file, read_photo
from mcld.inference.photos.preparation import Preparation
from mcld.inference.photos.reader import PhotoReader
from mcld.inference.photos.window import paste
from mcld.inference.pipeline import MCLDPipeline, MCLDPipelineOutput
from mcld.inference.settings import RenderSettings, scheduler_of
from mcld.types import Conditions

# (steps done, of how many): called after each. What it raises ends the rendering, and reaches the caller.
OnProgress = Callable[[int, int], None]
# Who is to be rendered, in which pose.
Subject = tuple[Person, Pose]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """Pictures (h, w, 3) uint8 RGB, one a subject, and attention maps by step as the pipeline gives them."""

    pictures: tuple[np.ndarray, ...]
    attention_maps: dict[int, dict[str, Tensor]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A pipeline, and what finds people in photographs for it. `model_sha256` is of the model's folder."""

    pipeline: MCLDPipeline
    preparation: Preparation
    reader: PhotoReader
    model_sha256: str
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def defaults(self) -> RenderSettings:
        """As the model was sampled for its scores, with seed 0."""
        return RenderSettings(
            num_steps=self.preparation.num_inference_steps, guidance_scale=self.preparation.guidance_scale
        )

    def picture(
        self,
        source: str | os.PathLike[str],
        target: str | os.PathLike[str],
        *,
        settings: RenderSettings | None = None,
    ) -> Image.Image:
        """The person of one photograph in the pose of another. None: `defaults`. Raises DataError."""
        person, pose = (self.pose(read_file(Path(path)), name=str(path)) for path in (source, target))
        rendering = self.render([(self.person(person), pose)], settings=settings or self.defaults)
        return Image.fromarray(rendering.pictures[0])

    def pose(self, data: bytes, *, name: str, number: int | None = None) -> Pose:
        """The pose in a photograph, of the usual person or of `number` from the left. Raises DataError."""
        return self.reader.pose(read_photo(data, name=name), number=number)

    def person(self, pose: Pose) -> Person:
        """The appearance of the person whose pose was found."""
        return self.reader.person(pose)

    def conditions(self, subjects: Sequence[Subject]) -> Conditions:
        """What the model sees, a row a subject. A person in several rows is encoded once."""
        encoder = view_encoder_of(self.pipeline, preparation=self.preparation)
        scaling_factor = float(self.pipeline.vae.config.scaling_factor)
        distinct = {id(person): person for person, _ in subjects}
        encoded = {
            key: encode_person(
                person, encoder=encoder, preparation=self.preparation, scaling_factor=scaling_factor
            )
            for key, person in distinct.items()
        }
        return conditions_for(
            [encoded[id(person)] for person, _ in subjects],
            poses=[pose for _, pose in subjects],
            pipeline=self.pipeline,
            preparation=self.preparation,
        )

    def render(
        self,
        subjects: Sequence[Subject],
        *,
        settings: RenderSettings,
        seeds: Sequence[int] | None = None,
        on_progress: OnProgress | None = None,
        attention_maps_at: Sequence[int] = (),
    ) -> Rendering:
        """Each person in their pose, as one batch. Noise is of `settings.seed` for all, or of `seeds`.

        A picture has the aspect of its pose's window; with background "target" it is the pose's whole
        photograph. Raises ConfigError or DataError before any work.
        """
        with self.lock:
            output = self._pipeline(settings)(
                self.conditions(subjects),
                num_inference_steps=settings.num_steps,
                guidance_scale=settings.guidance_scale,
                guidance_interval=settings.guidance_interval,
                reuse_features=settings.reuse_features,
                seeds=[settings.seed] * len(subjects) if seeds is None else seeds,
                output_type="np",
                callback_on_step_end=_told(on_progress, num_steps=settings.num_steps),
                attention_maps_at=attention_maps_at,
            )
        assert isinstance(output, MCLDPipelineOutput)
        rendered = np.rint(np.asarray(output.images) * 255).astype(np.uint8)
        pictures = [
            self._finish(picture, pose=pose, background=settings.background)
            for picture, (_, pose) in zip(rendered, subjects, strict=True)
        ]
        return Rendering(pictures=tuple(pictures), attention_maps=output.attention_maps or {})

    def _pipeline(self, settings: RenderSettings) -> MCLDPipeline:
        """The same models with the solver that is asked for."""
        pipeline = MCLDPipeline(
            model=self.pipeline.model,
            vae=self.pipeline.vae,
            scheduler=scheduler_of(settings.scheduler, like=self.pipeline.scheduler),
        )
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def _finish(self, picture: np.ndarray, *, pose: Pose, background: str) -> np.ndarray:
        """From the model's frame to the aspect of the pose's window, no side smaller than it was."""
        height_px, width_px = pose.hw
        cut = self.preparation.framing.cut(picture, image_hw=pose.hw)
        if background == "target":
            whole = resize_image(cut, height_px=height_px, width_px=width_px)
            before = composed(whole, iuv=pose.iuv, behind=pose.photo)
            return paste(pose.full_photo, picture=before, window=pose.window)
        scale = max(cut.shape[0] / height_px, cut.shape[1] / width_px)
        size_hw = round(height_px * scale), round(width_px * scale)
        shown = resize_image(cut, height_px=size_hw[0], width_px=size_hw[1])
        if background == "generated":
            return shown
        labels = resize_labels(pose.iuv, height_px=size_hw[0], width_px=size_hw[1])
        return composed(shown, iuv=labels, behind=plain(background, like=shown))


def _told(
    on_progress: OnProgress | None, *, num_steps: int
) -> Callable[[MCLDPipeline, int, Tensor, dict[str, Tensor]], None] | None:
    if on_progress is None:
        return None

    def tell(_: MCLDPipeline, index: int, __: Tensor, ___: dict[str, Tensor]) -> None:
        on_progress(index + 1, num_steps)

    return tell
