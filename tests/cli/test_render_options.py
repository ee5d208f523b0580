"""Options to settings: what is not given is as the model's tests, and what is wrong is said by its option."""

from __future__ import annotations

from typing import Any

import pytest

from mcld.cli.render_options import settings_of
from mcld.errors import ConfigError
from mcld.inference.settings import RenderSettings
from tests.embedded_engine import embedded_preparation


def _settings(**changed: Any) -> RenderSettings:
    plain: dict[str, Any] = {
        "seed": 0,
        "steps": None,
        "guidance": None,
        "scheduler": "ddim",
        "guidance_interval": (0.0, 1.0),
        "reuse_features": 1,
        "background": "generated",
    }
    return settings_of(embedded_preparation(), **{**plain, **changed})


def test_what_is_not_given_is_as_the_model_was_sampled_for_its_scores() -> None:
    preparation = embedded_preparation()
    found = _settings()
    assert found.num_steps == preparation.num_inference_steps
    assert found.guidance_scale == preparation.guidance_scale


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"steps": 0}, "--steps: 0: "),
        ({"guidance": 0.5}, r"--guidance: 0\.5: "),
        ({"background": "sky"}, "--background: sky: 'sky' is unknown; choose generated, target, or a colour"),
        ({"guidance_interval": (0.8, 0.2)}, r"--guidance-interval: 0\.8 to 0\.2 is empty"),
        ({"reuse_features": 0}, "--reuse-features: 0: "),
    ],
)
def test_what_is_out_of_bounds_names_the_option_the_value_and_the_bound(
    changed: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        _settings(**changed)
