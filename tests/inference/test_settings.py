"""Settings of a picture: bounds, and a sentence for what is outside of them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from mcld.inference.settings import RenderSettings


def test_nothing_is_approximated_unless_asked_for() -> None:
    settings = RenderSettings()
    assert settings.guidance_interval == (0.0, 1.0)
    assert settings.reuse_features == 1


def test_settings_come_back_from_plain_values() -> None:
    settings = RenderSettings(guidance_interval=(0.2, 0.8), reuse_features=3, scheduler="unipc", num_steps=10)
    assert RenderSettings.model_validate(settings.model_dump(mode="json")) == settings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"guidance_interval": (0.8, 0.2)}, "guidance_interval: 0.8 to 0.2 is empty; 0 to 1 is all steps"),
        ({"guidance_interval": (0.2, 1.2)}, "less than or equal to 1"),
        (
            {"guidance_interval": (0.41, 0.44), "num_steps": 10},
            "guidance_interval: 0.41 to 0.44 holds none of 10 steps; widen it",
        ),
        ({"reuse_features": 0}, "greater than or equal to 1"),
        ({"reuse_features": 11}, "less than or equal to 10"),
    ],
)
def test_values_out_of_bounds_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RenderSettings(**values)
