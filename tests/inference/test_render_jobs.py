"""Jobs to pictures with recipes, and recipes to the same pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mcld.data.codec import encode_png
from mcld.errors import ConfigError, DataError
from mcld.inference.changes import read_changes
from mcld.inference.editing import read_edits
from mcld.inference.engine import Engine
from mcld.inference.jobs import Job
from mcld.inference.photos.photo import read_file
from mcld.inference.recipe import machine_of, read_recipe, recipe_path
from mcld.inference.remake import remake
from mcld.inference.render_jobs import JobRenderer
from mcld.inference.settings import RenderSettings
from mcld.storage import sha256_of_bytes
from tests.service.service import make_engine, photographs

FEW = RenderSettings(num_steps=2, seed=3)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return make_engine()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Photographs 0.png to 3.png of one person each, two.png of two, and text.png of none."""
    shown = photographs()
    for number, data in enumerate(shown.people):
        (tmp_path / f"{number}.png").write_bytes(data)
    (tmp_path / "two.png").write_bytes(shown.crowd)
    (tmp_path / "text.png").write_text("no picture")
    return tmp_path


def _renderer(engine: Engine, **changed: object) -> JobRenderer:
    values: dict[str, object] = {
        "engine": engine,
        "model_dir": Path("my-model"),
        "machine": machine_of(device="cpu", precision="float32"),
        "settings": FEW,
    }
    return JobRenderer(**{**values, **changed})  # type: ignore[arg-type]


def _job(photos: Path, source: str, target: str, *, out: str = "out.png") -> Job:
    return Job(source=photos / source, target=photos / target, out=photos / "made" / out)


def test_a_job_leaves_a_picture_and_the_recipe_of_it(engine: Engine, photos: Path) -> None:
    job = _job(photos, "0.png", "1.png")
    (outcome,) = _renderer(engine).render([job])
    assert outcome.reason is None
    recipe = read_recipe(recipe_path(job.out))
    assert recipe.picture_sha256 == sha256_of_bytes(job.out.read_bytes())
    assert recipe.source.sha256 == sha256_of_bytes(job.source.read_bytes())
    assert recipe.settings == FEW


def test_what_cannot_be_read_is_left_out_with_its_reason_and_the_rest_is_made(
    engine: Engine, photos: Path
) -> None:
    jobs = [
        _job(photos, "0.png", "1.png", out="a.png"),
        _job(photos, "text.png", "1.png", out="b.png"),
        _job(photos, "0.png", "gone.png", out="c.png"),
        _job(photos, "2.png", "3.png", out="d.png"),
    ]
    outcomes = list(_renderer(engine, batch_size=3).render(jobs))
    assert [outcome.job for outcome in outcomes] == jobs
    assert [outcome.reason is None for outcome in outcomes] == [True, False, False, True]
    assert "not a picture" in str(outcomes[1].reason)
    assert "gone.png: cannot be read" in str(outcomes[2].reason)
    assert sorted(path.name for path in (photos / "made").iterdir()) == ["a.json", "a.png", "d.json", "d.png"]


def test_of_several_people_the_note_says_who_was_taken(engine: Engine, photos: Path) -> None:
    (outcome,) = _renderer(engine, person_number=1).render([_job(photos, "two.png", "1.png")])
    assert any("two.png: person 1 of 2" in note for note in outcome.notes)


def test_a_recipe_makes_the_same_bytes_again_with_its_edits(engine: Engine, photos: Path) -> None:
    wanted = read_edits(
        [
            {"kind": "clothes", "donor": "2.png", "parts": ["upper"]},
            {"kind": "recolour", "parts": ["lower"], "colour": "#204060"},
        ],
        place="test",
    )
    changes = read_changes(
        wanted,
        person_of=lambda name: engine.person(engine.pose(read_file(photos / name), name=name)),
        bytes_of=lambda name: read_file(photos / name),
        path_of=lambda name: str(photos / name),
    )
    job = _job(photos, "0.png", "1.png")
    list(_renderer(engine, changes=changes).render([job]))
    recipe = read_recipe(recipe_path(job.out))
    assert [edit.kind for edit in recipe.edits] == ["clothes", "recolour"]
    again = remake(recipe, engine=engine, bytes_of=lambda use: read_file(Path(use.path)))
    assert encode_png(again) == job.out.read_bytes()


def test_another_file_or_another_model_than_the_recipes_is_a_sentence(engine: Engine, photos: Path) -> None:
    job = _job(photos, "0.png", "1.png")
    list(_renderer(engine).render([job]))
    recipe = read_recipe(recipe_path(job.out))
    job.source.write_bytes(photographs().people[2])
    with pytest.raises(DataError, match=r"0\.png: is another file than the recipe's: sha256 "):
        remake(recipe, engine=engine, bytes_of=lambda use: read_file(Path(use.path)))
    with pytest.raises(ConfigError, match="model: sha256 is abab"):
        remake(
            recipe.model_copy(update={"model_sha256": "0" * 64}),
            engine=engine,
            bytes_of=lambda use: read_file(Path(use.path)),
        )


def test_what_is_no_recipe_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    path.write_text(json.dumps({"seed": 1}))
    with pytest.raises(DataError, match=r"out\.json: is no picture's recipe \(model: "):
        read_recipe(path)
