"""What is an exported model, and what is not, in sentences."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mcld.errors import ConfigError, MCLDError, WeightsError
from mcld.inference.engine import Engine
from mcld.inference.load import Finders, load_engine, model_sha256
from mcld.inference.photos.preparation import Preparation
from tests.embedded_engine import embedded_pipeline, embedded_preparation
from tests.service.service import KnownMaps

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("exported") / "model"
    embedded_pipeline().save_pretrained(directory)
    return directory


def _finders(_: Preparation) -> Finders:
    return KnownMaps(), None


def _load(directory: Path) -> Engine:
    return load_engine(directory, finders_for=_finders, device=CPU)


def _with_index(directory: Path, **changed: object) -> Path:
    directory.mkdir()
    index = {"_class_name": "MCLDPipeline", **changed}
    (directory / "model_index.json").write_text(json.dumps(index))
    return directory


def test_an_exported_folder_says_how_photographs_are_prepared(exported: Path) -> None:
    engine = _load(exported)
    assert engine.preparation == embedded_preparation()
    assert engine.defaults.num_steps == engine.preparation.num_inference_steps


def test_the_models_hash_is_of_every_byte_but_the_cards(exported: Path) -> None:
    before = model_sha256(exported)
    card = exported / "README.md"
    text = card.read_text()
    card.write_text("another card")
    assert model_sha256(exported) == before
    card.write_text(text)
    index = exported / "model_index.json"
    kept = index.read_bytes()
    index.write_bytes(kept + b"\n")
    assert model_sha256(exported) != before
    index.write_bytes(kept)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda path: path, ConfigError, "there is no such folder"),
        (lambda path: path.write_text("x") and path, ConfigError, "is a file"),
        (lambda path: path.mkdir() or path, ConfigError, "is no exported model"),
        (
            lambda path: _with_index(path, _class_name="StableDiffusionPipeline"),
            ConfigError,
            "holds a StableDiffusionPipeline",
        ),
        (_with_index, WeightsError, "does not say how the pictures of its training were prepared"),
        (lambda path: _with_index(path, preparation={"fit": "squash"}), WeightsError, r"preparation\.people"),
    ],
    ids=["nothing", "file", "empty", "another", "older", "damaged"],
)
def test_what_is_no_model_is_a_sentence_before_anything_is_loaded(
    tmp_path: Path, make: object, error: type[MCLDError], words: str
) -> None:
    assert callable(make)
    with pytest.raises(error, match=words):
        _load(make(tmp_path / "folder"))


def test_a_folder_without_its_weights_is_a_sentence(exported: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "model_index.json").write_bytes((exported / "model_index.json").read_bytes())
    with pytest.raises(WeightsError, match=r"copy: cannot be loaded \(it has no image_encoder/\)"):
        _load(copy)


def test_float16_without_a_gpu_is_refused(exported: Path) -> None:
    with pytest.raises(ConfigError, match="float16 is for GPUs"):
        load_engine(exported, finders_for=_finders, device=CPU, precision="float16")
