"""The engine: a person of a photograph in the pose of another, with the shipped weights, not trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from mcld.diffusion import seeded_generators
from mcld.framing import resize_image
from mcld.inference.background import person_weight
from mcld.inference.engine import Engine, Subject
from mcld.inference.photos.finders import Found
from mcld.inference.photos.photo import read_photo
from mcld.inference.photos.reader import PhotoReader
from mcld.inference.pipeline import MCLDPipelineOutput
from mcld.inference.settings import RenderSettings
from tests.embedded_engine import (
    EmbeddedPerson,
    embedded_person,
    embedded_pipeline,
    embedded_preparation,
)

FEW = RenderSettings(num_steps=2, guidance_scale=2.0, seed=5)


class Nobody:
    """Finds nobody: poses are given."""

    def find(self, photo: np.ndarray) -> tuple[Found, ...]:
        return ()


@pytest.fixture(scope="module")
def engine() -> Engine:
    preparation = embedded_preparation()
    return Engine(
        pipeline=embedded_pipeline(),
        preparation=preparation,
        reader=PhotoReader(preparation=preparation, person_finder=Nobody(), face_finder=None),
        model_sha256="0" * 64,
    )


@pytest.fixture(scope="module")
def people() -> list[EmbeddedPerson]:
    return [embedded_person(index) for index in range(3)]


def _subjects(engine: Engine, people: Sequence[EmbeddedPerson]) -> list[Subject]:
    """Each person in the pose of the next."""
    following = [*people[1:], people[0]]
    return [
        (one.person(engine.reader), other.pose(engine.reader))
        for one, other in zip(people, following, strict=True)
    ]


def test_conditions_are_what_the_stages_make_of_the_same_views(
    engine: Engine, people: list[EmbeddedPerson]
) -> None:
    from mcld.conditions.latents import clip_batch, embed_images, encode_moments, image_batch

    subjects = _subjects(engine, people)
    conditions = engine.conditions(subjects)
    person, pose = subjects[0]
    framed = resize_image(person.photo, height_px=128, width_px=96)
    texture = resize_image(person.atlas, height_px=144, width_px=96)
    moments = encode_moments(engine.pipeline.vae, images=image_batch([texture])).half().float()
    scaled = moments.chunk(2, dim=1)[0] * engine.pipeline.vae.config.scaling_factor
    torch.testing.assert_close(conditions.texture_latent[:1], scaled)
    size_px = engine.pipeline.image_encoder.config.image_size
    for field, picture in (("image_embedding", framed), ("texture_embedding", texture)):
        embedded = embed_images(
            engine.pipeline.image_encoder, pixels=clip_batch([picture], clip_size_px=size_px)
        )
        torch.testing.assert_close(getattr(conditions, field)[:1], embedded)
    expected = engine.preparation.framing.iuv(pose.iuv)
    assert np.array_equal(conditions.target_iuv[0].permute(1, 2, 0).numpy(), expected)
    assert conditions.face_found.tolist() == [one.rendered.face_visible for one in people]


def test_a_picture_is_that_of_the_pipeline_with_the_same_seed(
    engine: Engine, people: list[EmbeddedPerson]
) -> None:
    subjects = _subjects(engine, people)[:1]
    picture = engine.render(subjects, settings=FEW).pictures[0]
    output = engine.pipeline(
        engine.conditions(subjects),
        num_inference_steps=2,
        guidance_scale=2.0,
        generator=seeded_generators([5]),
        output_type="np",
    )
    assert isinstance(output, MCLDPipelineOutput)
    expected = np.rint(np.asarray(output.images)[0] * 255).astype(np.uint8)
    height_px, width_px = picture.shape[:2]
    assert width_px == 96
    assert height_px / width_px == pytest.approx(256 / 176, rel=0.01)
    assert np.array_equal(picture, resize_image(expected, height_px=height_px, width_px=width_px))


def test_a_picture_does_not_depend_on_what_else_is_in_the_batch(
    engine: Engine, people: list[EmbeddedPerson]
) -> None:
    subjects = _subjects(engine, people)
    together = engine.render(subjects, settings=FEW).pictures
    alone = engine.render(subjects[1:2], settings=FEW).pictures[0]
    assert np.abs(together[1].astype(int) - alone).max() <= 1


def test_seeds_give_each_row_its_own_noise(engine: Engine, people: list[EmbeddedPerson]) -> None:
    subject = _subjects(engine, people)[0]
    first, second, again = engine.render([subject] * 3, settings=FEW, seeds=[1, 2, 1]).pictures
    assert np.abs(first.astype(int) - again).max() <= 1
    assert not np.array_equal(first, second)


def test_a_plain_background_surrounds_the_generated_person(
    engine: Engine, people: list[EmbeddedPerson]
) -> None:
    subject = _subjects(engine, people)[0]
    generated = engine.render([subject], settings=FEW).pictures[0]
    settings = FEW.model_copy(update={"background": "#102030"})
    picture = engine.render([subject], settings=settings).pictures[0]
    height_px, width_px = picture.shape[:2]
    labels = resize_image(subject[1].iuv, height_px=height_px, width_px=width_px)
    far = person_weight(labels) == 0
    assert far.mean() > 0.2
    assert (picture[far] == (0x10, 0x20, 0x30)).all()
    body = subject[1].iuv[..., 0] > 0
    assert body.any()
    inside = resize_image(
        np.repeat(body[..., None] * np.uint8(255), 3, axis=2), height_px=height_px, width_px=width_px
    )
    assert np.array_equal(picture[inside[..., 0] == 255], generated[inside[..., 0] == 255])


def test_with_the_targets_background_the_photograph_is_the_same_around_the_person(
    engine: Engine, people: list[EmbeddedPerson]
) -> None:
    person, pose = _subjects(engine, people)[0]
    settings = FEW.model_copy(update={"background": "target"})
    picture = engine.render([(person, pose)], settings=settings).pictures[0]
    assert picture.shape == pose.full_photo.shape
    far = person_weight(pose.iuv) == 0
    assert np.array_equal(picture[far], pose.full_photo[far])
    assert not np.array_equal(picture, pose.full_photo)


def test_a_person_in_a_wide_photograph_is_pasted_where_they_were(
    engine: Engine, people: list[EmbeddedPerson]
) -> None:
    wide = np.full((256, 700, 3), 200, np.uint8)
    iuv = np.zeros_like(wide)
    wide[:, 400:576], iuv[:, 400:576] = people[1].rendered.image, people[1].rendered.iuv
    from tests.embedded_engine import jpeg_of

    pose = engine.reader.given_pose(read_photo(jpeg_of(wide), name="wide.jpg"), iuv=iuv)
    settings = FEW.model_copy(update={"background": "target"})
    picture = engine.render([(people[0].person(engine.reader), pose)], settings=settings).pictures[0]
    assert picture.shape == wide.shape
    assert np.array_equal(picture[:, :300], pose.full_photo[:, :300])
    assert not np.array_equal(picture[:, 400:576], pose.full_photo[:, 400:576])


def test_progress_is_told_after_every_step_and_what_it_raises_ends_the_rendering(
    engine: Engine, people: list[EmbeddedPerson]
) -> None:
    subjects = _subjects(engine, people)[:1]
    told: list[tuple[int, int]] = []
    engine.render(subjects, settings=FEW, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]

    def stop(done: int, total: int) -> None:
        raise InterruptedError("enough")

    with pytest.raises(InterruptedError, match="enough"):
        engine.render(subjects, settings=FEW, on_progress=stop)
    assert engine.render(subjects, settings=FEW).pictures  # the lock is free again


@pytest.mark.parametrize("scheduler", ["ddim", "dpm-solver++", "unipc", "euler"])
def test_every_solver_gives_a_picture_of_numbers(
    engine: Engine, people: list[EmbeddedPerson], scheduler: str
) -> None:
    settings = RenderSettings.model_validate({"num_steps": 4, "scheduler": scheduler})
    picture = engine.render(_subjects(engine, people)[:1], settings=settings).pictures[0]
    assert picture.std() > 1
