"""A recipe is a table of single fields; what a file sets itself is never overruled."""

from __future__ import annotations

import pytest

from mcld.config import Params, load_params, parse_params
from mcld.errors import ConfigError
from mcld.recipes import DEFAULT, FIELDS, RecipeField
from tests.workspaces import CHECKOUT

BY_FIELD = pytest.mark.parametrize("field", FIELDS, ids=lambda field: f"{field.section}.{field.key}")


def value_of(params: Params, *, field: RecipeField) -> object:
    return getattr(getattr(params, field.section), field.key)


@BY_FIELD
def test_each_field_follows_the_recipe(field: RecipeField) -> None:
    assert field.authors != field.corrected
    assert value_of(parse_params({"recipe": "authors"}, place="p"), field=field) == field.authors
    assert value_of(parse_params({"recipe": "corrected"}, place="p"), field=field) == field.corrected
    assert value_of(Params(recipe="authors"), field=field) == field.authors


@BY_FIELD
def test_each_field_can_be_set_alone(field: RecipeField) -> None:
    raw: dict[str, object] = {"recipe": "authors", field.section: {field.key: field.corrected}}
    params = parse_params(raw, place="p")
    assert value_of(params, field=field) == field.corrected
    for other in FIELDS:
        if other != field:
            assert value_of(params, field=other) == other.authors, other


@BY_FIELD
def test_the_default_of_each_field_is_the_default_recipes(field: RecipeField) -> None:
    assert value_of(Params(), field=field) == field.value(DEFAULT)


@BY_FIELD
def test_null_leaves_a_field_to_the_recipe(field: RecipeField) -> None:
    raw: dict[str, object] = {"recipe": "authors", field.section: {field.key: None}}
    assert value_of(parse_params(raw, place="p"), field=field) == field.authors


def test_null_is_no_value_for_any_other_field() -> None:
    with pytest.raises(ConfigError, match=r"p: train\.steps: None is not allowed"):
        parse_params({"train": {"steps": None}}, place="p")


def test_an_unknown_recipe_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"p: recipe: 'paper' is not allowed: .*'authors' or 'corrected'"):
        parse_params({"recipe": "paper"}, place="p")


def test_the_authors_profile_sets_none_of_their_fields_itself() -> None:
    params = load_params(CHECKOUT / "profiles" / "deepfashion-authors.yaml")
    assert all(value_of(params, field=field) == field.authors for field in FIELDS)
