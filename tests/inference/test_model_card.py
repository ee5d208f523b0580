"""The model card says what is known, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from mcld.inference.model_card import model_card
from tests.inference.tiny_pipeline import tiny_pipeline


def card(**training: Any) -> str:
    pipeline = tiny_pipeline()
    return model_card(pipeline.model, scheduler=pipeline.scheduler, training=training, name="my-model")


def test_the_card_has_metadata_settings_and_three_lines_that_load_it() -> None:
    text = card()
    assert text.startswith("---\nlibrary_name: diffusers\n")
    assert 'pipe = MCLDPipeline.from_pretrained("my-model")' in text
    assert "| cross_attention_dim | 8 |" in text
    assert "| scheduler | DDIMScheduler |" in text
    assert "| beta_schedule | scaled_linear |" in text


def test_training_is_told_only_where_it_is_known() -> None:
    assert "## Training\n\nNot recorded." in card()
    told = card(steps=400, note="a|b")
    assert "Not recorded" not in told
    assert "| steps | 400 |" in told
    assert "| note | a\\|b |" in told


def test_an_evaluation_is_told_as_it_was_written() -> None:
    assert "## Evaluation\n\nNot scored." in card()
    pipeline = tiny_pipeline()
    text = model_card(
        pipeline.model, scheduler=pipeline.scheduler, training={}, name="m", evaluation="| ssim | 0.5 |"
    )
    assert "## Evaluation\n\n| ssim | 0.5 |\n\n## Licence" in text


@pytest.mark.parametrize(
    ("source", "preset", "is_free"),
    [("mannequins", "tiny", True), ("deepfashion", "tiny", False), ("mannequins", "sd15", False)],
)
def test_only_what_is_wholly_our_own_is_free(source: str, preset: str, is_free: bool) -> None:
    text = card(**{"dataset.source": source, "weights.preset": preset})
    assert ("license: apache-2.0" in text) == is_free
    assert ("non-commercial" in text) != is_free


def test_an_unknown_origin_is_taken_for_a_restricted_one() -> None:
    assert "license: other" in card()
    assert "CreativeML OpenRAIL-M" in card()
