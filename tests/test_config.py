"""Parameters are checked before any work, and a mistake is answered with what would be right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from mcld.config import Params, load_params, parse_params
from mcld.errors import ConfigError
from tests.workspaces import CHECKOUT

PROFILES = sorted((CHECKOUT / "profiles").glob("*.yaml"))


def test_the_default_params_file_is_the_tiny_profile() -> None:
    assert (CHECKOUT / "params.yaml").read_bytes() == (
        CHECKOUT / "profiles/mannequins-tiny.yaml"
    ).read_bytes()


def test_the_default_params_file_holds_the_defaults() -> None:
    assert load_params(CHECKOUT / "params.yaml") == Params()


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_every_profile_loads(path: Path) -> None:
    load_params(path)


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_every_profile_names_every_key(path: Path) -> None:
    # DVC compares the file: a value that only the code's defaults hold could change without a rerun.
    raw = YAML(typ="safe").load(path.read_text())
    assert _names(raw) == _names(Params().model_dump())


def _names(values: dict[str, Any]) -> dict[str, list[str]]:
    return {name: sorted(value) if isinstance(value, dict) else [] for name, value in values.items()}


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            {"shards": {"shard_byte": 1}},
            r"p.yaml: unknown key 'shards.shard_byte'; did you mean 'shard_bytes'\?",
        ),
        ({"trian": {}}, r"p.yaml: unknown key 'trian'; did you mean 'train'\?"),
        ({"face": {"zzzzz": 1}}, "p.yaml: unknown key 'face.zzzzz'; known keys: recogniser, "),
        ({"train": {"steps": 0}}, "p.yaml: train.steps: 0 is not allowed: .*greater than or equal to 1"),
        ({"train": {"learning_rate": "fast"}}, "p.yaml: train.learning_rate: 'fast' is not allowed"),
        ({"latents": {"height_px": 100}}, "p.yaml: latents.height_px: 100 is not allowed: .*multiple of 8"),
        (
            {"latents": {"precision": "int8"}},
            "p.yaml: latents.precision: 'int8' is not allowed: .*'bfloat16'",
        ),
        ({"latents": {"fit": "crop"}}, "p.yaml: latents.fit: 'crop' is not allowed: .*'squash' or 'pad'"),
        ({"dataset": {"source": "deepfashion"}}, "p.yaml: dataset.root_dir: needed by source 'deepfashion'"),
        (
            {"face": {"recogniser": "insightface"}},
            "p.yaml: face.models_dir: needed by recogniser 'insightface'",
        ),
        (
            {"face": {"recogniser": "opencv", "detector_path": "yunet.onnx"}},
            r"p.yaml: face.recogniser_path: needed by recogniser 'opencv'; name the file face_\*_sface_\*",
        ),
        ({"face": {"pack": "../elsewhere"}}, "p.yaml: face.pack: '../elsewhere' is not allowed"),
        ({"face": {"det_size_px": 100}}, "p.yaml: face.det_size_px: 100 is not allowed: .*multiple of 32"),
        (
            {"dataset": {"num_outfits": 4, "num_test_outfits": 4}},
            "num_test_outfits: 4 leaves no outfit to train on",
        ),
        (
            {"model": {"aggregation": "sum"}},
            "p.yaml: model.aggregation: 'sum' is not allowed: .*'mfca' or 'concat'",
        ),
    ],
)
def test_a_mistake_is_answered_with_what_would_be_right(raw: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_params(raw, place="p.yaml")


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_params({"train": {"steps": 0, "seed": -1}}, place="p.yaml")
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no sections"),
        ("- 1", "holds no sections"),
        ("a: [", "not valid YAML"),
        ("a: 1\na: 2", "not valid"),
    ],
)
def test_a_file_that_is_no_params_file_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_params(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"params.yaml: not found; .*mcld profile use"):
        load_params(tmp_path / "params.yaml")


def test_a_number_in_scientific_notation_is_a_number(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("train: {learning_rate: 1e-5}\n")
    assert load_params(path).train.learning_rate == 1e-5


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(
        st.text(max_size=8) | st.sampled_from(sorted(Params.model_fields)),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
            lambda values: (
                st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=8), values, max_size=3)
            ),
            max_leaves=5,
        ),
        max_size=4,
    )
)
def test_any_plain_data_is_accepted_or_refused_with_a_sentence(raw: dict[str, object]) -> None:
    try:
        parse_params(raw, place="p.yaml")
    except ConfigError as error:
        assert str(error).startswith("p.yaml: ")


@pytest.mark.parametrize("name", ["shards_url", "checkpoints_url"])
def test_an_address_that_is_shown_holds_no_password(name: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"runtime\.{name}: s3://bucket/set must hold no name and"
    ) as caught:
        parse_params({"runtime": {name: "s3://somebody:c4n4ry@bucket/set"}}, place="params.yaml")
    assert "c4n4ry" not in str(caught.value)


def test_checkpoints_are_copied_to_stores_only() -> None:
    with pytest.raises(
        ConfigError, match=r"runtime\.checkpoints_url: '/mnt/copies' is not of the form s3://"
    ):
        parse_params({"runtime": {"checkpoints_url": "/mnt/copies"}}, place="params.yaml")
