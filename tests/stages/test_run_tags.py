"""Runs are tagged with what they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcld.config import ModelParams, Params, load_params
from mcld.stages.run_tags import ABLATIONS, ablation_of, profile_of, run_tags
from tests.stages.tiny_weights import params_with
from tests.workspaces import CHECKOUT


@pytest.mark.parametrize("name", list(ABLATIONS))
def test_an_ablation_is_known_by_its_settings(name: str) -> None:
    assert ablation_of(ModelParams().model_copy(update=dict(ABLATIONS[name]))) == name


def test_a_combination_that_the_paper_has_not_is_another() -> None:
    assert ablation_of(ModelParams(use_face=False, aggregation="concat")) == "other"
    assert ablation_of(ModelParams(use_reference=False)) == "other"


@pytest.mark.parametrize(("profile", "ablation"), [("ablation-b1", "B1"), ("mannequins-tiny", "full")])
def test_a_profile_is_known_whatever_its_seed_and_its_places(profile: str, ablation: str) -> None:
    params = load_params(CHECKOUT / "profiles" / f"{profile}.yaml")
    moved = params_with(params, section="train", seed=7)
    moved = params_with(moved, section="dataset", root_dir="/elsewhere")
    assert run_tags(moved, root=CHECKOUT) == {"ablation": ablation, "seed": "7", "profile": profile}


def test_settings_of_ones_own_are_no_profile(tmp_path: Path) -> None:
    assert profile_of(params_with(Params(), section="train", steps=123), root=CHECKOUT) == "other"
    assert profile_of(Params(), root=tmp_path) is None
